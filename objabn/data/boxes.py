"""Boxes around what happens in videos, and where they lie in a clip: the crop of the boxes is the crop of the frames."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ANNOTATED_SIZE_YX = (240, 320)
"""Rows and columns of the frames that boxes are given for; UCF101's own."""


class Tube(NamedTuple):
    """One actor through consecutive frames."""

    first_frame: int
    """From 0."""
    boxes: NDArray[np.float64]
    """(F, 4) left, top, right and bottom edge in pixels of a frame of `ANNOTATED_SIZE_YX`, one row a frame."""


Boxes = dict[str, tuple[Tube, ...]]
"""The tubes of each video, by its path in the lists without the ending, such as Biking/v_Biking_g01_c01."""


def boxes_of_frames(tubes: Sequence[Tube], frames: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return (tubes, T, 4): the box of each tube in each of T frames, NaN where it has none."""
    found = np.full((len(tubes), len(frames), 4), np.nan)
    for row, tube in zip(found, tubes, strict=True):
        places = frames - tube.first_frame
        is_there = (places >= 0) & (places < len(tube.boxes))
        row[is_there] = tube.boxes[places[is_there]]
    return found


def boxes_in_crop(boxes: NDArray[np.float64], roi: NDArray[np.float32], size_YX: tuple[int, int]) -> NDArray[np.float64]:
    """Return boxes (..., 4) in shares of a crop's width and height, cut at its edges; NaN where nothing of a box is in it.

    `roi` is the crop as a region of packed frames of `size_YX`: top, left, bottom, right, where left > right mirrors.
    """
    top, left, bottom, right = roi.astype(np.float64)
    pixels_XY = boxes.reshape(*boxes.shape[:-1], 2, 2) * np.array(size_YX[::-1]) / np.array(ANNOTATED_SIZE_YX[::-1])
    shares_XY = (pixels_XY - [left, top]) / [right - left, bottom - top]
    # In a mirrored crop the right edge of a box comes first.
    low, high = shares_XY.min(-2).clip(0, 1), shares_XY.max(-2).clip(0, 1)
    is_inside = (high > low).all(-1, keepdims=True)
    return np.where(is_inside, np.concatenate([low, high], -1), np.nan)
