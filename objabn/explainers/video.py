"""Videos in and out: the centre clip of any file as evaluation sees it, and films of explanations."""

import dataclasses
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import torch
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from objabn.config import DataConfig
from objabn.data.index import Index
from objabn.data.reader import warp
from objabn.data.sampling import evaluation_plan
from objabn.data.video import SourceVideo, UnreadableVideoError
from objabn.files import aside

PACKED_SHORT_SIDE = 320
"""`objabn prepare` reduces larger frames to this before anything else, so the same is done here."""


class CentreClip(NamedTuple):
    """A clip that was read from a video file."""

    clip: Tensor
    """(3, T, Y, X) uint8 RGB."""
    frames: NDArray[np.int64]
    """(T,) frame numbers in the file."""
    frames_per_second: Fraction
    """Of a film of the clip that is as fast as the video, at least 1."""


def read_centre_clip(path: Path, data: DataConfig) -> CentreClip:
    """Read the single view that evaluation takes of a video: centre in time and space, by the settings of its frames.

    The file is decoded from its beginning, which is the only way to get frame k of any container. Raises
    FileNotFoundError, and RuntimeError where it cannot be decoded.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no video {path}.")
    try:
        # A file does not say reliably how many frames it has, and a long video does not fit into memory: read it twice.
        with SourceVideo(path) as video:
            count, fps = sum(1 for _ in video.frames()), video.fps
        with SourceVideo(path) as video:
            size_YX = next(video.rgb_frames(short_side=PACKED_SHORT_SIDE)).shape[:2]
        plan = evaluation_plan(single_video(count, size_YX, fps), np.zeros(1, np.int64), dataclasses.replace(data, views=(1, 1)))
        with SourceVideo(path) as video:
            frames_TYXC = pick(video, plan.frames[0])
    except UnreadableVideoError as error:
        raise RuntimeError(f"{path} cannot be read: {error}.") from None
    frames_TCYX = torch.from_numpy(frames_TYXC).permute(0, 3, 1, 2).float()
    clip_TCYX = warp(frames_TCYX, plan.roi[0].tolist(), data.crop_size).round_().to(torch.uint8)
    return CentreClip(clip_TCYX.transpose(0, 1).contiguous(), plan.frames[0], film_rate(data, count, fps))


def pick(video: SourceVideo, wanted: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return the wanted frames as (T, Y, X, 3), in any order and repeated as often as asked for."""
    frames = islice(video.rgb_frames(short_side=PACKED_SHORT_SIDE), int(wanted.max()) + 1)
    found = {number: frame_YXC for number, frame_YXC in enumerate(frames) if number in wanted}
    return np.stack([found[number] for number in wanted.tolist()])


def film_rate(data: DataConfig, count: int, fps: Fraction) -> Fraction:
    """Return how many frames of a clip there are to a second of a video of `count` frames, at least 1."""
    if data.sampling != "stride":
        return max(fps * data.clip_frames / count, Fraction(1))
    rate = Fraction(data.frames_per_second).limit_denominator(1001)
    return max((rate or fps) / data.stride_frames, Fraction(1))


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


def write_film(path: Path, frames_TYXC: NDArray[np.uint8], *, frames_per_second: Fraction) -> None:
    """Write an MP4 that plays everywhere: H.264 where this PyAV has an encoder for it, else MPEG-4; odd sizes repeat an edge."""
    height, width = frames_TYXC.shape[1:3]
    even = np.pad(frames_TYXC, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    with aside(path) as file, av.open(file, "w", format="mp4") as container:
        stream = container.add_stream(codec, rate=frames_per_second.limit_denominator(1001))
        assert isinstance(stream, VideoStream)
        stream.height, stream.width, stream.pix_fmt = even.shape[1], even.shape[2], "yuv420p"
        stream.options = {"crf": "18"} if codec == "libx264" else {"qscale": "3"}
        for picture in even:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        container.mux(stream.encode())


def write_picture(path: Path, picture_YXC: NDArray[np.uint8]) -> None:
    """Write a PNG."""
    with aside(path) as file:
        Image.fromarray(picture_YXC).save(file, "PNG")
