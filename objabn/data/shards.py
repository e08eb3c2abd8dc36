"""Columns on disk: a safetensors file written aside and renamed, read as views of the mapped file."""

import functools
import json
import mmap
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from objabn.files import aside

TYPE_NAMES = {"uint8": "U8", "uint16": "U16", "int32": "I32", "uint32": "U32", "int64": "I64", "float16": "F16", "float32": "F32"}
FORMAT = 3
"""Of packed datasets; changes whenever their bytes are laid out differently."""
OPEN_SHARDS = 256
"""Each mapped shard holds a file descriptor, and systems commonly allow 1024."""


class Columns(NamedTuple):
    """One open file: its arrays by name, and the texts in its header."""

    arrays: dict[str, NDArray[Any]]
    metadata: dict[str, str]


def shard_path(folder: Path, number: int) -> Path:
    """Return the file of a shard, counted from 0."""
    return folder / f"shard-{number:05d}.safetensors"


def mapped_shards(folder: Path, command: str, mark: str) -> Callable[[int], "Columns"]:
    """Return what maps the shards of a folder, which `objabn COMMAND` wrote, by number and keeps those asked for last.

    Their fingerprints begin with `mark`; a shard with another one is a RuntimeError.
    """

    @functools.lru_cache(maxsize=OPEN_SHARDS)
    def mapped(number: int) -> Columns:
        path = shard_path(folder, number)
        columns = read_columns(path, command)
        if not columns.metadata.get("fingerprint", "").startswith(mark):
            raise RuntimeError(f"{path} belongs to another packing; delete it and run `objabn {command}` again.")
        return columns

    return mapped


def checksums(chunks: Sequence[bytes]) -> NDArray[np.uint32]:
    """Return the CRC-32 of each chunk: it notices a changed byte, which a decoder may turn into other pixels without a word."""
    return np.array([zlib.crc32(chunk) for chunk in chunks], np.uint32)


def running_sum(lengths: Sequence[int]) -> NDArray[np.int64]:
    """Return where each piece starts, and where the last one ends."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)


def write_columns(
    path: Path, arrays: Mapping[str, NDArray[Any]], *, metadata: Mapping[str, str] | None = None, chunks: Sequence[bytes] | None = None
) -> None:
    """Write arrays, then `chunks` end to end as the uint8 column `bytes`, so that the file appears whole or not at all."""
    columns = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    layout: dict[str, Any] = {"__metadata__": dict(metadata or {})}
    end = 0
    # Wide types first: every column then starts at a multiple of its item size.
    for name in sorted(columns, key=lambda name: (-columns[name].itemsize, name)):
        array = columns[name]
        layout[name] = {"dtype": TYPE_NAMES[array.dtype.name], "shape": list(array.shape), "data_offsets": [end, end + array.nbytes]}
        end += array.nbytes
    if chunks is not None:
        size = sum(map(len, chunks))
        layout["bytes"] = {"dtype": "U8", "shape": [size], "data_offsets": [end, end + size]}
    header = json.dumps(layout).encode()
    header += b" " * (-len(header) % 8)
    with aside(path) as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for name in layout:
            if name in columns:
                file.write(columns[name].tobytes())
        file.writelines(chunks or ())


def read_columns(path: Path, command: str = "prepare") -> Columns:
    """Map a file written by `write_columns` (or any safetensors file) without copying; a damaged one is a RuntimeError.

    `command` is what wrote it: `objabn COMMAND` writes anew what is missing.
    """
    try:
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        data_start = 8 + int.from_bytes(mapped[:8], "little")
        layout = json.loads(mapped[8:data_start])
        metadata = layout.pop("__metadata__", {})
        return Columns({name: view(mapped, data_start, **column) for name, column in layout.items()}, metadata)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is missing; run `objabn {command}` again as before, which writes it anew.") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RuntimeError(f"{path} is damaged ({error}); delete it and run `objabn {command}` again as before.") from None


def read_manifest(path: Path, command: str) -> dict[str, Any]:
    """Return the values of a JSON file that `objabn COMMAND` wrote; a damaged one is a RuntimeError."""
    try:
        values = json.loads(path.read_text())
        return dict(values)
    except (ValueError, TypeError) as error:
        raise RuntimeError(f"{path} is damaged ({error}); delete it and run `objabn {command}` again.") from None


def view(mapped: mmap.mmap, data_start: int, *, dtype: str, shape: list[int], data_offsets: list[int]) -> NDArray[Any]:
    """Return one column as an array over the mapped file."""
    kind = np.dtype({short: name for name, short in TYPE_NAMES.items()}[dtype])
    count = (data_offsets[1] - data_offsets[0]) // kind.itemsize
    return np.frombuffer(mapped, kind, count, data_start + data_offsets[0]).reshape(shape)
