"""Whether maps point at objects: their highest cell, and all they have."""

import torch
from torch import Tensor

from objabn.metrics.frames import flat_frames, valid_mean


def pointing(maps: Tensor, coverage: Tensor, valid: Tensor, *, tolerance: float = 0) -> Tensor:
    """Return the share of `valid` frames whose highest cell has an object in it: (..., T, y, x) -> (...).

    With a `tolerance` in cells, the object is enlarged by a disc of this radius: a hit is also a cell whose centre is no further
    from that of one with an object (pointing game, Zhang et al. 2018: 15 pixels at 224). Of several highest cells the first row by row
    counts. A flat frame points nowhere and misses; without a valid frame the share is NaN.
    """
    highest = maps.flatten(-2).argmax(-1)[..., None, None]
    columns = maps.shape[-1]
    rows_away = torch.arange(maps.shape[-2], device=maps.device)[:, None] - highest // columns
    columns_away = torch.arange(columns, device=maps.device) - highest % columns
    # One distance a cell, from the one that is pointed at, is all that the enlarged mask is asked for.
    near = rows_away.square() + columns_away.square() <= tolerance**2
    hits = (near & (coverage > 0)).any(-1).any(-1) & ~flat_frames(maps)
    return valid_mean(hits.float(), valid)


def energy_pointing(maps: Tensor, coverage: Tensor, valid: Tensor) -> Tensor:
    """Return the share of a map's sum that lies on objects, averaged over the `valid` frames: (..., T, y, x) -> (...).

    Sum of map times coverage over sum of map (energy-based pointing game, Score-CAM, Wang et al. 2020), of the maps as they are, negative
    values counting as 0. A frame of zeros has 0; without a valid frame the share is NaN.
    """
    energy = maps.to(torch.promote_types(maps.dtype, torch.float32)).relu()
    inside, total = (energy * coverage).sum((-2, -1)), energy.sum((-2, -1))
    return valid_mean(inside / torch.where(total == 0, 1, total), valid)
