"""What stands where a clip is hidden."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from objabn.explainers.subject import Subject

Hidden = Literal["fade", "blur"]

BLUR_SIGMA = 20.0
"""Pixels, of the perturbations of Li et al. 2021 (EP-3D)."""


def hidden_clip(subject: Subject, clip_BCTYX: Tensor, hidden: Hidden) -> Tensor:
    """Return the clips (B, C, T, Y, X) with everything hidden; ValueError for an unknown way to hide."""
    if hidden == "blur":
        return blurred(clip_BCTYX)
    if hidden != "fade":
        raise ValueError(f"Nothing can be hidden by {hidden!r}; choose fade or blur.")
    return subject.baseline.to(clip_BCTYX.dtype).expand_as(clip_BCTYX)


def blurred(clip_BCTYX: Tensor, sigma: float = BLUR_SIGMA) -> Tensor:
    """Return each frame blurred by a Gaussian, as if its outermost pixels went on."""
    reach = round(4 * sigma)
    offsets = torch.arange(-reach, reach + 1, device=clip_BCTYX.device, dtype=clip_BCTYX.dtype)
    weights = torch.exp(-offsets.square() / (2 * sigma**2))
    weights = weights / weights.sum()
    frames = clip_BCTYX.flatten(0, 2)[:, None]
    frames = functional.conv2d(functional.pad(frames, (0, 0, reach, reach), mode="replicate"), weights[None, None, :, None])
    frames = functional.conv2d(functional.pad(frames, (reach, reach, 0, 0), mode="replicate"), weights[None, None, None, :])
    return frames.view_as(clip_BCTYX)
