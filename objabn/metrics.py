"""How sharp maps are and how well they meet objects: batched, on any device.

Nothing here waits for a GPU. Maps and coverages are (..., y, x), whatever comes before; where frames are averaged they
are (..., T, y, x).
"""

import math

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


def attention_entropy(maps: Tensor, bins: int = 10) -> Tensor:
    """Return the entropy in bits of each frame's histogram: (..., Y, X) -> (...); lower is sharper (Object-ABN eq. 11).

    Each frame is stretched to [0, 1]; the value 1 belongs to the last bin; a flat frame has entropy 0. Entropies
    compare only between maps of one grid size.
    """
    values = normalize_frames(maps).flatten(-2)
    places = (values * bins).long().clamp(max=bins - 1)
    counts = values.new_zeros(*values.shape[:-1], bins).scatter_add_(-1, places, torch.ones_like(values))
    return torch.special.entr(counts / values.shape[-1]).sum(-1).div(math.log(2)) + 0.0


def mask_iou(maps: Tensor, coverage: Tensor, valid: Tensor, *, complement: bool = False) -> Tensor:
    """Return the overlap of maps (..., T, y, x) and objects, averaged over the `valid` (..., T) frames: (...).

    Intersection over union of the stretched map >= 0.5 and the coverage >= 0.5, or with `complement` (for M_b) the
    coverage below 0.5. Where both are empty the overlap is 0; without a valid frame it is NaN.
    """
    found = normalize_frames(maps) >= THRESHOLD
    wanted = coverage < THRESHOLD if complement else coverage >= THRESHOLD
    both, either = (found & wanted).sum((-2, -1)), (found | wanted).sum((-2, -1))
    return valid_mean(both / either.clamp(min=1), valid)


def pointing(maps: Tensor, coverage: Tensor, valid: Tensor) -> Tensor:
    """Return the share of `valid` frames whose highest cell has an object in it: (..., T, y, x) -> (...).

    A flat frame points nowhere and misses; without a valid frame the share is NaN.
    """
    highest = maps.flatten(-2).argmax(-1, keepdim=True)
    hits = (coverage.flatten(-2).gather(-1, highest).squeeze(-1) > 0) & ~flat_frames(maps)
    return valid_mean(hits.float(), valid)


def valid_mean(values: Tensor, valid: Tensor) -> Tensor:
    """Average (..., T) over the valid frames; NaN where there is none."""
    return torch.where(valid, values, 0).sum(-1) / valid.sum(-1)
