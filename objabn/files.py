"""Files that are there whole or not at all, whenever a process is killed."""

import json
import os
from pathlib import Path
from typing import Any, BinaryIO


class aside:  # noqa: N801  (reads as a phrase: with aside(path) as file)
    """A file open for writing bytes under a hidden name of its own, made durable and renamed to `path` when nothing went wrong."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unfinished = path.with_name(f".{path.name}.{os.getpid()}")

    def __enter__(self) -> BinaryIO:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.file = self.unfinished.open("wb")
        return self.file

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.file.flush()
            os.fsync(self.file.fileno())
        self.file.close()
        if kind is None:
            self.unfinished.replace(self.path)
        else:
            self.unfinished.unlink()


def discard_unfinished(folder: Path, pattern: str) -> None:
    """Remove what killed processes left of `aside` in a folder, for names that match `pattern`; nobody else may write there."""
    for path in folder.glob(f".{pattern}.*"):
        path.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a text file so that it appears whole or not at all."""
    with aside(path) as file:
        file.write(text.encode())


def write_json(path: Path, values: Any) -> None:
    """Write values as JSON so that the file appears whole or not at all."""
    write_text(path, json.dumps(values, indent=1) + "\n")
