"""What all numbers for maps begin and end with: frames stretched, flat frames known, means over the frames that count."""

import torch
from torch import Tensor

THRESHOLD = 0.5


def normalize_frames(maps: Tensor) -> Tensor:
    """Stretch each frame of (..., y, x) to [0, 1] in float32 or better; a flat frame becomes zeros."""
    maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
    low, high = maps.amin((-2, -1), keepdim=True), maps.amax((-2, -1), keepdim=True)
    # For a flat frame the numerator is zero already; the divisor only must not be.
    return (maps - low) / torch.where(high > low, high - low, 1)


def flat_frames(maps: Tensor) -> Tensor:
    """Say of each frame of (..., y, x) whether all its cells are equal: such a map shows nothing."""
    return maps.amin((-2, -1)) == maps.amax((-2, -1))


def valid_mean(values: Tensor, valid: Tensor) -> Tensor:
    """Average (..., T) over the valid frames; NaN where there is none."""
    return torch.where(valid, values, 0).sum(-1) / valid.sum(-1)
