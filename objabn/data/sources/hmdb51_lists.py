"""HMDB51 from its official lists, one file per class and fold."""

import re
from pathlib import Path

from objabn.data.sources.found import Sources, without_suffix
from objabn.data.sources.listing import Entry, Listing, checked, read_lines, refuse_nowhere, sentences, visible_files

CODES = {"0": "none", "1": "train", "2": "test"}
CLASSES = 51


def hmdb51(videos: str | Path, annotations: str | Path) -> Listing:
    """List HMDB51 from its official files `CLASS_test_splitN.txt`; folds without lists are left empty, clips in no fold left out."""
    root, folder = Path(videos), Path(annotations)
    listed = read_hmdb51_lists(folder)
    used = {name: subsets for name, subsets in listed.items() if set(subsets) != {"none"}}
    classes = tuple(sorted({name.partition("/")[0] for name in listed}))
    labels = {name: label for label, name in enumerate(classes)}
    sources = Sources(root)
    entries = tuple(
        Entry(sources.find(name) or root / name, name, labels[name.partition("/")[0]], hmdb51_group(name), tuple(used[name]))
        for name in sorted(used)
    )
    refuse_nowhere(entries, root, "give the folder that holds the class folders, unpacked from HMDB51's RAR of each class")
    few = len(classes) < CLASSES
    remark = sentences(
        f"{len(listed) - len(used)} clips are in no fold and were left out." if len(used) < len(listed) else "",
        f"{folder} has lists of {len(classes)} of the {CLASSES} classes; they were numbered among themselves." if few else "",
    )
    return checked(Listing("hmdb51", classes, entries, remark))


def read_hmdb51_lists(folder: Path) -> dict[str, list[str]]:
    """Return the subset per fold of every CLASS/CLIP."""
    found = [(path, re.fullmatch(r"(.+)_test_split([123])\.txt", path.name)) for path in visible_files(folder, "*.txt")]
    lists = [(path, match[1], int(match[2])) for path, match in found if match]
    if not lists:
        raise FileNotFoundError(f"{folder} has no lists such as brush_hair_test_split1.txt; give the folder of HMDB51's official lists.")
    folds = max(fold for _, _, fold in lists)
    subsets: dict[str, list[str]] = {}
    for path, class_name, fold in lists:
        codes: dict[str, str] = {}
        for line in filter(str.strip, read_lines(path)):
            clip, code = parse_hmdb51_line(line, path)
            if codes.setdefault(clip, code) != code:
                raise ValueError(f"{path} lists {clip} as {codes[clip]} and as {code}; leave one of them.")
            subsets.setdefault(f"{class_name}/{clip}", ["none"] * folds)[fold - 1] = CODES[code]
    return subsets


def parse_hmdb51_line(line: str, path: Path) -> tuple[str, str]:
    """Return clip and code of a line `CLIP CODE`: the last word is the code, and no letter of the clip means anything."""
    words = line.rsplit(maxsplit=1)
    if len(words) != 2 or words[1] not in CODES:
        raise ValueError(f"{path}: the line {line!r} is not a clip followed by 0 (unused), 1 (training) or 2 (test).")
    return words[0], words[1]


def hmdb51_group(name: str) -> str:
    """Return the class and source film of a name such as `wave/TrumanShow_wave_f_nm_np1_fr_med_26.avi`.

    The official lists never divide the clips that one class has of a film, but they do so between classes.
    """
    class_name, _, clip = name.partition("/")
    film = clip.rpartition(f"_{class_name}_")[0]
    return f"{class_name}/{film or without_suffix(clip)}"
