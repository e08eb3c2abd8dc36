"""Videos in and out: the centre clip of any file as evaluation sees it, and films and pictures of explanations."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from objabn.config import DataConfig
from objabn.explainers.streams import measure
from objabn.explainers.windows import spread
from objabn.files import aside

CLOCK = 30000
"""Ticks a second in a film: usual frame rates divide it, 29.97 among them, and MPEG-4 allows no more than 65535."""


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
    extent = measure(path)
    window = next(spread(path, extent, dataclasses.replace(data, views=(1, 1))))
    return CentreClip(window.clips(data.crop_size)[0], window.frames, film_rate(data, extent.frames, extent.fps))


def film_rate(data: DataConfig, count: int, fps: Fraction) -> Fraction:
    """Return how many frames of a clip there are to a second of a video of `count` frames, at least 1."""
    if data.sampling != "stride":
        return max(fps * data.clip_frames / count, Fraction(1))
    rate = Fraction(data.frames_per_second).limit_denominator(1001)
    return max((rate or fps) / data.stride_frames, Fraction(1))


class FilmWriter:
    """Takes the frames of a film one after the other, each with its time."""

    def __init__(self, container: av.container.OutputContainer, rate: Fraction) -> None:
        self.container, self.rate = container, rate
        self.stream: VideoStream | None = None
        self.last = -1

    def add(self, picture_YXC: NDArray[np.uint8], seconds: float) -> None:
        """Add a frame that is shown from a time on, later than the one before."""
        height, width = picture_YXC.shape[:2]
        even = np.pad(picture_YXC, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        self.stream = self.stream or self.open_stream(even.shape[1], even.shape[0])
        frame = av.VideoFrame.from_ndarray(even, format="rgb24")
        frame.pts = self.last = max(round(seconds * CLOCK), self.last + 1)
        frame.time_base = Fraction(1, CLOCK)
        frame.duration = round(CLOCK / self.rate)
        self.container.mux(self.stream.encode(frame))

    def open_stream(self, width: int, height: int) -> VideoStream:
        """Begin with the first frame, whose size all have."""
        codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
        stream = self.container.add_stream(codec, rate=self.rate.limit_denominator(1001))
        assert isinstance(stream, VideoStream)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        stream.codec_context.time_base = Fraction(1, CLOCK)
        stream.options = {"crf": "20", "preset": "fast"} if codec == "libx264" else {"qscale": "3"}
        return stream

    def close(self) -> None:
        """Write what the encoder still holds."""
        if self.stream is not None:
            self.container.mux(self.stream.encode())


@contextmanager
def film_writer(path: Path, *, frames_per_second: Fraction) -> Iterator[FilmWriter]:
    """Open an MP4 that plays everywhere: H.264 where this PyAV has an encoder for it, else MPEG-4; odd sizes repeat an edge.

    `frames_per_second` is the usual rate; the last frame is shown as long as that. The file is there once it is whole.
    """
    with aside(path) as file, av.open(file, "w", format="mp4") as container:
        writer = FilmWriter(container, frames_per_second)
        yield writer
        writer.close()


def write_film(path: Path, frames_TYXC: NDArray[np.uint8], *, frames_per_second: Fraction) -> None:
    """Write an MP4 of frames at a constant rate."""
    with film_writer(path, frames_per_second=frames_per_second) as writer:
        for number, picture_YXC in enumerate(frames_TYXC):
            writer.add(picture_YXC, float(number / frames_per_second))


def write_picture(path: Path, picture_YXC: NDArray[np.uint8]) -> None:
    """Write a PNG."""
    with aside(path) as file:
        Image.fromarray(picture_YXC).save(file, "PNG")


def write_animation(path: Path, pictures: list[Image.Image], milliseconds: list[int]) -> None:
    """Write a GIF that plays for ever; each picture is shown so long, in steps of ten milliseconds."""
    with aside(path) as file:
        pictures[0].save(file, "GIF", save_all=True, append_images=pictures[1:], duration=milliseconds, loop=0, disposal=1)
