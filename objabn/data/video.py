"""Source videos, decoded from the first frame to the last: the only order that is right for every container."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from numpy.typing import NDArray

from objabn.data.encode import to_planes

BT601_OR_UNSAID = (2, 5, 6)
"""Codes of unspecified, BT.470BG and SMPTE 170M in ISO/IEC 23091-2."""


class UnreadableVideoError(RuntimeError):
    """A video that cannot be packed; the message is the reason."""


class SourceVideo:
    """An open video file; anything wrong with it is an UnreadableVideoError."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise UnreadableVideoError("the file is absent")
        if not path.stat().st_size:
            raise UnreadableVideoError("the file is empty")
        try:
            # Titles and the like may be in any encoding; nobody reads them.
            self.container = av.open(str(path), metadata_errors="replace")
        except av.error.FFmpegError as error:
            raise UnreadableVideoError(f"not a video that can be opened ({describe(error)})") from None
        if not self.container.streams.video:
            self.container.close()
            raise UnreadableVideoError("the file holds no video stream")
        self.stream = self.container.streams.video[0]
        self.decoded = 0
        # One thread: every worker has a core of its own. "explode" turns damage into an error instead of guessed pixels.
        self.stream.codec_context.thread_count = 1
        self.stream.codec_context.options = {"err_detect": "explode"}

    def __enter__(self) -> "SourceVideo":
        return self

    def __exit__(self, *_: object) -> None:
        self.container.close()

    @property
    def fps(self) -> Fraction:
        """Mean frames per second as the container tells, 25 where it tells nothing sensible."""
        rate = self.stream.average_rate or self.stream.guessed_rate
        return rate.limit_denominator(1001) if rate and 1 <= rate <= 1000 else Fraction(25)

    @property
    def announced_frames(self) -> int:
        """Frames that the container promises; 0 where it promises nothing."""
        if self.stream.frames:
            return int(self.stream.frames)
        if self.stream.duration and self.stream.time_base:
            return int(self.stream.duration * self.stream.time_base * self.fps)
        # The length of the whole file may be that of a sound track.
        duration = self.container.duration if len(self.container.streams) == 1 else None
        return int(Fraction(duration, av.time_base) * self.fps) if duration else 0

    def rgb_frames(self, *, short_side: int = 0) -> Iterator[NDArray[np.uint8]]:
        """Yield every frame as (Y, X, 3) RGB the right way up; a short side above `short_side` is reduced to it (0: never)."""
        # One for all frames: a frame's own reformat() prepares its tables anew each time.
        reformatter = VideoReformatter()
        for frame in self.frames():
            yield upright_rgb(frame, short_side, reformatter)

    def yuv_frames(self, *, short_side: int = 0) -> Iterator[NDArray[np.uint8]]:
        """Yield every frame as yuv420p planes below each other, (Y * 3 / 2, X), BT.601, sized and turned as by `rgb_frames`.

        Frames that are so already pass untouched: on the way through RGB their colours would be averaged twice.
        """
        reformatter, to_yuv = VideoReformatter(), VideoReformatter()
        for frame in self.frames():
            if is_as_wanted(frame, short_side):
                yield np.asarray(frame.to_ndarray(), np.uint8)
            else:
                yield to_planes(upright_rgb(frame, short_side, reformatter), to_yuv)

    def frames(self) -> Iterator[VideoFrame]:
        """Yield every frame in the order of display; damage and a missing end are an UnreadableVideoError."""
        try:
            for frame in self.container.decode(self.stream):
                if frame.is_corrupt:
                    raise UnreadableVideoError(f"frame {self.decoded} is damaged")
                self.decoded += 1
                yield frame
        except av.error.FFmpegError as error:
            raise UnreadableVideoError(f"decoding fails after {self.decoded} frames ({describe(error)})") from None
        if not self.decoded:
            raise UnreadableVideoError("the file holds no frame that can be decoded")
        # Sound videos announce up to one frame too many; a count estimated from a duration is vaguer.
        slack = 2 if self.stream.frames else 2 + self.announced_frames // 10
        if self.decoded < self.announced_frames - slack:
            raise UnreadableVideoError(f"truncated: {self.announced_frames} frames are announced, {self.decoded} could be decoded")


def upright_rgb(frame: VideoFrame, short_side: int, reformatter: VideoReformatter) -> NDArray[np.uint8]:
    """Return a frame as (Y, X, 3) RGB the right way up, reduced to the short side."""
    scale = min(1.0, short_side / min(frame.width, frame.height)) if short_side else 1.0
    width, height = max(1, round(frame.width * scale)), max(1, round(frame.height * scale))
    rgb = np.asarray(reformatter.reformat(frame, width, height, "rgb24", interpolation=Interpolation.AREA).to_ndarray(), np.uint8)
    # Telephones store films lying on their side, with a note how to turn them.
    return np.ascontiguousarray(np.rot90(rgb, round(frame.rotation / 90)))


def is_as_wanted(frame: VideoFrame, short_side: int) -> bool:
    """Tell whether a frame is upright yuv420p of even and wanted size, BT.601 (or nothing said, which means it) and limited range."""
    is_small = not short_side or min(frame.width, frame.height) <= short_side
    is_upright_and_even = not (frame.rotation or frame.width % 2 or frame.height % 2)
    is_bt601 = frame.colorspace in BT601_OR_UNSAID and frame.color_range != ColorRange.JPEG
    return frame.format.name == "yuv420p" and is_small and is_upright_and_even and is_bt601


def describe(error: Exception) -> str:
    """Return an error of FFmpeg without its number and path."""
    return str(getattr(error, "strerror", None) or error)
