"""Which frames of a video make a clip: pure functions over whole epochs.

In the formulas k = 0 ... T-1 is a frame of the clip, N the number of frames of the video, v = 0 ... V-1 one of its evaluation clips.
"""

import numpy as np
from numpy.typing import NDArray

from objabn.config import DataConfig
from objabn.data.index import Index

Integers = NDArray[np.int64]


def random_frames(index: Index, video: Integers, config: DataConfig, generator: np.random.Generator) -> Integers:
    """Return (M, T) frame numbers of one training clip of each video.

    `stride`: every start that leaves room for the clip is equally likely (Object-ABN section 4.2).
    `segments`: floor((k + u_k) N / T), each u_k uniform in [0, 1): a random frame from each of T equal parts (TSN, Wang et al. 2016, 3.1).
    `uniform`: as in evaluation.
    """
    if config.sampling == "stride":
        offset = stride_offsets(index, video, config)
        start = generator.integers(0, latest_start(index, video, offset), endpoint=True)
        return within_video(start[:, None] + offset, index.frames[video], config.short_videos)
    if config.sampling == "uniform":
        return frames_of_parts(index.frames[video], np.zeros_like(video), config)
    place = np.arange(config.clip_frames) + generator.random((len(video), config.clip_frames))
    frames = (place * index.frames[video][:, None] / config.clip_frames).astype(np.int64)
    return np.minimum(frames, index.frames[video][:, None] - 1)  # place is below T, but the sum k + u may be rounded up to it


def evaluation_frames(index: Index, video: Integers, clip: Integers, config: DataConfig) -> Integers:
    """Return (M, T) frame numbers of the evaluation clip `clip` of each video; with `stride`, clips begin evenly spread."""
    if config.sampling == "stride":
        offset = stride_offsets(index, video, config)
        start = spread(latest_start(index, video, offset), clip, config.views[0])
        return within_video(start[:, None] + offset, index.frames[video], config.short_videos)
    return frames_of_parts(index.frames[video], clip, config)


def stride_offsets(index: Index, video: Integers, config: DataConfig) -> Integers:
    """Return (1 or M, T) distances from the first frame: k s for the stride s, or at a set rate R for f frames a second round(k s f / R).

    Each is the frame nearest in time, so nothing adds up over a clip, and rates that agree but for rounding (or as 29.97 and 30 in
    clips of seconds) give the plain frames. A video whose rate the index does not know (0) is taken to have the set one.
    """
    steps = config.stride_frames * np.arange(config.clip_frames)[None]
    if not config.frames_per_second:
        return steps
    rate, known = config.frames_per_second, index.fps[video].astype(np.float64)[:, None]
    return np.floor(steps * np.where(known > 0, known, rate) / rate + 0.5).astype(np.int64)


def frames_of_parts(count: Integers, clip: Integers, config: DataConfig) -> Integers:
    """Return (M, T) frames that lie at the same place in each of T equal parts; videos with less than T frames repeat some.

    `segments`: floor((k + (v + 1/2) / V) N / T), a single clip takes the middles (TSN).
    `uniform`: floor((k + v / V) N / T), a single clip begins with the first frame (Meng et al. 2019).
    """
    half_steps = 2 * (np.arange(config.clip_frames) * config.views[0] + clip[:, None]) + (config.sampling == "segments")
    return half_steps * count[:, None] // (2 * config.views[0] * config.clip_frames)


def latest_start(index: Index, video: Integers, offset: Integers) -> Integers:
    """Return (M,) the last frame at which a clip can begin and still end within the video; 0 where there is none."""
    return np.maximum(index.frames[video] - 1 - offset[:, -1], 0)


def within_video(frames: Integers, count: Integers, short_videos: str) -> Integers:
    """Return the frames with those beyond the end replaced: by the last one (`repeat`), or from the start again (`loop`)."""
    return frames % count[:, None] if short_videos == "loop" else np.minimum(frames, count[:, None] - 1)


def spread(room: Integers, number: Integers, count: int) -> Integers:
    """Return places in 0 ... room: one in the middle, several evenly from end to end, floor(room v / (V - 1))."""
    return room * number // (count - 1) if count > 1 else room // 2
