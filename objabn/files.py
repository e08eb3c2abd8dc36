"""Files that are there whole or not at all, whenever a process is killed, and folders that one process at a time writes to."""

import contextlib
import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

CLAIM = ".claim"
"""Name of the file that stands in a folder while a process writes there, or when it was killed."""
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""How file systems say that they have no locks."""


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Have refusals of the system name this file where they name none: a full disk does not say what it has no room for."""
    try:
        yield
    except OSError as error:
        if error.errno and not error.filename:
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise


@contextlib.contextmanager
def aside(path: Path) -> Iterator[BinaryIO]:
    """Open a hidden file of a name of its own for writing bytes, which is made durable and renamed to `path` when nothing went wrong."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with naming(path), unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def claimed(folder: Path, part: str = "") -> Iterator[None]:
    """Make a folder, and keep it, or a part of it, for this process while the context lasts; a RuntimeError where another has it.

    The system frees it when the process ends, however that comes about. Where there are no locks, nobody is kept out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{CLAIM}{part}"
    while True:
        with path.open("ab") as file:
            lock(file, folder)
            # Whoever had it may have removed the file after it was opened here.
            if path.exists() and path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                try:
                    yield
                finally:
                    path.unlink(missing_ok=True)
                return


def lock(file: BinaryIO, folder: Path) -> None:
    """Lock an open file; a RuntimeError where another process has."""
    try:
        import fcntl  # noqa: PLC0415  (not on Windows)

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RuntimeError(f"Another process is writing to {folder}; wait until it has ended, or choose another folder.") from None
    except ImportError:
        return
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise


def is_there(path: Path) -> bool:
    """Tell whether a path exists; unlike `Path.exists` for names that no file can have, too."""
    return os.path.exists(path)  # noqa: PTH110


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
