"""Videos in and out: the centre clip of any file as evaluation sees it, and films of explanations."""

from collections.abc import Iterator
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
    """Of the file."""


def read_centre_clip(path: Path, data: DataConfig) -> CentreClip:
    """Read the clip that evaluation takes of a video: centre in time and space; a short video repeats its last frame.

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
        plan = evaluation_plan(single_video(count, size_YX), np.zeros(1, np.int64), data)
        wanted = plan.frames[0]
        with SourceVideo(path) as video:
            frames_TYXC = np.stack(list(pick(video, wanted)))
    except UnreadableVideoError as error:
        raise RuntimeError(f"{path} cannot be read: {error}.") from None
    frames_TCYX = torch.from_numpy(frames_TYXC).permute(0, 3, 1, 2).float()
    clip_TCYX = warp(frames_TCYX, plan.roi[0].tolist(), data.crop_size).round_().to(torch.uint8)
    return CentreClip(clip_TCYX.transpose(0, 1).contiguous(), wanted, fps)


def pick(video: SourceVideo, wanted: NDArray[np.int64]) -> Iterator[NDArray[np.uint8]]:
    """Yield the wanted frames, whose numbers never fall and may repeat."""
    frames = islice(video.rgb_frames(short_side=PACKED_SHORT_SIDE), int(wanted[-1]) + 1)
    for number, frame_YXC in enumerate(frames):
        yield from [frame_YXC] * int((wanted == number).sum())


def single_video(frames: int, size_YX: tuple[int, ...]) -> Index:
    """Return the index of one video, for which the sampling rules can be asked."""
    zero = np.zeros(1, np.int64)
    return Index(
        name_bytes=np.zeros(0, np.uint8),
        name_offsets=np.zeros(2, np.int64),
        label=zero,
        frames=np.array([frames]),
        height=np.array([size_YX[0]], np.int32),
        width=np.array([size_YX[1]], np.int32),
        fps=np.zeros(1, np.float32),
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
