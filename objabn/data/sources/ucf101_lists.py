"""UCF101 from its official lists."""

import re
from pathlib import Path

from objabn.data.sources.found import Sources
from objabn.data.sources.listing import Entry, Listing, checked, read_lines, refuse_nowhere, sort_classes


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
    sources = Sources(root)
    entries = tuple(
        Entry(sources.find(name) or root / name, name, class_label(labels, name, folder), ucf101_group(name), tuple(subsets[name]))
        for name in sorted(subsets)
    )
    refuse_nowhere(entries, root, "give the folder that holds the class folders")
    is_official_order = (folder / "classInd.txt").is_file()
    remark = "" if is_official_order else f"{folder} has no classInd.txt; the classes were numbered alphabetically, ignoring case."
    return checked(Listing("ucf101", classes, entries, remark))


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
        for line in filter(str.strip, read_lines(path)):
            name, number = parse_ucf101_line(line, path)
            of_folds = subsets.setdefault(name, ["none"] * folds)
            if of_folds[fold - 1] not in ("none", subset):
                raise ValueError(f"{folder}: fold {fold} lists {name} for both training and test; take it out of one of the lists.")
            of_folds[fold - 1] = subset
            if number:
                numbers[name] = int(number)
    return subsets, numbers


def parse_ucf101_line(line: str, path: Path) -> tuple[str, str]:
    """Return name and number of a line `CLASS/CLIP NUMBER`; test lists have no number."""
    found = re.fullmatch(r"([^\s/]+/\S+)(?:\s+(\d+))?", line.strip().replace("\\", "/"))
    if found is None:
        raise ValueError(f"{path}: the line {line!r} is not CLASS/CLIP.avi, in training lists followed by the number of the class.")
    return found[1], found[2] or ""


def read_classes(path: Path, folders: set[str]) -> tuple[str, ...]:
    """Return the classes in official order; without the file, the folders sorted as the official file is: ignoring case."""
    if not path.is_file():
        return sort_classes(folders)
    numbered = [line.split() for line in read_lines(path) if line.strip()]
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
    """Return the class and group in a name such as `Biking/v_Biking_g07_c01.avi`, any other name as it is.

    Clips of a group come from one film. Group numbers say nothing across classes.
    """
    found = re.search(r"([^/]+)/[^/]*_(g\d+)_c\d+(\.\w+)?$", name)
    return f"{found[1]}/{found[2]}" if found else name
