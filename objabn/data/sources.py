"""What is to be packed: the official lists of UCF101, or a folder of class folders."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

VIDEO_SUFFIXES = (".avi", ".mp4", ".webm", ".mkv", ".mov", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".ogv", ".3gp")


class Entry(NamedTuple):
    """One video of a list."""

    path: Path
    """Where the file is, or would be."""
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


def ucf101(videos: str | Path, annotations: str | Path) -> Listing:
    """List UCF101 from its official files `classInd.txt`, `trainlist0N.txt`, `testlist0N.txt`; folds without lists are left empty.

    The label comes from the class folder: the stems of HandstandPushups are written otherwise, and test lists have none.
    """
    root, folder = Path(videos), Path(annotations)
    root = root / "UCF-101" if (root / "UCF-101").is_dir() else root
    subsets, numbers = read_ucf101_lists(folder)
    classes = read_classes(folder / "classInd.txt", {name.partition("/")[0] for name in subsets})
    labels = {name: label for label, name in enumerate(classes)}
    for name, number in numbers.items():
        if labels.get(name.partition("/")[0], -1) != number - 1:
            raise ValueError(f"{folder}: {name} has the label {number}, which is not the number of its folder in the list of classes.")
    files = {path.relative_to(root).as_posix().lower(): path for path in root.glob("*/*")}
    if not any(name.lower() in files for name in subsets):
        raise FileNotFoundError(f"None of the {len(subsets)} listed videos is in {root}; give the folder that holds the class folders.")
    entries = (
        Entry(files.get(name.lower(), root / name), name, class_label(labels, name, folder), ucf101_group(name), tuple(subsets[name]))
        for name in sorted(subsets)
    )
    is_official_order = (folder / "classInd.txt").is_file()
    remark = "" if is_official_order else f"{folder} has no classInd.txt; the classes were numbered alphabetically, ignoring case."
    return checked(Listing("ucf101", classes, tuple(entries), remark))


def read_ucf101_lists(folder: Path) -> tuple[dict[str, list[str]], dict[str, int]]:
    """Return each listed name's subset per fold, and the 1-based labels that the lists write."""
    paths = {(fold, subset): folder / f"{subset}list{fold:02d}.txt" for fold in (1, 2, 3) for subset in ("train", "test")}
    present = {key: path for key, path in paths.items() if path.is_file()}
    if not present:
        raise FileNotFoundError(f"{folder} has no trainlist01.txt or testlist01.txt; give the folder of UCF101's official lists.")
    folds = max(fold for fold, _ in present)
    subsets: dict[str, list[str]] = {}
    numbers: dict[str, int] = {}
    for (fold, subset), path in present.items():
        for line in path.read_text().split("\n"):
            name, _, number = line.strip().replace("\\", "/").partition(" ")
            if not name:
                continue
            of_folds = subsets.setdefault(name, ["none"] * folds)
            if of_folds[fold - 1] not in ("none", subset):
                raise ValueError(f"{folder}: fold {fold} lists {name} for both training and test; take it out of one of the lists.")
            of_folds[fold - 1] = subset
            if number:
                numbers[name] = int(number)
    return subsets, numbers


def read_classes(path: Path, folders: set[str]) -> tuple[str, ...]:
    """Return the classes in official order; without the file, the folders sorted as the official file is: ignoring case."""
    if not path.is_file():
        return sort_classes(folders)
    numbered = [line.split() for line in path.read_text().splitlines() if line.strip()]
    if sorted(words[0] for words in numbered if len(words) == 2) != sorted(str(number + 1) for number in range(len(numbered))):
        raise ValueError(f"{path} must hold one line `NUMBER CLASS` for each class, numbered from 1 to {len(numbered)} without gaps.")
    return tuple(name for _, name in sorted(numbered, key=lambda words: int(words[0])))


def class_label(labels: dict[str, int], name: str, folder: Path) -> int:
    """Return the class number of a listed video by its folder."""
    class_name = name.partition("/")[0]
    if class_name not in labels:
        raise ValueError(f"{folder}: the class {class_name!r} of {name} is not in classInd.txt.")
    return labels[class_name]


def ucf101_group(name: str) -> str:
    """Return the class and group in a name such as `Biking/v_Biking_g07_c01.avi`; group numbers say nothing across classes."""
    found = re.search(r"_(g\d+)_c\d+", name)
    return f"{name.partition('/')[0]}/{found[1]}" if found else name


def folder(root: str | Path) -> Listing:
    """List a folder of class folders (all of it is `train`), or one of `train/`, `val/`, `test/` with class folders in each."""
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is not a folder; give a folder that holds one folder of videos per class.")
    parts = [subset for subset in ("train", "val", "test") if (root / subset).is_dir()]
    roots = {root / part: part for part in parts} or {root: "train"}
    videos = [(path, subset) for part, subset in roots.items() for path in sorted(part.glob("*/*")) if is_video(path)]
    if not videos:
        raise FileNotFoundError(f"{root} holds no videos in class folders; expected is {root}/CLASS/VIDEO or {root}/train/CLASS/VIDEO.")
    classes = sort_classes({path.parent.name for path, _ in videos})
    entries = (
        Entry(path, path.relative_to(root).as_posix(), classes.index(path.parent.name), f"{path.parent.name}/{path.stem}", (subset,))
        for path, subset in videos
    )
    return checked(Listing(root.resolve().name, classes, tuple(entries)))


def is_video(path: Path) -> bool:
    """Tell whether a path looks like a video file that is not hidden."""
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".") and not path.parent.name.startswith(".")


def sort_classes(names: Iterable[str]) -> tuple[str, ...]:
    """Sort class names ignoring case, as `classInd.txt` of UCF101 does."""
    return tuple(sorted(names, key=lambda name: (name.lower(), name)))


def checked(listing: Listing) -> Listing:
    """Return the listing; names that occur twice are a ValueError."""
    names: set[str] = set()
    for entry in listing.entries:
        if entry.name in names:
            raise ValueError(f"{entry.name} is listed twice; every video of a listing needs a name of its own.")
        names.add(entry.name)
    return listing
