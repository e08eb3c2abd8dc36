"""Maps of a whole video in one safetensors file, a byte for each value."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from objabn.files import aside

LEVELS = 255
"""Steps between the lowest and the highest value of a map of a clip."""
PIECE = 1 << 22
"""Bytes that are copied at once."""
TYPES = {"uint8": "U8", "int64": "I64", "float32": "F32", "float64": "F64"}
"""Names of types in a safetensors header."""


class VideoMaps(NamedTuple):
    """Maps of M clips of a video, and the answers that they explain."""

    maps: NDArray[np.float32]
    """(M, N, T, Y, X) in [0, 1]."""
    names: tuple[str, ...]
    """Of the N maps."""
    frames: NDArray[np.int64]
    """(M, T) numbers of frames in the video."""
    seconds: NDArray[np.float64]
    """(M, T) when they are shown."""
    logits: NDArray[np.float32]
    """(M, K)."""
    classes: NDArray[np.int64]
    """(M,) numbers of the classes that are explained."""
    about: dict[str, Any]
    """`video`, `methods`, `class_names` (None where the network has none) and `rois`, the crop: top, left, bottom, right in frames
    whose short side is at most 320."""


def read_maps(path: Path | str, clips: slice = slice(None)) -> VideoMaps:
    """Read a file of `objabn explain`, or only some of its clips; a value is off by at most 1/510 of its map's range in its clip.

    Other programs read it as any safetensors file: value = low + maps / 255 * (high - low), with `maps` (M, N, T, Y, X) uint8, and
    `low` and `high` (M, N). Raises ValueError where it is none.
    """
    with safe_open(str(path), framework="numpy") as file:
        about = json.loads((file.metadata() or {}).get("objabn.maps", "null"))
        if about is None:
            raise ValueError(f"{path} holds no maps of `objabn explain`; give a file that --format maps wrote.")
        part = {name: file.get_slice(name)[clips] for name in ("maps", "low", "high", "frames", "seconds", "logits", "classes")}
    low, high = (part[name][:, :, None, None, None] for name in ("low", "high"))
    maps = from_levels(part["maps"], low, high)
    names = tuple(about.pop("map_names"))
    return VideoMaps(maps, names, part["frames"], part["seconds"], part["logits"], part["classes"], about)


def to_levels(maps: NDArray[np.float32], low: NDArray[np.float32], high: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return values as steps from low to high."""
    return np.rint((maps - low) * (LEVELS / np.where(high > low, high - low, 1))).astype(np.uint8)


def from_levels(levels: NDArray[np.uint8], low: NDArray[np.float32], high: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what `to_levels` was given, but for rounding."""
    return (low + levels * ((high - low) / np.float32(LEVELS))).astype(np.float32)


def write_maps(path: Path, levels: BinaryIO, shape: tuple[int, ...], tensors: dict[str, NDArray[Any]], about: dict[str, Any]) -> None:
    """Write a file for `read_maps`: maps as the bytes that stand in an open file, which is copied piece by piece, and small tensors."""
    header: dict[str, Any] = {"__metadata__": {"objabn.maps": json.dumps(about)}}
    end = 0
    # The largest types first, so that each stands at a multiple of its size.
    ordered = sorted(tensors.items(), key=lambda item: -item[1].itemsize)
    for name, type_name, size, each in [
        *((name, str(t.dtype), t.nbytes, t.shape) for name, t in ordered),
        ("maps", "uint8", count(shape), shape),
    ]:
        header[name] = {"dtype": TYPES[type_name], "shape": list(each), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with aside(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, tensor in ordered:
            file.write(np.ascontiguousarray(tensor).tobytes())
        levels.seek(0)
        for piece in pieces(levels):
            file.write(piece)


def count(shape: tuple[int, ...]) -> int:
    """Return the number of values in an array of a shape."""
    return int(np.prod(shape))


def pieces(file: BinaryIO) -> Iterator[bytes]:
    """Yield the rest of a file."""
    while piece := file.read(PIECE):
        yield piece
