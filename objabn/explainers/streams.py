"""Where frames come from: files and folders of frames, read once from the first frame to the last, each frame with its time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from objabn.data.frame_folder import FrameFolder, open_source, read_picture
from objabn.data.video import SourceVideo, UnreadableVideoError, upright_rgb
from objabn.files import is_there

PACKED_SHORT_SIDE = 320
"""`objabn prepare` reduces larger frames to this before anything else, so the same is done here."""
FOLDER_FPS = 25.0
"""Frames a second of a folder of frames, which does not say it; as `objabn prepare` takes them."""

Picture = NDArray[np.uint8]
"""(Y, X, 3) RGB."""


class Moment(NamedTuple):
    """A frame of a stream."""

    seconds: float
    """Since the first frame."""
    picture: Callable[[], Picture]
    """Gives the frame the right way up and as large as packed ones; to be called before the next moment is asked for."""
    share: float
    """How much of the stream is over, from 0 to 1; 0 where nobody knows."""


class Extent(NamedTuple):
    """What is known of a video once it has been gone through."""

    frames: int
    height: int
    width: int
    """Of its frames as packed."""
    fps: Fraction


class Counted:
    """Moments of a stream, and how much of it has passed by."""

    def __init__(self, moments: Iterator[Moment]) -> None:
        self.moments = moments
        self.frames = 0
        self.last = 0.0
        """Seconds of the last frame."""

    def __iter__(self) -> Iterator[Moment]:
        for moment in self.moments:
            self.frames += 1
            self.last = moment.seconds
            yield moment

    @property
    def seconds(self) -> float:
        """How long the frames are shown, the last one as long as the others on average."""
        return self.last * self.frames / (self.frames - 1) if self.frames > 1 else 0.0


def moments_of(path: Path) -> Iterator[Moment]:
    """Yield the frames of a video file or a folder of frames; the times are those that the file tells.

    Raises FileNotFoundError, and RuntimeError where a frame cannot be decoded or the size of frames changes.
    """
    with opened(path) as video:
        yield from of_folder(video) if isinstance(video, FrameFolder) else of_video(video)


def measure(path: Path) -> Extent:
    """Go through a video once and return its extent: a file does not say reliably how many frames it has."""
    with opened(path) as video:
        if isinstance(video, FrameFolder):
            height, width = next(video.rgb_frames(short_side=PACKED_SHORT_SIDE)).shape[:2]
            return Extent(len(video.pictures), height, width, video.fps)
        frames = video.frames()
        height, width = packed_picture(next(frames), video).shape[:2]
        count = 1 + sum(1 for _ in frames)
        return Extent(count, height, width, video.fps)


@contextmanager
def opened(path: Path) -> Iterator[SourceVideo | FrameFolder]:
    """Open a video or a folder of frames, and have whatever is wrong with it name it."""
    if not is_there(path):
        raise FileNotFoundError(f"There is no video {path}.")
    try:
        with open_source(path, folder_fps=FOLDER_FPS) as video:
            yield video
    except UnreadableVideoError as error:
        raise UnreadableVideoError(f"{path} cannot be read: {error}.") from None


def of_video(video: SourceVideo) -> Iterator[Moment]:
    """Yield the frames of a video file; one that does not tell its times has a constant rate."""
    reformatter, announced = VideoReformatter(), video.stream.frames
    size = (0, 0)
    for frame in video.frames():
        number, times = video.decoded - 1, video.times
        size = size if number else (frame.width, frame.height)
        if (frame.width, frame.height) != size:
            raise UnreadableVideoError(f"the size of its frames changes at frame {number}")
        is_timed = times.known == video.decoded
        seconds = times.last - times.first if is_timed else number / video.fps
        share = min(video.decoded / announced, 1.0) if announced else 0.0
        yield Moment(float(seconds), partial(packed_picture, frame, video, reformatter), share)


def of_folder(folder: FrameFolder) -> Iterator[Moment]:
    """Yield the pictures of a folder of frames."""

    def picture(path: Path) -> Picture:
        frame = VideoFrame.from_ndarray(read_picture(path), format="rgb24")
        return upright_rgb(frame, PACKED_SHORT_SIDE, VideoReformatter())

    for number, path in enumerate(folder.pictures):
        yield Moment(float(number / folder.fps), partial(picture, path), (number + 1) / len(folder.pictures))


def packed_picture(frame: VideoFrame, video: SourceVideo, reformatter: VideoReformatter | None = None) -> Picture:
    """Return a frame as `objabn prepare` would see it."""
    return upright_rgb(frame, PACKED_SHORT_SIDE, reformatter or VideoReformatter(), video.turn)
