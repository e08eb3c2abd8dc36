"""Which clip, which crop, flipped or not: pure functions of (index, settings, seed, epoch), whole epochs at a time.

All randomness of the data path comes from here. What decodes and warps (DALI or the reader) is told frame numbers and a region of
interest, the same for clip and mask, so the two cannot drift apart and any batch of any epoch can be made again.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from objabn.config import DataConfig
from objabn.data.colour_jitter import random_colours, unchanged
from objabn.data.frame_sampling import evaluation_frames, random_frames, spread
from objabn.data.index import Index

TIE_SHIFT_PIXELS = 2**-11
"""Moves every region by less than any sampling position can be from a pixel's edge, so that none lies exactly on one.

Positions are multiples of 1 / (2 * resized side). Without the shift many fall on the edge between two pixels, and the nearest
pixel of a mask is then a matter of rounding, which differs between devices and libraries.
"""


class ClipPlan(NamedTuple):
    """M clips to be read, as columns."""

    video: NDArray[np.int64]
    """(M,) row of the index."""
    frames: NDArray[np.int64]
    """(M, T) frame numbers."""
    roi: NDArray[np.float32]
    """(M, 4) top, left, bottom, right in pixels of the packed frame; left > right mirrors."""
    colour: NDArray[np.float32]
    """(M, 3, 4) matrix and offset of RGB on a scale of 0 to 255."""
    label: NDArray[np.int64]
    """(M,) class."""
    view: NDArray[np.int64]
    """(M,) view within the video."""
    present: NDArray[np.bool_]
    """(M,) False for padding."""

    def take(self, positions: NDArray[np.int64] | slice) -> "ClipPlan":
        """Return the clips at these positions."""
        return ClipPlan._make(column[positions] for column in self)


def training_plan(index: Index, rows: NDArray[np.int64], config: DataConfig, *, seed: int, epoch: int) -> ClipPlan:
    """Return one epoch of clips, one a video, in random order; random clips unless `augment` is off (Object-ABN section 4.2)."""
    generator = np.random.default_rng([seed, epoch])
    video = generator.permutation(rows)
    count = len(video)
    # The order of the draws is part of the plan: another one would be another run.
    frames = random_frames(index, video, config, generator)
    size_YX = frame_size(index, video)
    if config.augment:
        roi = random_rois(size_YX, config, generator)
        colour = random_colours(count, jitter=config.colour_jitter, noise=config.colour_noise, generator=generator)
    else:
        roi, colour = central_rois(size_YX, config), unchanged(count)
    return ClipPlan(
        video=video,
        frames=frames,
        roi=roi,
        colour=colour,
        label=index.label[video],
        view=np.zeros(count, np.int64),
        present=np.ones(count, bool),
    )


def random_rois(size_YX: NDArray[np.int64], config: DataConfig, generator: np.random.Generator) -> NDArray[np.float32]:
    """Return (M, 4) random crops at a random size, flipped or not."""
    count, (low, high) = len(size_YX), config.short_side
    resized_YX = resized_size(size_YX, generator.integers(low, high, count, endpoint=True))
    top = generator.integers(0, resized_YX[:, 0] - config.crop_size, endpoint=True)
    left = generator.integers(0, resized_YX[:, 1] - config.crop_size, endpoint=True)
    is_flipped = generator.random(count) < config.flip_probability
    return source_roi(size_YX, resized_YX, np.stack([top, left], 1), config.crop_size, is_flipped)


def central_rois(size_YX: NDArray[np.int64], config: DataConfig) -> NDArray[np.float32]:
    """Return (M, 4) the crops of a single view of evaluation."""
    resized_YX = resized_size(size_YX, np.full(len(size_YX), config.eval_short_side))
    return source_roi(size_YX, resized_YX, (resized_YX - config.crop_size) // 2, config.crop_size, np.zeros(len(size_YX), bool))


def evaluation_plan(index: Index, rows: NDArray[np.int64], config: DataConfig) -> ClipPlan:
    """Return all views of each video in the order of the index: of each of its clips all crops; a single view is central."""
    clips, crops = config.views
    video = np.repeat(rows, clips * crops)
    view = np.tile(np.arange(clips * crops), len(rows))
    clip, crop = np.divmod(view, crops)
    size_YX = frame_size(index, video)
    resized_YX = resized_size(size_YX, np.full(len(video), config.eval_short_side))
    offset_YX = crop_offset(resized_YX, crop, config)
    return ClipPlan(
        video=video,
        frames=evaluation_frames(index, video, clip, config),
        roi=source_roi(size_YX, resized_YX, offset_YX, config.crop_size, np.zeros(len(video), bool)),
        colour=unchanged(len(video)),
        label=index.label[video],
        view=view,
        present=np.ones(len(video), bool),
    )


def few_of_each_class(index: Index, rows: NDArray[np.int64], shots: int, *, seed: int) -> NDArray[np.int64]:
    """Return at most so many random rows of each class, no two of one group as long as there are others."""
    drawn = np.random.default_rng([seed, shots]).permutation(rows)
    turns: dict[tuple[int, int], int] = {}
    keys = []
    for row in drawn.tolist():
        own = int(index.label[row]), int(index.group[row])
        turns[own] = turns.get(own, -1) + 1
        keys.append(turns[own])
    ordered = drawn[np.argsort(keys, kind="stable")]
    return np.sort(np.concatenate([ordered[index.label[ordered] == label][:shots] for label in np.unique(index.label[rows])]))


def padded(plan: ClipPlan, multiple: int) -> ClipPlan:
    """Return the plan filled up to a multiple of clips with copies of its last clip that are marked absent."""
    missing = -len(plan.video) % multiple
    filled = plan.take(np.minimum(np.arange(len(plan.video) + missing), len(plan.video) - 1))
    return filled._replace(present=np.arange(len(filled.video)) < len(plan.video))


def frame_size(index: Index, video: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (M, 2) height and width of the packed frames."""
    return np.stack([index.height[video], index.width[video]], 1).astype(np.int64)


def resized_size(size_YX: NDArray[np.int64], short_side: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (M, 2) height and width once the short side has the given length and the shape is kept."""
    return size_YX * short_side[:, None] // size_YX.min(1, keepdims=True)


def crop_offset(resized_YX: NDArray[np.int64], crop: NDArray[np.int64], config: DataConfig) -> NDArray[np.int64]:
    """Return (M, 2) top and left of the evaluation crop `crop`: spread along the longer side, central on the other."""
    room_YX = resized_YX - config.crop_size
    is_longer_YX = np.arange(2) == np.where(resized_YX[:, :1] > resized_YX[:, 1:], 0, 1)
    return np.where(is_longer_YX, spread(room_YX, crop[:, None], config.views[1]), room_YX // 2)


def source_roi(
    size_YX: NDArray[np.int64], resized_YX: NDArray[np.int64], offset_YX: NDArray[np.int64], crop_size: int, is_flipped: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Return the crop of the resized frame as a region of the packed frame, left and right exchanged where flipped."""
    pixels_per_resized_YX = size_YX / resized_YX
    start = offset_YX * pixels_per_resized_YX
    end = (offset_YX + crop_size) * pixels_per_resized_YX
    left = np.where(is_flipped, end[:, 1], start[:, 1])
    right = np.where(is_flipped, start[:, 1], end[:, 1])
    return (np.stack([start[:, 0], left, end[:, 0], right], 1) + TIE_SHIFT_PIXELS).astype(np.float32)
