"""One's own list: a CSV with the columns path, label, subset, and group where videos belong together."""

import csv
from pathlib import Path

from objabn.data.sources.found import without_suffix
from objabn.data.sources.listing import Entry, Listing, checked, plain_name, read_lines, refuse_nowhere, sentences, sort_classes

COLUMNS = ("path", "label", "subset")
SUBSETS = ("train", "val", "test")
MOST_CLASSES = 100_000


def csv_list(path: str | Path, videos: str | Path | None = None) -> Listing:
    """List the videos of a CSV with the header `path,label,subset` or `path,label,subset,group`.

    Paths are relative to `videos`, or to the CSV's own folder, or absolute. A label is a name, or, where all are, a class number from 0;
    rows without one are left out. Rows of one group are never divided between training and validation.
    """
    path = Path(path)
    root = path.parent if videos is None else Path(videos)
    rows = read_rows(path)
    labelled = [row for row in rows if row["label"]]
    classes, labels, remark = number_labels({row["label"] for row in labelled})
    entries = tuple(
        Entry(
            root / row["path"].replace("\\", "/"),
            plain_name(row["path"]),
            labels[row["label"]],
            row.get("group") or f"{row['label']}/{without_suffix(plain_name(row['path']))}",
            (row["subset"],),
        )
        for row in labelled
    )
    refuse_nowhere(entries, root, f"the paths in {path} count from there; give --videos, the folder from which they count")
    left_out = len(rows) - len(labelled)
    remark = sentences(remark, f"{left_out} rows have no label and were left out." if left_out else "")
    return checked(Listing(path.stem, classes, entries, remark))


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of the CSV; what is missing in header or row is a ValueError."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file; give a CSV with the header path,label,subset.")
    reader = csv.DictReader(read_lines(path), skipinitialspace=True)
    header = [name.strip().lower() for name in reader.fieldnames or []]
    if missing := [name for name in COLUMNS if name not in header]:
        raise ValueError(
            f"{path} has no column {' or '.join(missing)}; its first line must be path,label,subset, with a comma between each."
        )
    reader.fieldnames = header
    rows = [{name: (value or "").strip() for name, value in row.items() if name} for row in reader]
    for number, row in enumerate(rows, start=1):
        if not row["path"] or row["subset"] not in SUBSETS:
            raise ValueError(
                f"{path}: row {number} has the path {row['path']!r} and the subset {row['subset']!r}; train, val, test are allowed."
            )
    return rows


def number_labels(labels: set[str]) -> tuple[tuple[str, ...], dict[str, int], str]:
    """Return the class names, the number of each label, and what to say about gaps between labels that are numbers."""
    if not all(label.isdecimal() for label in labels):
        classes = sort_classes(labels)
        return classes, {name: number for number, name in enumerate(classes)}, ""
    numbers = {label: int(label) for label in labels}
    if max(numbers.values(), default=0) >= MOST_CLASSES:
        raise ValueError(
            f"The label {max(labels, key=int)} is too large for the number of a class, which count from 0; write names instead."
        )
    classes = tuple(map(str, range(max(numbers.values(), default=-1) + 1)))
    unused = sorted(set(range(len(classes))) - set(numbers.values()))
    gaps = f"Labels are class numbers from 0; {len(unused)} of {len(classes)} have no video, the first is {unused[0]}." if unused else ""
    return classes, numbers, gaps
