"""From a map to a box: what is above a threshold, the regions of it, and the box around one or all of them.

Regions are found here and not by SciPy or OpenCV, which only extras bring: runs of pixels in rows, joined where they
touch, give boxes at once and for all frames together.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from objabn.localisation.protocols import Protocol
from objabn.metrics import flat_frames, normalize_frames

GREY_LEVELS = 255


def enlarged_maps(maps_TYX: Tensor, protocol: Protocol, size_YX: tuple[int, int]) -> Tensor:
    """Return maps (T, Y, X) stretched frame by frame to [0, 1] and bilinearly enlarged; in grey levels, to [0, 255].

    A flat frame is zeros, as is one that only rounding would make uneven when it is enlarged.
    """
    stretched = normalize_frames(maps_TYX)
    if protocol.is_grey:
        return enlarge(stretched.mul(GREY_LEVELS).floor(), size_YX).round()
    return normalize_frames(enlarge(stretched, size_YX))


def enlarge(maps_TYX: Tensor, size_YX: tuple[int, int]) -> Tensor:
    """Enlarge each frame bilinearly."""
    return functional.interpolate(maps_TYX[:, None], size_YX, mode="bilinear", align_corners=False)[:, 0]


def found_pixels(maps_TYX: Tensor, protocol: Protocol) -> Tensor:
    """Say of each pixel of enlarged maps (T, Y, X) whether the protocol finds something there; nothing is found in a flat frame."""
    top = float(GREY_LEVELS if protocol.is_grey else 1)
    start = maps_TYX.mean((-2, -1), keepdim=True) if protocol.threshold_from == "mean" else 0.0
    threshold = start + protocol.threshold * (top - start)
    found = maps_TYX > threshold if protocol.is_strict else maps_TYX >= threshold
    return found & ~flat_frames(maps_TYX)[:, None, None]


def boxes_around(found_TYX: NDArray[np.bool_], regions: Literal["largest", "all"]) -> NDArray[np.float64]:
    """Return (T, 4): left, top, right and bottom edge in pixels around the largest region of each frame or all; NaN where there is none."""
    frame, boxes = region_boxes(found_TYX)
    around = np.full((len(found_TYX), 4), np.nan)
    if regions == "all":
        around[frame] = [np.inf, np.inf, -np.inf, -np.inf]
        np.minimum.at(around[:, :2], frame, boxes[:, :2])
        np.maximum.at(around[:, 2:], frame, boxes[:, 2:])
        return around
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    # The last of each frame stays: the largest, and of equal ones the first.
    order = np.lexsort((-np.arange(len(area)), area))
    around[frame[order]] = boxes[order]
    return around


def region_boxes(found_TYX: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the frame (R,) and the box (R, 4) of each region, from top to bottom; pixels that touch at a corner are of one region."""
    _, rows, columns = found_TYX.shape
    edges = np.diff(np.pad(found_TYX, ((0, 0), (0, 0), (1, 1))).astype(np.int8), axis=2)
    frame, row, start = np.nonzero(edges == 1)
    end = np.nonzero(edges == -1)[2]
    region = joined(*touching(frame * (rows + 1) + row, start, end, columns), len(start))
    first, place = np.unique(region, return_inverse=True)
    boxes = np.stack([start, row, end, row + 1], 1)[first]
    np.minimum.at(boxes[:, 0], place, start)
    np.maximum.at(boxes[:, 2], place, end)
    np.maximum.at(boxes[:, 3], place, row + 1)
    return frame[first], boxes


def touching(
    line: NDArray[np.int64], start: NDArray[np.int64], end: NDArray[np.int64], columns: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pairs of runs on consecutive lines that touch, at a corner at least; runs are sorted by line and start."""
    first = np.searchsorted(line * (columns + 1) + end, (line + 1) * (columns + 1) + start, "left")
    behind = np.searchsorted(line * (columns + 1) + start, (line + 1) * (columns + 1) + end, "right")
    counts = np.maximum(behind - first, 0)
    upper = np.repeat(np.arange(len(line)), counts)
    return upper, np.arange(len(upper)) - np.repeat(np.cumsum(counts) - counts - first, counts)


def joined(upper: NDArray[np.int64], lower: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return for each of `count` runs the first run of its region."""
    region = np.arange(count)
    while True:
        least = np.minimum(region[upper], region[lower])
        nearer = region.copy()
        np.minimum.at(nearer, upper, least)
        np.minimum.at(nearer, lower, least)
        # Following the number of a number joins long regions in few rounds.
        nearer = nearer[nearer]
        if np.array_equal(nearer, region):
            return region
        region = nearer
