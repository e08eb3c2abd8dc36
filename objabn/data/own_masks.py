"""The user's own masks: PNG folders or NPZ files, one per video."""

import hashlib
import os
import re
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def find_own_masks(folder: Path, names: Sequence[str]) -> list[Path]:
    """Return each video's folder of PNGs or NPZ file, found by its name without suffix, else by its stem.

    A video without masks is a FileNotFoundError; masks that could belong to two videos are a ValueError.
    """
    sharing: dict[Path, set[str]] = {}
    for name in names:
        for key in keys(name):
            sharing.setdefault(key, set()).add(name)
    places = []
    for name in names:
        found = [(folder / place, key) for key in keys(name) for place in (key, f"{key}.npz") if is_masks(folder / place)]
        if not found:
            raise FileNotFoundError(f"{folder} has no masks for {name}; expected is a folder of PNGs or an NPZ named {Path(name).stem}.")
        place, key = found[0]
        if len(sharing[key]) > 1:
            owners = " or to ".join(sorted(sharing[key])[:2])
            raise ValueError(f"{place} could belong to {owners}; give every video's masks a place of its own, as {folder}/CLASS/NAME.")
        places.append(place)
    return places


def keys(name: str) -> tuple[Path, Path]:
    """Return the names under which the masks of a video may be."""
    return Path(name).with_suffix(""), Path(Path(name).stem)


def is_masks(place: Path) -> bool:
    """Tell whether a path is a folder or an NPZ file."""
    return place.is_file() if place.suffix == ".npz" else place.is_dir()


def files_digest(folder: Path, places: Sequence[Path]) -> str:
    """Return what changes when a mask file is added, taken away or written anew."""
    digest = hashlib.sha256()
    for place in places:
        for path in sorted(place.glob("*.png")) if place.is_dir() else (place,):
            found = path.stat()
            digest.update(os.fsencode(f"{path.relative_to(folder)} {found.st_size} {found.st_mtime_ns}\n"))
    return digest.hexdigest()[:16]


def read_own_masks(place: Path, name: str, *, frames: int, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the masks of a video as (T, Y, X) at the size of its packed frames; what does not fit is a ValueError naming it."""
    return (read_pngs if place.is_dir() else read_npz)(place, name, frames=frames, shape=shape)


def in_order(path: Path) -> list[str | int]:
    """Return a key that sorts the numbers in file names as numbers: 2 before 10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path.stem)]


def read_pngs(place: Path, name: str, *, frames: int, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Read one PNG per frame in the order of the numbers in file names; any value or colour above 0 is object."""
    paths = sorted(place.glob("*.png"), key=in_order)
    check_count(name, len(paths), frames)
    mask = np.empty((frames, *shape), np.bool_)
    for number, path in enumerate(paths):
        try:
            picture = np.asarray(Image.open(path))
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            raise ValueError(f"The mask {path} of {name} cannot be read ({error}).") from None
        # Palettes hold object numbers; of colours, the alpha channel says nothing about objects.
        flat = picture if picture.ndim == 2 else picture[..., : 1 if picture.shape[2] == 2 else 3].max(2)
        check_shape(name, flat.shape, shape)
        mask[number] = resize_nearest(flat > 0, shape)
    return mask


def read_npz(path: Path, name: str, *, frames: int, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Read the array `mask` (T, Y, X) of an NPZ; anything above 0 is object."""
    try:
        with np.load(path, allow_pickle=False) as file:
            mask = file["mask"]
    except (OSError, KeyError, EOFError, MemoryError, TypeError, ValueError, zipfile.BadZipFile, zlib.error):
        raise ValueError(f"The masks {path} of {name} cannot be read; expected is an NPZ with an array `mask` of (T, Y, X).") from None
    if mask.ndim != 3:
        raise ValueError(f"The masks {path} of {name} have the shape {mask.shape}; expected is (T, Y, X).")
    check_count(name, len(mask), frames)
    check_shape(name, mask.shape[1:], shape)
    return np.stack([resize_nearest(frame > 0, shape) for frame in mask])


def check_count(name: str, found: int, frames: int) -> None:
    """Refuse masks that do not belong to every frame of the video."""
    if found != frames:
        raise ValueError(f"{name} has {frames} packed frames but {found} masks; give exactly one mask per frame.")


def check_shape(name: str, found: tuple[int, ...], shape: tuple[int, int]) -> None:
    """Refuse masks of another aspect ratio than the packed frames have; rounding may have moved both by a pixel or two."""
    (rows, columns), (height, width) = found, shape
    if 0 in found or abs(height / rows - width / columns) > 2 / rows + 2 / columns:
        raise ValueError(
            f"The masks of {name} have {columns} x {rows} pixels and its packed frames {width} x {height}; they must have the same shape."
        )


def resize_nearest(mask: NDArray[np.bool_], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask at another size: each new pixel takes the old one at its centre."""
    if mask.shape == shape:
        return mask
    rows, columns = (((np.arange(new) + 0.5) * old / new).astype(np.int64) for new, old in zip(shape, mask.shape, strict=True))
    return mask[rows[:, None], columns]
