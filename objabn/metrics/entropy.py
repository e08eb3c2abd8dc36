"""How sharp maps are."""

import math

import torch
from torch import Tensor

from objabn.metrics.frames import normalize_frames


def attention_entropy(maps: Tensor, bins: int = 10) -> Tensor:
    """Return the entropy in bits of each frame's histogram: (..., Y, X) -> (...); lower is sharper (Object-ABN eq. 11).

    Each frame is stretched to [0, 1]; the value 1 belongs to the last bin; a flat frame has entropy 0. Entropies
    compare only between maps of one grid size.
    """
    values = normalize_frames(maps).flatten(-2)
    places = (values * bins).long().clamp(max=bins - 1)
    counts = values.new_zeros(*values.shape[:-1], bins).scatter_add_(-1, places, torch.ones_like(values))
    return torch.special.entr(counts / values.shape[-1]).sum(-1).div(math.log(2)) + 0.0
