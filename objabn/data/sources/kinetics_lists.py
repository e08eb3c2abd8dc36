"""Kinetics from clip lists `PATH LABEL`, or from the CSV files of its publishers."""

import csv
import re
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from objabn.data.sources.found import Sources, without_suffix
from objabn.data.sources.listing import (
    PART_NAMES,
    PARTS,
    Entry,
    Listing,
    checked,
    plain_name,
    read_json,
    read_lines,
    refuse_nowhere,
    sentences,
    visible_files,
)


class Clip(NamedTuple):
    """One line of a list."""

    name: str
    """The path as the list writes it, or ID_START_END."""
    label: str
    """Name or number of the class; empty where the list has none."""
    part: str
    """A key of `PARTS`."""
    youtube_id: str = ""
    """Where the list tells it: some downloads are named by it alone."""


def kinetics(name: str, videos: str | Path, annotations: str | Path) -> Listing:
    """List Kinetics (`kinetics400`, `kinetics600`, `kinetics700`) from one list, or a folder with one for each of train, val and test.

    The validation part, which publications report, is `test` in fold 1. Where a test part of its own has labels, there is a fold 2 with
    official names. Clips without a label are left out.
    """
    root, place = Path(videos), Path(annotations)
    clips = read_clips(place)
    labelled = [clip for clip in clips.values() if clip.label]
    classes = read_classes(place if place.is_dir() else place.parent, labelled, name)
    labels = {class_name: label for label, class_name in enumerate(classes)}
    folds = 2 if any(clip.part == "test" for clip in labelled) else 1
    places = find_clips(labelled, root)
    entries = tuple(
        Entry(path, clip.name, class_number(labels, clip), kinetics_group(clip.name), PARTS[clip.part][:folds])
        for clip, path in zip(labelled, places, strict=True)
    )
    refuse_nowhere(entries, root, "their files should be named YOUTUBEID_000010_000020.mp4 or as the list says, in any folder below it")
    return checked(Listing(name, classes, entries, describe(len(clips) - len(labelled), folds, classes, name)))


def find_clips(clips: list[Clip], root: Path) -> list[Path]:
    """Return where each clip is or would be; the bare YouTube id serves as a name where no two clips share it."""
    sources, uses = Sources(root), Counter(clip.youtube_id for clip in clips)
    return [
        sources.find(clip.name)
        or (sources.find(clip.youtube_id) if uses[clip.youtube_id] == 1 else None)
        or root / f"{without_suffix(clip.name)}.mp4"
        for clip in clips
    ]


def kinetics_group(name: str) -> str:
    """Return the YouTube id in a name such as `abseiling/-3B32lodo2M_000059_000069.mp4`, or its stem."""
    return re.sub(r"_\d{6}_\d{6}$", "", without_suffix(PurePosixPath(name).name))


def describe(unlabelled: int, folds: int, classes: tuple[str, ...], name: str) -> str:
    """Return what a reader should know about the parts, the labels and the classes."""
    expected = expected_classes(name)
    return sentences(
        "Fold 1 reports on the official validation part, fold 2 on the official test part."
        if folds == 2
        else "The official validation part, which publications report, is the subset test.",
        f"{unlabelled} clips have no label and were left out." if unlabelled else "",
        f"The lists name {len(classes)} of {expected} classes; they were numbered among themselves." if len(classes) < expected else "",
    )


def expected_classes(name: str) -> int:
    """Return the number of classes that the name of the data set tells."""
    return int(name.removeprefix("kinetics"))


def find_lists(place: Path) -> dict[str, Path]:
    """Return the list of each part: the words of its file's name tell which; a file can only be its own part."""
    found: dict[str, Path] = {}
    for path in visible_files(place, "*") if place.is_dir() else [place]:
        parts = {PART_NAMES[word] for word in re.split(r"[_\W]+", path.stem.lower()) if word in PART_NAMES}
        if path.suffix.lower() not in (".csv", ".txt") or len(parts) != 1 or not path.is_file():
            continue
        part = parts.pop()
        if part in found:
            raise ValueError(f"{place} has two lists of the part {part}, {found[part].name} and {path.name}; leave one, or give one file.")
        found[part] = path
    return found


def read_clips(place: Path) -> dict[str, Clip]:
    """Return the clips of all lists by name; one that is listed for validation and for test, as some lists do, counts as validation."""
    lists = find_lists(place)
    if not lists:
        raise FileNotFoundError(
            f"{place} is no list of Kinetics and holds none; their names tell the part, as train.csv or k400_val_list.txt."
        )
    clips: dict[str, Clip] = {}
    for part in (part for part in PARTS if part in lists):
        for clip in read_list(lists[part], part):
            first = clips.setdefault(clip.name, clip)
            is_trained_and_reported = (first.part == "train") != (clip.part == "train")
            if is_trained_and_reported or (first.label and clip.label and first.label != clip.label):
                raise ValueError(
                    f"{lists[part]}: {clip.name} is listed before as {first.part} {first.label}; take it out of one of the lists."
                )
    return clips


def read_list(path: Path, part: str) -> list[Clip]:
    """Read a CSV with the column `youtube_id`, or lines `PATH LABEL`."""
    lines = [line for line in read_lines(path) if line.strip()]
    if lines and "youtube_id" in lines[0]:
        return [read_row(row, part, path) for row in csv.DictReader(lines)]
    return [parse_line(line, part, has_counts="rawframes" in path.stem) for line in lines]


def read_row(row: dict[str, str], part: str, path: Path) -> Clip:
    """Return the clip of a row with youtube_id, time_start and time_end; the column label may lack."""
    try:
        start, end = (int(float(row[column])) for column in ("time_start", "time_end"))
    except (KeyError, TypeError, ValueError, OverflowError):
        raise ValueError(f"{path}: the row {row} has no time_start and time_end in seconds.") from None
    name = f"{row['youtube_id']}_{start:06d}_{end:06d}"
    return Clip(name, (row.get("label") or "").strip(), part, row["youtube_id"])


def parse_line(line: str, part: str, *, has_counts: bool = False) -> Clip:
    """Return the clip of a line `PATH LABEL`, or `PATH FRAMES LABEL`, with spaces or commas between; the path may hold both."""
    found = re.fullmatch(r"(.+?)" + r"[\s,]+\d+" * has_counts + r"[\s,]+(-?\d+)", line.strip())
    path, label = found.groups() if found else (line.strip(), "")
    return Clip(plain_name(path), "" if label.startswith("-") else label, part)


def read_classes(folder: Path, clips: list[Clip], name: str) -> tuple[str, ...]:
    """Return the classes: from a file of names beside the lists, else the names in the lists sorted, else numbers."""
    if files := visible_files(folder, "*class*.json", "*label_map*.txt"):
        return read_class_names(files[0])
    labels = {clip.label for clip in clips}
    names = {label for label in labels if not label.isdecimal()}
    if names and names != labels:
        raise ValueError(f"The lists in {folder} write some labels as names and some as numbers; add kinetics_classnames.json to them.")
    return tuple(sorted(names) if names else map(str, range(expected_classes(name))))


def read_class_names(path: Path) -> tuple[str, ...]:
    """Read one name a line, or a JSON object of names and numbers, whichever way round; some quote the names twice."""
    if path.suffix == ".txt":
        return tuple(line.strip() for line in read_lines(path) if line.strip())
    pairs = [(str(key).strip('"'), str(value).strip('"')) for key, value in read_json(path, dict).items()]
    numbers = {int(number): name for name, number in (pair if pair[1].isdecimal() else pair[::-1] for pair in pairs)}
    if sorted(numbers) != list(range(len(numbers))):
        raise ValueError(f"{path} must number its {len(numbers)} classes from 0 without gaps.")
    return tuple(numbers[number] for number in range(len(numbers)))


def class_number(labels: dict[str, int], clip: Clip) -> int:
    """Return the number of a clip's class, by name or by number."""
    number = int(clip.label) if clip.label.isdecimal() else labels.get(clip.label, -1)
    if not 0 <= number < len(labels):
        raise ValueError(f"{clip.name} has the label {clip.label!r}; known are {len(labels)} classes, numbered from 0.")
    return number
