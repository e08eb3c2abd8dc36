"""Videos that somebody hands in: kept as long as they are looked at, under a name of our own, and read at any place."""

import dataclasses
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from objabn.config import DataConfig
from objabn.data.frame_sampling import latest_start, stride_offsets, within_video
from objabn.data.index import Index
from objabn.data.sampling import evaluation_plan
from objabn.explainers.streams import Extent, measure, moments_of
from objabn.explainers.windows import ONE_VIDEO, Window, gather, single_video, spread


class OpenVideo(NamedTuple):
    """A video that was gone through once."""

    path: Path
    name: str
    """What its owner calls it: shown and never used as a path."""
    extent: Extent
    last_start: int
    """The last frame that a clip can begin with; 0 where there is no choice."""


def open_video(path: Path, name: str, data: DataConfig) -> OpenVideo:
    """Go through a video once; RuntimeError, under the owner's name for it, where it cannot be read."""
    try:
        extent = measure(path)
    except RuntimeError as error:
        raise RuntimeError(str(error).replace(str(path), name)) from None
    if data.sampling != "stride":
        return OpenVideo(path, name, extent, 0)
    index = index_of(extent)
    return OpenVideo(path, name, extent, int(latest_start(index, ONE_VIDEO, stride_offsets(index, ONE_VIDEO, data))[0]))


def read_clip(video: OpenVideo, data: DataConfig, start_frame: int | None = None) -> Window:
    """Read the clip that begins with a frame, or (None) the centre clip, which evaluation takes."""
    data = dataclasses.replace(data, views=(1, 1))
    if start_frame is None or not video.last_start:
        return next(spread(video.path, video.extent, data))
    offsets_MT = stride_offsets(index_of(video.extent), ONE_VIDEO, data)
    frames_MT = within_video(min(start_frame, video.last_start) + offsets_MT, np.array([video.extent.frames]), data.short_videos)
    rois = evaluation_plan(index_of(video.extent), ONE_VIDEO, data).roi
    return next(gather(moments_of(video.path), frames_MT, rois))


def index_of(extent: Extent) -> Index:
    """Return the index of one video, for which the sampling rules can be asked."""
    return single_video(extent.frames, (extent.height, extent.width), extent.fps)


def safe_name(name: str) -> str:
    """Return what of a video's name may be part of the name of a file: letters, digits, dots and dashes."""
    return re.sub(r"[^\w.-]+", "_", Path(name).stem).strip("._")[:60] or "clip"
