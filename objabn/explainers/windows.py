"""Windows: the clips that a network sees of a whole video, as evaluation spreads them or one after the other, in bounded memory."""

import dataclasses
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from objabn.config import DataConfig
from objabn.data.frame_sampling import stride_offsets, within_video
from objabn.data.index import Index
from objabn.data.reader import warp
from objabn.data.sampling import evaluation_plan
from objabn.explainers.streams import Extent, Moment, Picture, measure, moments_of

Clips = int | Literal["all"]
"""How many clips of a video, spread evenly from its start to its end (one: the centre); or all, one after the other."""

ONE_VIDEO = np.zeros(1, np.int64)


class Window(NamedTuple):
    """The T frames of one clip of a video."""

    frames: NDArray[np.int64]
    """(T,) their numbers in the video; some more than once where the video is shorter than a clip."""
    seconds: NDArray[np.float64]
    """(T,) when each is shown, from the first frame of the video."""
    pictures: NDArray[np.uint8]
    """(T, Y, X, 3) whole frames."""
    rois: NDArray[np.float32]
    """(C, 4) the crops that the network sees: top, left, bottom, right."""
    share: float
    """How much of the video had been read when the window was complete, from 0 to 1; 0 where nobody knows."""

    def clips(self, size: int) -> Tensor:
        """Return each crop at size x size pixels, (C, 3, T, size, size) uint8."""
        frames_TCYX = torch.from_numpy(self.pictures).permute(0, 3, 1, 2).float()
        crops = [warp(frames_TCYX, roi.tolist(), size).round_().to(torch.uint8).transpose(0, 1) for roi in self.rois]
        return torch.stack(crops)


def read_windows(path: Path, data: DataConfig, *, clips: Clips = 1, crops: int = 1) -> Iterator[Window]:
    """Read the windows of a video file or a folder of frames, from its start to its end.

    `clips` of a number are those of evaluation with so many views. "all" needs clips of neighbouring frames
    (data.sampling=stride): the first begins with the video, each of the others a clip's length later, and the last ends where the
    video ends, up to less than a stride. Memory is that of one window (of all, where clips reach over the whole video). Raises
    FileNotFoundError, RuntimeError where the video cannot be decoded, and ValueError where clips cannot be laid like this.
    """
    if clips == "all":
        yield from slide(moments_of(path), dataclasses.replace(data, views=(1, crops)), needed_rate(path, data))
    else:
        yield from spread(path, measure(path), dataclasses.replace(data, views=(clips, crops)))


def spread(path: Path, extent: Extent, data: DataConfig) -> Iterator[Window]:
    """Yield the clips of evaluation, with all their crops, of a video whose extent is known."""
    plan = evaluation_plan(single_video(extent.frames, (extent.height, extent.width), extent.fps), ONE_VIDEO, data)
    crops = data.views[1]
    yield from gather(moments_of(path), plan.frames[::crops], plan.roi[:crops])


def needed_rate(path: Path, data: DataConfig) -> Fraction:
    """Return the frames per second of a video, for which it is gone through, where the stride of clips counts time and not frames."""
    return measure(path).fps if data.frames_per_second else Fraction(25)


def gather(moments: Iterable[Moment], frames_MT: NDArray[np.int64], rois: NDArray[np.float32]) -> Iterator[Window]:
    """Yield the windows of known frames as soon as their last one is read; frames are kept as long as a window needs them."""
    last_use = {number: window for window, frames_T in enumerate(frames_MT.tolist()) for number in frames_T}
    kept: dict[int, Shown] = {}
    next_window = 0
    for number, moment in enumerate(islice(moments, int(frames_MT.max()) + 1)):
        if number in last_use:
            kept[number] = Shown(moment.seconds, moment.picture())
        while next_window < len(frames_MT) and frames_MT[next_window].max() <= number:
            yield window_of(kept, frames_MT[next_window], rois, moment.share)
            next_window += 1
            kept = {kept_number: shown for kept_number, shown in kept.items() if last_use[kept_number] >= next_window}


def slide(moments: Iterable[Moment], data: DataConfig, fps: Fraction) -> Iterator[Window]:
    """Yield windows one after the other, of a stream that may never end; its rate matters where the settings set one."""
    refuse_whole_videos(data)
    offsets_T = stride_offsets(single_video(1, (1, 1), fps), ONE_VIDEO, data)[0]
    span, step = int(offsets_T[-1]), 1 if data.frames_per_second else data.stride_frames
    # From the last frame of a window to the first of the next it is as far as from frame to frame.
    hop = span + (max(1, span // (len(offsets_T) - 1)) if len(offsets_T) > 1 else step)
    kept: dict[int, Shown] = {}
    rois, start, last, share, number = np.zeros((1, 4), np.float32), 0, 0, 0.0, -1
    for number, moment in enumerate(moments):
        share = moment.share
        # A video that ends within the first window may need any of its frames; later ones lie on one grid.
        if number % step and number > span:
            continue
        last, kept[number] = number, Shown(moment.seconds, moment.picture())
        if number == 0:
            rois = crops_of(kept[0].picture, data)
        if number == start + span:
            yield window_of(kept, start + offsets_T, rois, share)
            start += hop
        kept.pop(number - span - step, None)
        if number == span:
            kept = {kept_number: shown for kept_number, shown in kept.items() if kept_number % step == 0}
    if number < 0:
        return
    if start == 0:
        frames_T = within_video(offsets_T[None], np.array([number + 1]), data.short_videos)[0]
        yield window_of(kept, frames_T, rois, share)
    elif last > start - hop + span:
        yield window_of(kept, last - span + offsets_T, rois, share)


def refuse_whole_videos(data: DataConfig) -> None:
    """Raise ValueError where each clip sees the whole video, so that there is none after it."""
    if data.sampling != "stride":
        raise ValueError(f"With data.sampling={data.sampling} every clip sees the whole video; give a number of clips instead of all.")


class Shown(NamedTuple):
    """A frame that is kept."""

    seconds: float
    picture: Picture


def window_of(kept: dict[int, Shown], frames_T: NDArray[np.int64], rois: NDArray[np.float32], share: float) -> Window:
    """Put the kept frames of these numbers together."""
    shown = [kept[number] for number in frames_T.tolist()]
    seconds_T = np.array([frame.seconds for frame in shown])
    return Window(frames_T, seconds_T, np.stack([frame.picture for frame in shown]), rois, share)


def crops_of(picture: Picture, data: DataConfig) -> NDArray[np.float32]:
    """Return (C, 4) the crops of evaluation for frames of this size."""
    height, width = picture.shape[:2]
    return evaluation_plan(single_video(1, (height, width), Fraction(25)), ONE_VIDEO, data).roi[: data.views[1]]


def single_video(frames: int, size_YX: tuple[int, ...], fps: Fraction) -> Index:
    """Return the index of one video, for which the sampling rules can be asked."""
    zero = np.zeros(1, np.int64)
    return Index(
        name_bytes=np.zeros(0, np.uint8),
        name_offsets=np.zeros(2, np.int64),
        label=zero,
        frames=np.array([frames]),
        height=np.array([size_YX[0]], np.int32),
        width=np.array([size_YX[1]], np.int32),
        fps=np.array([fps], np.float32),
        group=np.zeros(1, np.int32),
        subset=np.zeros((1, 1), np.uint8),
        shard=np.zeros(1, np.int32),
        first_frame=zero,
    )
