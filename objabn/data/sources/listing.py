"""A listing: every video that is to be packed, with its class, its group and its subset in each fold."""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from objabn.files import is_there

PARTS = {"train": ("train", "train"), "val": ("test", "val"), "test": ("none", "test")}
"""Subset, per fold, of the official parts of data sets whose publications report the validation part.

Fold 1 reports it too, so it is `test` there and nothing is chosen by it. Fold 2, where the test part has labels, calls all by their names.
"""
PART_NAMES = {"train": "train", "val": "val", "valid": "val", "validate": "val", "validation": "val", "test": "test"}
"""Words in the names of files and folders that tell a part."""


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
    """Return the listing with its remark completed; a name that occurs twice, and a file found for two names, are a ValueError."""
    names: set[str] = set()
    owners: dict[Path, str] = {}
    for entry in listing.entries:
        if entry.name in names:
            raise ValueError(f"{entry.name} is listed twice; every video of a listing needs a name of its own.")
        names.add(entry.name)
        if (owner := owners.setdefault(entry.path, entry.name)) != entry.name:
            raise ValueError(f"{owner} and {entry.name} are both found as {entry.path}; take one of them out of the lists.")
    return listing._replace(remark=sentences(listing.remark, untaught(listing), divided(listing)))


def untaught(listing: Listing) -> str:
    """Return what to say about classes that the first fold reports on without training, as `run` beside `Run` would be."""
    first = [(entry.label, entry.subsets[0]) for entry in listing.entries]
    trained = {label for label, subset in first if subset == "train"}
    unknown = sorted({label for label, subset in first if subset != "none"} - trained)
    if not trained or not unknown:
        return ""
    return f"{len(unknown)} classes have videos in val or test and none in train, the first is {listing.classes[unknown[0]]!r}."


def divided(listing: Listing) -> str:
    """Return what to say about groups with videos both in training and beside it, in the first fold that has some."""
    for fold in range(len(listing.entries[0].subsets)):
        trained = {entry.group for entry in listing.entries if entry.subsets[fold] == "train"}
        reported = {entry.group for entry in listing.entries if entry.subsets[fold] in ("val", "test")}
        if shared := trained & reported:
            return (
                f"Fold {fold + 1} divides {len(shared)} groups between train and val or test, the first is {min(shared)!r}: "
                "accuracies will be higher than on videos never seen."
            )
    return ""


def refuse_nowhere(entries: Sequence[Entry], root: Path, expected: str) -> None:
    """Raise FileNotFoundError where none of the listed videos is there, ValueError where none is listed."""
    if not entries:
        raise ValueError(
            "The lists name no video that has a label; check that they are the right files, and what stands between their columns."
        )
    if not any(is_there(entry.path) for entry in entries):
        raise FileNotFoundError(f"None of the {len(entries)} listed videos is in {root}; {expected}.")


def sort_classes(names: Iterable[str]) -> tuple[str, ...]:
    """Sort class names ignoring case, as `classInd.txt` of UCF101 does."""
    return tuple(sorted(names, key=lambda name: (name.lower(), name)))


def plain_name(path: str) -> str:
    """Return a listed path as a name: with slashes, and without a drive, a root, `.` or `..`."""
    parts = re.sub(r"^[A-Za-z]:(?=[/\\])", "", path).replace("\\", "/").split("/")
    return "/".join(part for part in parts if part not in ("", ".", ".."))


def visible_files(folder: Path, *patterns: str) -> list[Path]:
    """Return the files of a folder that match, in the order of names; hidden ones, such as the `._train.csv` of macOS, are left out."""
    return sorted(path for pattern in patterns for path in folder.glob(pattern) if path.is_file() and not path.name.startswith("."))


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text file; one that is not UTF-8 is a ValueError."""
    try:
        return path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text (byte {error.start}); save it with that encoding.") from None


def read_json(path: Path, kind: type) -> Any:
    """Return what a JSON file holds, a `dict` or a `list`; a damaged one and one of another kind are a ValueError."""
    try:
        values = json.loads("\n".join(read_lines(path)))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON ({error}); download it again.") from None
    if not isinstance(values, kind):
        raise ValueError(f"{path} holds a {type(values).__name__} where the official file holds a {kind.__name__}; give that one.")
    return values


def sentences(*parts: str) -> str:
    """Join the parts of a remark that have something to say."""
    return " ".join(part for part in parts if part)
