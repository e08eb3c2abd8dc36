"""Source videos, decoded from the first frame to the last: the only order that is right for every container."""

import stat
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from numpy.typing import NDArray

from objabn.data.encode import to_planes

BT601_OR_UNSAID = (2, 5, 6)
"""Codes of unspecified, BT.470BG and SMPTE 170M in ISO/IEC 23091-2."""
FORMATS = "avi,mov,matroska,mpeg,mpegts,mpegvideo,m4v,h264,hevc,av1,obu,ivf,asf,flv,ogg,dv,mxf,nut,rm,gif,yuv4mpegpipe"
"""FFmpeg's readers of one file; playlists and the like, which open other files, are not among them."""
LARGEST_PICTURE = 8192 * 8192
"""Pixels of a frame, twice those of 8K television: a decoder may hold seventeen frames, which then are 1.7 GB."""


class UnreadableVideoError(RuntimeError):
    """A video that cannot be packed; the message is the reason."""


class Orientation(NamedTuple):
    """How to turn a stored picture so that it stands upright: first transposed, then mirrored."""

    is_transposed: bool
    upside_down: bool
    left_right: bool


UPRIGHT = Orientation(is_transposed=False, upside_down=False, left_right=False)


class SourceVideo:
    """An open video file; anything wrong with it is an UnreadableVideoError."""

    def __init__(self, path: Path) -> None:
        if reason := obstacle(path):
            raise UnreadableVideoError(reason)
        try:
            # With its protocol before it, no name is taken for an address. Titles may be in any encoding; nobody reads them.
            self.container = av.open(f"file:{path}", container_options={"format_whitelist": FORMATS}, metadata_errors="replace")
        except av.error.FFmpegError as error:
            raise UnreadableVideoError(f"not a video that can be opened ({describe(error)})") from None
        try:
            self.stream = find_stream(self.container)
        except UnreadableVideoError:
            self.container.close()
            raise
        self.decoded = 0
        self.times = Times()
        self.turn = UPRIGHT
        # One thread: every worker has a core of its own. "explode" turns damage into an error instead of guessed pixels.
        self.stream.codec_context.thread_count = 1
        self.stream.codec_context.options = {"err_detect": "explode", "max_pixels": str(LARGEST_PICTURE)}

    def __enter__(self) -> "SourceVideo":
        return self

    def __exit__(self, *_: object) -> None:
        self.container.close()

    @property
    def fps(self) -> Fraction:
        """Mean frames per second: of the frames decoded where their times contradict the container, 25 where neither says it."""
        told, seen = self.told_rate, self.times.rate(self.decoded)
        # Times in milliseconds are too coarse to correct a rate by little.
        rate = seen if seen and (not told or abs(seen / told - 1) > Fraction(1, 20)) else told
        return rate.limit_denominator(1001) if rate and 1 <= rate <= 1000 else Fraction(25)

    @property
    def told_rate(self) -> Fraction | None:
        """Frames per second that the container tells."""
        return self.stream.average_rate or self.stream.guessed_rate

    @property
    def announced_seconds(self) -> Fraction | None:
        """Duration that the container promises, if it does."""
        if self.stream.duration and self.stream.time_base:
            return self.stream.duration * self.stream.time_base
        # The length of the whole file may be that of a sound track.
        duration = self.container.duration if len(self.container.streams) == 1 else None
        return Fraction(duration, av.time_base) if duration else None

    def rgb_frames(self, *, short_side: int = 0) -> Iterator[NDArray[np.uint8]]:
        """Yield every frame as (Y, X, 3) RGB the right way up; a short side above `short_side` is reduced to it (0: never)."""
        # One for all frames: a frame's own reformat() prepares its tables anew each time.
        reformatter = VideoReformatter()
        for frame in self.frames():
            yield upright_rgb(frame, short_side, reformatter, self.turn)

    def yuv_frames(self, *, short_side: int = 0) -> Iterator[NDArray[np.uint8]]:
        """Yield every frame as yuv420p planes below each other, (Y * 3 / 2, X), BT.601, sized and turned as by `rgb_frames`.

        Frames that are so already pass untouched: on the way through RGB their colours would be averaged twice.
        """
        reformatter, to_yuv = VideoReformatter(), VideoReformatter()
        for frame in self.frames():
            if self.turn == UPRIGHT and is_as_wanted(frame, short_side):
                yield np.asarray(frame.to_ndarray(), np.uint8)
            else:
                yield to_planes(upright_rgb(frame, short_side, reformatter, self.turn), to_yuv)

    def frames(self) -> Iterator[VideoFrame]:
        """Yield every frame in the order of display; damage and a missing end are an UnreadableVideoError."""
        try:
            for frame in self.container.decode(self.stream):
                if frame.is_corrupt:
                    raise UnreadableVideoError(f"frame {self.decoded} is damaged")
                # Asked for once: a frame that was asked is not freed at once.
                self.turn = self.turn if self.decoded else orientation(frame)
                self.decoded += 1
                self.times.add(frame)
                yield frame
        except av.error.FFmpegError as error:
            raise UnreadableVideoError(f"decoding fails after {self.decoded} frames ({describe(error)})") from None
        if not self.decoded:
            raise UnreadableVideoError("the file holds no frame that can be decoded")
        self.refuse_missing_end()

    def refuse_missing_end(self) -> None:
        """Raise UnreadableVideoError unless the frames are as many as announced, or reach the announced end.

        Fewer frames reach the end where frames are left out on purpose: by the edit list of an MP4, as empty chunks of an AVI,
        at a variable rate. Sound videos announce up to one frame too many.
        """
        announced, seconds, last = self.stream.frames, self.announced_seconds, self.times.last
        # The last frame is shown as long as any other, twice at most.
        longest = max(self.times.longest_gap, 1 / (self.told_rate or 25))
        is_end_reached = bool(seconds and self.times.known and last + 2 * longest >= seconds)
        if announced and self.decoded < announced - 2 and not is_end_reached:
            raise UnreadableVideoError(f"truncated: {announced} frames are announced, {self.decoded} could be decoded")
        if not announced and seconds and self.times.known and not is_end_reached:
            end, frames = f"{float(seconds):.1f} s", f"the last of its {self.decoded} frames is at {float(last):.1f} s"
            raise UnreadableVideoError(f"truncated: {end} are announced, {frames}")


class Times:
    """When frames are shown, as far as frames say so."""

    def __init__(self) -> None:
        self.known = 0
        self.first = self.last = self.longest_gap = Fraction(0)

    def add(self, frame: VideoFrame) -> None:
        """Note the time of the next frame, if it has one."""
        if frame.pts is None or frame.time_base is None:
            return
        time = frame.pts * frame.time_base
        self.longest_gap = max(self.longest_gap, time - self.last) if self.known else Fraction(0)
        self.first = self.first if self.known else time
        self.last = time
        self.known += 1

    def rate(self, frames: int) -> Fraction | None:
        """Return the mean number of frames per second, None unless each of `frames` frames had a later time than the first."""
        return (frames - 1) / (self.last - self.first) if self.known == frames and self.last > self.first else None


def orientation(frame: VideoFrame) -> Orientation:
    """Return what the display matrix of a frame says (x' = a x + c y, y' = b x + d y); telephones store films lying on their side."""
    side_data: Any = frame.side_data
    if "DISPLAYMATRIX" not in side_data:
        return UPRIGHT
    a, b, _, c, d = np.frombuffer(side_data["DISPLAYMATRIX"], np.int32)[:5].tolist()
    return Orientation(True, b < 0, c < 0) if abs(b) > abs(a) else Orientation(False, d < 0, a < 0)


def upright_rgb(frame: VideoFrame, short_side: int, reformatter: VideoReformatter, turn: Orientation = UPRIGHT) -> NDArray[np.uint8]:
    """Return a frame as (Y, X, 3) RGB, reduced to the short side and turned."""
    scale = min(1.0, short_side / min(frame.width, frame.height)) if short_side else 1.0
    width, height = max(1, round(frame.width * scale)), max(1, round(frame.height * scale))
    rgb = np.asarray(reformatter.reformat(frame, width, height, "rgb24", interpolation=Interpolation.AREA).to_ndarray(), np.uint8)
    rgb = rgb.transpose(1, 0, 2) if turn.is_transposed else rgb
    return np.ascontiguousarray(rgb[:: -1 if turn.upside_down else 1, :: -1 if turn.left_right else 1])


def is_as_wanted(frame: VideoFrame, short_side: int) -> bool:
    """Tell whether a frame is yuv420p of even and wanted size, BT.601 (or nothing said, which means it) and limited range."""
    is_small = not short_side or min(frame.width, frame.height) <= short_side
    is_even = not (frame.width % 2 or frame.height % 2)
    is_bt601 = frame.colorspace in BT601_OR_UNSAID and frame.color_range != ColorRange.JPEG
    return frame.format.name == "yuv420p" and is_small and is_even and is_bt601


def obstacle(path: Path) -> str | None:
    """Return why a path cannot be read as a file, or None; a pipe, which would be waited at for ever, is never opened."""
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            return "it is a folder, not a file"
        if not stat.S_ISREG(found.st_mode):
            return "it is a pipe or a device, not a file"
        path.open("rb").close()
    except FileNotFoundError:
        return "it is a link to a file that is absent" if path.is_symlink() else "the file is absent"
    except (OSError, ValueError) as error:
        return f"the file cannot be opened ({describe(error)})"
    return None if found.st_size else "the file is empty"


def find_stream(container: av.container.InputContainer) -> av.VideoStream:
    """Return the video stream that players show: not a cover picture, and the best by FFmpeg's judgement where there are several."""
    stream = container.streams.best("video")
    if not isinstance(stream, av.VideoStream):
        raise UnreadableVideoError("the file holds no video stream")
    if stream.disposition & Disposition.attached_pic:
        raise UnreadableVideoError("the file holds no video stream, only a cover picture")
    if stream.codec_context is None:
        raise UnreadableVideoError("nothing here can decode its video stream")
    if stream.width * stream.height > LARGEST_PICTURE:
        raise UnreadableVideoError(
            f"its frames of {stream.width} x {stream.height} pixels are too large; at most {LARGEST_PICTURE} pixels can be packed"
        )
    return stream


def describe(error: Exception) -> str:
    """Return an error of FFmpeg or of the system without its number and path."""
    return str(getattr(error, "strerror", None) or error)
