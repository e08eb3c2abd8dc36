"""Checkpoints as folders that are whole or not there: written aside, manifest last, swapped in by renaming."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from objabn.files import write_json


def write_checkpoint(run_folder: Path, name: str, write: Callable[[Path], None], *, keep_former_as: str | None = None) -> None:
    """Replace the checkpoint `name` (`last` or `best`) by what `write` puts into the folder it is given.

    The one before is deleted, or kept under another name. A kill at any moment leaves the old one or the new one: at
    worst both stand aside, and `find_checkpoint` knows where.
    """
    final, new, old = (run_folder / (name + ending) for ending in ("", ".tmp", ".old"))
    settle(run_folder, name)
    new.mkdir()
    write(new)
    sizes = {path.name: path.stat().st_size for path in sorted(new.iterdir())}
    for path in [*new.iterdir(), new]:
        flush(path)
    write_json(new / "manifest.json", {"files": sizes})
    flush(new)
    if keep_former_as is not None:
        old = run_folder / keep_former_as
        remove(old)
    if final.exists():
        final.rename(old)
    new.rename(final)
    flush(run_folder)
    if keep_former_as is None:
        remove(old)


def find_checkpoint(run_folder: Path, name: str = "last") -> Path | None:
    """Return the folder that holds the checkpoint `name`, or None; between two renames that is the new one's first place."""
    for folder in (run_folder / (name + ending) for ending in ("", ".tmp", ".old")):
        if is_complete(folder):
            return folder
    return None


def find_model(run_folder: Path, checkpoint: str | None = None) -> tuple[Path, str] | None:
    """Return the model file of a run and the name of its checkpoint: the one asked for, else `best`, else `last`; None without any."""
    for name in (checkpoint,) if checkpoint else ("best", "last"):
        folder = find_checkpoint(run_folder, name)
        if folder is not None:
            return folder / "model.safetensors", name
    return None


def former_checkpoints(run_folder: Path) -> list[Path]:
    """Return the checkpoints that are kept as `step-00000123`, the oldest first."""
    return sorted((path for path in run_folder.glob("step-*") if path.name.removeprefix("step-").isdigit()), key=step_of)


def step_of(folder: Path) -> int:
    """Return the step in the name of a kept checkpoint."""
    return int(folder.name.removeprefix("step-"))


def keep_latest(run_folder: Path, count: int) -> None:
    """Delete former checkpoints but the `count` latest, and what a kill left of others."""
    folders = former_checkpoints(run_folder)
    whole = [folder for folder in folders if is_complete(folder)]
    for folder in set(folders) - set(whole[max(0, len(whole) - count) :]):
        remove(folder)


def settle(run_folder: Path, name: str) -> None:
    """Give the checkpoint its proper name if a kill left it aside, and remove what else the kill left."""
    final, found = run_folder / name, find_checkpoint(run_folder, name)
    if found is not None and found != final:
        remove(final)
        found.rename(final)
    remove(run_folder / f"{name}.tmp")
    remove(run_folder / f"{name}.old")


def is_complete(folder: Path) -> bool:
    """Say whether the manifest is there and every file it names has its size."""
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        return False
    sizes = json.loads(manifest.read_text())["files"]
    return all((folder / name).is_file() and (folder / name).stat().st_size == size for name, size in sizes.items())


def remove(folder: Path) -> None:
    """Delete a checkpoint folder, manifest first, so that a half-deleted one is never taken for a whole one."""
    if folder.exists():
        (folder / "manifest.json").unlink(missing_ok=True)
        shutil.rmtree(folder)


def flush(path: Path) -> None:
    """Have the file or folder written to disk, as a rename alone does not promise after a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
