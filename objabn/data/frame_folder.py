"""A folder of JPEG or PNG pictures, one per frame, read in place of a video file."""

import itertools
import re
import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray
from PIL import Image, ImageOps

from objabn.data.encode import to_planes
from objabn.data.sources.found import PICTURE_SUFFIXES
from objabn.data.video import SourceVideo, UnreadableVideoError, upright_rgb
from objabn.files import is_there


class FrameFolder:
    """The frames of a video as pictures numbered without gaps; anything wrong with them is an UnreadableVideoError.

    The first picture is frame 0 whatever its number. Pictures do not tell how fast they follow each other: `fps` does.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self.pictures = numbered_pictures(path)
        self.fps = Fraction(fps).limit_denominator(1001)
        self.decoded = 0

    def __enter__(self) -> "FrameFolder":
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: no file stays open."""

    def rgb_frames(self, *, short_side: int = 0) -> Iterator[NDArray[np.uint8]]:
        """Yield every picture as (Y, X, 3) RGB; a short side above `short_side` is reduced to it (0: never)."""
        reformatter = VideoReformatter()
        for path in self.pictures:
            frame = VideoFrame.from_ndarray(read_picture(path), format="rgb24")
            self.decoded += 1
            yield upright_rgb(frame, short_side, reformatter)

    def yuv_frames(self, *, short_side: int = 0) -> Iterator[NDArray[np.uint8]]:
        """Yield every picture as yuv420p planes below each other, (Y * 3 / 2, X), BT.601, sized as by `rgb_frames`."""
        to_yuv = VideoReformatter()
        for rgb in self.rgb_frames(short_side=short_side):
            yield to_planes(rgb, to_yuv)


def open_source(path: Path, *, folder_fps: float) -> SourceVideo | FrameFolder:
    """Open a video file, or a folder of frames, which takes its frames per second from `folder_fps`."""
    return FrameFolder(path, folder_fps) if is_there(path) and path.is_dir() else SourceVideo(path)


def numbered_pictures(folder: Path) -> list[Path]:
    """Return the pictures of a folder by the last number in their names: 2 before 10.

    Names that differ in more than that number (optical flow beside frames), and numbers that lack or occur twice, are an error.
    """
    paths = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")]
    if not paths:
        raise UnreadableVideoError("the folder holds no JPEG or PNG pictures")
    names = [re.fullmatch(r"(.*?)(\d+)", path.stem) for path in paths]
    if unnumbered := [path.name for path, name in zip(paths, names, strict=True) if name is None]:
        raise UnreadableVideoError(f"the picture {unnumbered[0]} has no number at the end of its name")
    kinds = {(name[1], path.suffix): path.name for path, name in zip(paths, names, strict=True) if name}
    if len(kinds) > 1:
        raise UnreadableVideoError(f"its pictures are named in different ways: {', '.join(kinds.values())}")
    pictures = sorted((int(name[2]), path) for path, name in zip(paths, names, strict=True) if name)
    step = min((after - before for (before, _), (after, _) in itertools.pairwise(pictures)), default=0)
    for (before, first), (after, second) in itertools.pairwise(pictures):
        if after == before:
            raise UnreadableVideoError(f"the pictures {first.name} and {second.name} have the same number")
        if after - before != step:
            raise UnreadableVideoError(f"there is no picture between {first.name} and {second.name}")
    return [path for _, path in pictures]


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Return a picture as (Y, X, 3) RGB the right way up."""
    try:
        with Image.open(path) as picture:
            if picture.mode[0] in "IF":
                raise UnreadableVideoError(f"the picture {path.name} has more than eight bits per colour")
            return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError) as error:
        raise UnreadableVideoError(f"the picture {path.name} cannot be read ({error})") from None
