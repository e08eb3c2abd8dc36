"""Regularisers of maps: those of Meng et al. 2019 (coherent and decided maps, one peak of attention in time), and one against flicker.

All compute in float32 or better.
"""

from typing import Literal

import torch
from torch import Tensor

from objabn.losses import at_least_float32

MAP_THRESHOLD = 0.5

Form = Literal["paper", "official"]
"""As in the equations, or as the authors' code has it."""


def total_variation(maps: Tensor, *, form: Form = "paper") -> Tensor:
    """Return the sum of |differences| between cells above and beside each other of maps (B, ..., y, x), averaged over the clips.

    `official` does not divide by B: the weight that the term has then grows with the batch.
    """
    maps = maps.to(at_least_float32(maps))
    total = maps.diff(dim=-2).abs().sum() + maps.diff(dim=-1).abs().sum()
    return total if form == "official" else total / len(maps)


def temporal_variation(maps: Tensor) -> Tensor:
    """Return the mean square of the differences between neighbouring frames of maps (B, N, T, y, x); zero for a single frame."""
    maps = maps.to(at_least_float32(maps))
    return maps.diff(dim=2).square().mean() if maps.shape[2] > 1 else maps.new_zeros(())


def contrast(maps: Tensor) -> Tensor:
    """Return the sum of M/2 over cells of at most 1/2 less that over cells above it, maps (B, ..., y, x), averaged over the clips.

    It draws each cell to the end of [0, 1] that it is nearer to; which end that is has no gradient. The authors' code has the same.
    """
    maps = maps.to(at_least_float32(maps))
    return torch.where(maps > MAP_THRESHOLD, -0.5 * maps, 0.5 * maps).sum() / len(maps)


def unimodality(weights_BT: Tensor, *, form: Form = "paper") -> Tensor:
    """Return the sum over i of max(0, w_{i-1} w_{i+1} - w_i^2) of the weights of frames, averaged over the clips.

    Weights without such an excess are log-concave, and so have one peak. The sum over the steps of the ConvLSTM in
    the paper is left to the weight of the term, since all steps have the same weights. `official` takes the
    root of each excess and the mean over the frames between the ends; its gradient has no bound where an excess vanishes.
    """
    weights_BT = weights_BT.to(at_least_float32(weights_BT))
    excess = (weights_BT[:, :-2] * weights_BT[:, 2:] - weights_BT[:, 1:-1].square()).relu()
    if form == "official":
        return excess.sqrt().sum() / max(excess.numel(), 1)
    return excess.sum() / len(weights_BT)
