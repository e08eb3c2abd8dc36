"""A folder of class folders, or one of `train/`, `val/`, `test/` with class folders in each."""

from pathlib import Path

from objabn.data.sources.found import is_source, without_suffix
from objabn.data.sources.listing import PART_NAMES, PARTS, Entry, Listing, checked, sentences, sort_classes
from objabn.data.sources.ucf101_lists import ucf101_group


def folder(root: str | Path) -> Listing:
    """List a folder of class folders (all of it is `train`), or one of `train/`, `val/`, `test/` with class folders in each.

    A video is a file, or a folder of frames; one that is there in both forms is listed once, as a file. Each is a group of its own,
    but for names that end as UCF101's do (`_g01_c02`), which tell the film.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is not a folder; give a folder that holds one folder of videos per class.")
    found, beside = find_videos(root)
    if not found:
        raise FileNotFoundError(f"{root} holds no videos in class folders; expected is {root}/CLASS/VIDEO or {root}/train/CLASS/VIDEO.")
    videos = {path.parent / without_suffix(path.name) for path, _ in found if path.is_file()}
    chosen = [(path, subset) for path, subset in found if path.is_file() or path not in videos]
    classes = sort_classes({path.parent.name for path, _ in chosen})
    labels = {name: label for label, name in enumerate(classes)}
    entries = tuple(
        Entry(
            path=path,
            name=path.relative_to(root).as_posix(),
            label=labels[path.parent.name],
            group=ucf101_group(without_suffix(path.relative_to(root).as_posix())),
            subsets=(subset,),
        )
        for path, subset in chosen
    )
    left_out = len(found) - len(chosen)
    remark = sentences(
        f"{left_out} folders of frames lie beside the video of their name and were left out." if left_out else "",
        f"Folders beside train, val and test were left out: {', '.join(beside)}." if beside else "",
    )
    return checked(Listing(root.resolve().name, classes, entries, remark))


def find_videos(root: Path) -> tuple[list[tuple[Path, str]], list[str]]:
    """Return the videos with their subsets, and the names of the folders that lie beside those of the subsets.

    A folder named like a part is one only where it holds class folders: `train` may be a class.
    """
    folders = [path for path in sorted(root.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    named = {path: PART_NAMES[path.name.lower()] for path in folders if path.name.lower() in PART_NAMES}
    videos = {path: found for path in named if (found := videos_of_classes(path))}
    if not videos:
        return [(path, "train") for path in videos_of_classes(root)], []
    parts = sorted(videos, key=lambda path: list(PARTS).index(named[path]))
    return [(path, named[part]) for part in parts for path in videos[part]], [path.name for path in folders if path not in named]


def videos_of_classes(root: Path) -> list[Path]:
    """Return the videos in the folders of a folder."""
    return [path for path in sorted(root.glob("*/*")) if is_source(path)]
