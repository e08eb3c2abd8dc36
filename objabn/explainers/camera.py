"""Cameras as streams of frames, as far as FFmpeg knows them here; they end when nobody asks for more."""

import platform
import stat
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

import av
from av.video.reformatter import VideoReformatter

from objabn.data.video import describe, upright_rgb
from objabn.explainers.streams import PACKED_SHORT_SIDE, Moment

USUAL_FPS = Fraction(30)
"""Of a camera that does not say its own."""


class Camera(Protocol):
    """A stream of frames without an end."""

    fps: Fraction
    """Frames a second, as far as it is known."""

    def moments(self) -> Iterator[Moment]:
        """Yield frames as they come, each with its time."""


class Device(NamedTuple):
    """What FFmpeg opens: an input format and a name in it."""

    format: str
    name: str
    options: dict[str, str]


class OpenCamera:
    """A camera that FFmpeg reads; RuntimeError where it cannot be opened or stops."""

    def __init__(self, device: Device) -> None:
        self.device = device
        try:
            self.container = av.open(device.name, format=device.format, container_options=device.options)
            self.stream = self.container.streams.video[0]
        except (av.error.FFmpegError, ValueError, IndexError, OSError) as error:
            raise RuntimeError(
                f"There is no camera {device.name} that can be opened ({describe(error)}); give another number, or a video file."
            ) from None
        self.fps = Fraction(self.stream.average_rate or USUAL_FPS)

    def moments(self) -> Iterator[Moment]:
        """Yield frames as they come; those that come while a network computes may be lost, which their times show."""
        reformatter, first = VideoReformatter(), None
        try:
            for number, frame in enumerate(self.container.decode(self.stream)):
                time = float(number / self.fps) if frame.time is None else frame.time
                first = time if first is None else first
                yield Moment(time - first, partial(upright_rgb, frame, PACKED_SHORT_SIDE, reformatter), 0.0)
        except av.error.FFmpegError as error:
            raise RuntimeError(f"The camera {self.device.name} has stopped ({describe(error)}).") from None
        finally:
            self.container.close()


def is_camera(text: str) -> bool:
    """Tell whether a word on the command line means a camera: its number, or a device such as /dev/video0."""
    path = Path(text)
    if text.isdecimal():
        return not path.exists()
    try:
        return stat.S_ISCHR(path.stat().st_mode)
    except (OSError, ValueError):
        return text.startswith("/dev/video")


def device_of(text: str, *, system: str | None = None) -> Device:
    """Return what FFmpeg opens for a camera's number or device; ValueError on a system whose cameras are not known here."""
    system = system or platform.system()
    if system == "Linux":
        return Device("v4l2", f"/dev/video{text}" if text.isdecimal() else text, {})
    if system == "Darwin":
        return Device("avfoundation", text, {"framerate": "30"})
    raise ValueError(f"Cameras are read on Linux and macOS only, not on {system}; give a video file.")
