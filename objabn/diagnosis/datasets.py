"""Packed datasets: which there are, whether they can be opened, and whether they have masks."""

import shlex
from collections.abc import Iterator
from pathlib import Path

from objabn.data.dataset import open_dataset
from objabn.diagnosis.findings import Finding, note, ok, problem


def findings(data: str) -> Iterator[Finding]:
    """Yield what is found of the packed datasets in the folder `data`."""
    root = Path(data)
    folders = sorted(path for path in root.glob("*") if path.is_dir())
    found = [finding for folder in folders if (finding := check_folder(folder)) is not None]
    yield from found or [note("datasets", f"none in {root}", "objabn demo makes a small one; objabn prepare packs your videos.")]


def check_folder(folder: Path) -> Finding | None:
    """Judge a folder that is a packed dataset, whole or begun; None for any other."""
    if not (folder / "manifest.json").is_file():
        begun = any(folder.glob("shard-*.safetensors"))
        return note(folder.name, f"{folder} was begun and is not finished", "Run its objabn prepare again; it goes on.") if begun else None
    try:
        dataset = open_dataset(folder)
    except (OSError, RuntimeError, ValueError) as error:
        return problem(folder.name, str(error), f"Delete {folder} and run its objabn prepare again.")
    store = "frames" if dataset.store == "frames" else f"video of {dataset.manifest['codec']}"
    text = f"{len(dataset)} videos of {len(dataset.classes)} classes, store {store}"
    if dataset.has_masks:
        return ok(folder.name, f"{text}, with masks")
    return note(folder.name, f"{text}, without masks", f"objabn masks {shlex.quote(str(folder))}")
