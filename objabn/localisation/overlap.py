"""Boxes against boxes: how much two of them overlap, and whether a point is in one. Boxes are left, top, right and bottom edge."""

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


def box_iou(boxes: Numbers, others: Numbers, *, added_pixels: int = 0) -> Numbers:
    """Return intersection over union of boxes (..., 4); `added_pixels` is added to every side. NaN where a box is."""
    overlap_XY = np.minimum(boxes[..., 2:], others[..., 2:]) - np.maximum(boxes[..., :2], others[..., :2]) + added_pixels
    both = overlap_XY.clip(min=0).prod(-1)
    areas = [(b[..., 2:] - b[..., :2] + added_pixels).prod(-1) for b in (boxes, others)]
    union: Numbers = areas[0] + areas[1] - both
    return both / union


def is_within(points_XY: Numbers, boxes: Numbers) -> NDArray[np.bool_]:
    """Say of points (..., 2) whether they are in boxes (..., 4); never in one that is NaN."""
    return np.all((boxes[..., :2] <= points_XY) & (points_XY < boxes[..., 2:]), axis=-1)


def highest_points(maps_TYX: NDArray[np.float32]) -> Numbers:
    """Return (T, 2) column and row of each frame's highest pixel, at its centre; NaN where a frame is flat, which points nowhere."""
    row, column = np.unravel_index(maps_TYX.reshape(len(maps_TYX), -1).argmax(1), maps_TYX.shape[1:])
    is_flat = maps_TYX.max((1, 2)) == maps_TYX.min((1, 2))
    return np.where(is_flat[:, None], np.nan, np.stack([column, row], 1) + 0.5)
