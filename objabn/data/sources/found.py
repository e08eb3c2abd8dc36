"""Finding sources on the disk: video files, and folders of frames that stand in for one."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

VIDEO_SUFFIXES = (".avi", ".mp4", ".webm", ".mkv", ".mov", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".ogv", ".3gp")
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png")
DEEPEST = 4
"""Levels of folders below a root that are looked into: ROOT/train/CLASS/FRAMES is the deepest in use."""


class Sources:
    """All videos and folders of frames below a root, found by name wherever they lie.

    Copies of one data set differ in folders and suffixes (`train/` or not, underscores or spaces in classes, AVI or MP4), but not in stems.
    """

    def __init__(self, root: Path) -> None:
        self.by_stem: dict[str, list[Path]] = {}
        for path in walk(root, DEEPEST):
            self.by_stem.setdefault(without_suffix(path.name).lower(), []).append(path)

    def find(self, name: str) -> Path | None:
        """Return the source of that stem, case ignored; of several, the one whose last folders agree with `name`, a video before frames."""
        wanted = PurePosixPath(without_suffix(name)).parts[::-1]
        found = self.by_stem.get(wanted[0].lower(), []) if wanted else []
        return max(found, key=lambda path: (agreeing(wanted, path), path.is_file()), default=None)


def agreeing(wanted: tuple[str, ...], path: Path) -> int:
    """Count how many names agree, from the stem upwards."""
    names = (without_suffix(path.name), *path.parts[-2::-1])
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(wanted, names, strict=False)))


def walk(folder: Path, levels: int) -> Iterator[Path]:
    """Yield video files and folders of frames in the order of names; hidden ones are left out, links are followed."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder; give the folder of the videos.")
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.suffix.lower() in VIDEO_SUFFIXES or is_frame_folder(path):
            yield path
        elif levels and path.is_dir():
            yield from walk(path, levels - 1)


def is_source(path: Path) -> bool:
    """Tell whether a path looks like a video file or a folder of frames; neither it nor its folder may be hidden."""
    is_hidden = path.name.startswith(".") or path.parent.name.startswith(".")
    return not is_hidden and (path.suffix.lower() in VIDEO_SUFFIXES or is_frame_folder(path))


def is_frame_folder(path: Path) -> bool:
    """Tell whether a folder holds pictures, and neither videos nor folders."""
    if not path.is_dir():
        return False
    with os.scandir(path) as inside:
        kinds = {"folder" if entry.is_dir() else Path(entry.name).suffix.lower() for entry in inside}
    return not kinds.isdisjoint(PICTURE_SUFFIXES) and kinds.isdisjoint(("folder", *VIDEO_SUFFIXES))


def without_suffix(name: str) -> str:
    """Return a name without the suffix of a video; what else follows a dot belongs to the name."""
    path = PurePosixPath(name)
    return str(path.with_suffix("")) if path.suffix.lower() in VIDEO_SUFFIXES else name
