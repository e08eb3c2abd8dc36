"""A folder of class folders, or one of `train/`, `val/`, `test/` with class folders in each."""

from pathlib import Path

from objabn.data.sources.found import is_source, without_suffix
from objabn.data.sources.listing import Entry, Listing, checked, sort_classes


def folder(root: str | Path) -> Listing:
    """List a folder of class folders (all of it is `train`), or one of `train/`, `val/`, `test/` with class folders in each.

    A video is a file, or a folder of frames; one that is there in both forms is listed once, as a file.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is not a folder; give a folder that holds one folder of videos per class.")
    parts = [subset for subset in ("train", "val", "test") if (root / subset).is_dir()]
    roots = {root / part: part for part in parts} or {root: "train"}
    found = [(path, subset) for part, subset in roots.items() for path in sorted(part.glob("*/*")) if is_source(path)]
    if not found:
        raise FileNotFoundError(f"{root} holds no videos in class folders; expected is {root}/CLASS/VIDEO or {root}/train/CLASS/VIDEO.")
    videos = {path.parent / without_suffix(path.name) for path, _ in found if path.is_file()}
    chosen = [(path, subset) for path, subset in found if path.is_file() or path not in videos]
    classes = sort_classes({path.parent.name for path, _ in chosen})
    labels = {name: label for label, name in enumerate(classes)}
    entries = (
        Entry(
            path, path.relative_to(root).as_posix(), labels[path.parent.name], f"{path.parent.name}/{without_suffix(path.name)}", (subset,)
        )
        for path, subset in chosen
    )
    left_out = len(found) - len(chosen)
    remark = f"{left_out} folders of frames lie beside the video of their name and were left out." if left_out else ""
    return checked(Listing(root.resolve().name, classes, tuple(entries), remark))
