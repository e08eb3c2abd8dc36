"""How well maps cover objects: overlap of the stretched map, and distance of the map as it is."""

import torch
from torch import Tensor

from objabn.metrics.frames import THRESHOLD, flat_frames, normalize_frames, valid_mean
from objabn.metrics.ordering import places_from_top


def mask_iou(maps: Tensor, coverage: Tensor, valid: Tensor, *, complement: bool = False, top_cells: bool = False) -> Tensor:
    """Return the overlap of maps (..., T, y, x) and objects, averaged over the `valid` (..., T) frames: (...).

    Intersection over union of the stretched map >= 0.5 and the coverage >= 0.5, or with `complement` (for M_b) the
    coverage below 0.5. `top_cells` finds, in place of what is above a threshold, as many of the highest cells as are wanted: of
    equal cells the first, row by row, and in a flat frame none. Where both are empty the overlap is 0; without a valid frame it
    is NaN.
    """
    wanted = coverage < THRESHOLD if complement else coverage >= THRESHOLD
    found = highest_cells(maps, wanted.sum((-2, -1))) if top_cells else normalize_frames(maps) >= THRESHOLD
    return cells_iou(found, wanted, valid)


def cells_iou(found: Tensor, wanted: Tensor, valid: Tensor) -> Tensor:
    """Return intersection over union of cells (..., T, y, x) that are in or out, averaged over the `valid` frames; both empty is 0."""
    both, either = (found & wanted).sum((-2, -1)), (found | wanted).sum((-2, -1))
    return valid_mean(both / either.clamp(min=1), valid)


def highest_cells(maps: Tensor, counts: Tensor) -> Tensor:
    """Say of each cell of (..., y, x) whether it is among the `counts` (...) highest of its frame; none is in a flat frame."""
    found = (places_from_top(maps.flatten(-2)) < counts[..., None]) & ~flat_frames(maps)[..., None]
    return found.unflatten(-1, maps.shape[-2:])


def soft_iou(maps: Tensor, coverage: Tensor, valid: Tensor, *, complement: bool = False) -> Tensor:
    """Return the overlap without a threshold, averaged over the `valid` (..., T) frames: (..., T, y, x) -> (...).

    Sum of the lesser over sum of the greater of the stretched map and the coverage, or with `complement` (for M_b) what
    it leaves free. Where both are empty the overlap is 0; without a valid frame it is NaN.
    """
    found, wanted = normalize_frames(maps), wanted_shares(maps, coverage, complement=complement)
    both, either = torch.minimum(found, wanted).sum((-2, -1)), torch.maximum(found, wanted).sum((-2, -1))
    return valid_mean(both / torch.where(either == 0, 1, either), valid)


def mask_mse(maps: Tensor, coverage: Tensor, valid: Tensor, *, complement: bool = False) -> Tensor:
    """Return the mean squared distance of maps from the coverage, over the `valid` (..., T) frames: (..., T, y, x) -> (...).

    Of the maps as they are: the mask loss (Object-ABN eq. 3) asks for their very values, and a network that gates its features
    acts on them, so that a map too pale must cost; stretching would forgive it. For the same reason this says nothing of maps whose
    scale means nothing, those of Grad-CAM among them. `complement` and frames as in `soft_iou`.
    """
    distance = maps - wanted_shares(maps, coverage, complement=complement)
    return valid_mean(distance.square().mean((-2, -1)), valid)


def mask_mae(maps: Tensor, coverage: Tensor, valid: Tensor, *, complement: bool = False) -> Tensor:
    """Return the mean absolute distance of maps from the coverage, otherwise as `mask_mse`."""
    distance = maps - wanted_shares(maps, coverage, complement=complement)
    return valid_mean(distance.abs().mean((-2, -1)), valid)


def wanted_shares(maps: Tensor, coverage: Tensor, *, complement: bool) -> Tensor:
    """Return how much of each cell a map should cover, in the precision of the maps but float32 at least."""
    wanted = coverage.to(torch.promote_types(maps.dtype, torch.float32))
    return 1 - wanted if complement else wanted
