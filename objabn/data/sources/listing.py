"""A listing: every video that is to be packed, with its class, its group and its subset in each fold."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from objabn.files import is_there

PARTS = {"train": ("train", "train"), "val": ("test", "val"), "test": ("none", "test")}
"""Subset, per fold, of the official parts of data sets whose publications report the validation part.

Fold 1 reports it too, so it is `test` there and nothing is chosen by it. Fold 2, where the test part has labels, calls all by their names.
"""


class Entry(NamedTuple):
    """One video of a list."""

    path: Path
    """Where the file, or the folder of its frames, is or would be."""
    name: str
    """Path relative to the root, as the list writes it; unique in a listing."""
    label: int
    """Class number, from 0."""
    group: str
    """Videos of one group must not be divided between training and validation."""
    subsets: tuple[str, ...]
    """One of `objabn.data.index.SUBSETS` per fold."""


class Listing(NamedTuple):
    """Everything that is to be packed, and how it is divided."""

    name: str
    classes: tuple[str, ...]
    entries: tuple[Entry, ...]
    remark: str = ""
    """What a reader of the summary should know about how the listing came about."""


def checked(listing: Listing) -> Listing:
    """Return the listing; names that occur twice are a ValueError."""
    names: set[str] = set()
    for entry in listing.entries:
        if entry.name in names:
            raise ValueError(f"{entry.name} is listed twice; every video of a listing needs a name of its own.")
        names.add(entry.name)
    return listing


def refuse_nowhere(entries: Sequence[Entry], root: Path, expected: str) -> None:
    """Raise FileNotFoundError where none of the listed videos is there."""
    if not any(is_there(entry.path) for entry in entries):
        raise FileNotFoundError(f"None of the {len(entries)} listed videos is in {root}; {expected}.")


def sort_classes(names: Iterable[str]) -> tuple[str, ...]:
    """Sort class names ignoring case, as `classInd.txt` of UCF101 does."""
    return tuple(sorted(names, key=lambda name: (name.lower(), name)))


def plain_name(path: str) -> str:
    """Return a listed path as a name: with slashes, and without a drive, a root, `.` or `..`."""
    parts = re.sub(r"^[A-Za-z]:(?=[/\\])", "", path).replace("\\", "/").split("/")
    return "/".join(part for part in parts if part not in ("", ".", ".."))


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text file; one that is not UTF-8 is a ValueError."""
    try:
        return path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text (byte {error.start}); save it with that encoding.") from None


def sentences(*parts: str) -> str:
    """Join the parts of a remark that have something to say."""
    return " ".join(part for part in parts if part)
