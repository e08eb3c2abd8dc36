"""The user's own masks: PNG folders or NPZ files, one per video."""

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def read_own_masks(folder: Path, name: str, *, frames: int, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the masks of a video as (T, Y, X) at the size of its packed frames; what does not fit is a ValueError naming it."""
    for place in (folder / Path(name).with_suffix(""), folder / Path(name).stem):
        npz = place.with_name(place.name + ".npz")
        if place.is_dir():
            return read_pngs(place, name, frames=frames, shape=shape)
        if npz.is_file():
            return read_npz(npz, name, frames=frames, shape=shape)
    raise FileNotFoundError(f"{folder} has no masks for {name}; expected is a folder of PNGs or an NPZ named {Path(name).stem}.")


def read_pngs(place: Path, name: str, *, frames: int, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Read one PNG per frame in the order of file names; any value or colour above 0 is object."""
    paths = sorted(place.glob("*.png"))
    check_count(name, len(paths), frames)
    mask = np.empty((frames, *shape), np.bool_)
    for number, path in enumerate(paths):
        try:
            picture = np.asarray(Image.open(path))
        except OSError as error:
            raise ValueError(f"The mask {path} of {name} cannot be read ({error}).") from None
        # Palettes hold object numbers; of colours, the alpha channel says nothing about objects.
        flat = picture if picture.ndim == 2 else picture[..., : 1 if picture.shape[2] == 2 else 3].max(2)
        mask[number] = resize_nearest(flat > 0, shape)
    return mask


def read_npz(path: Path, name: str, *, frames: int, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Read the array `mask` (T, Y, X) of an NPZ; anything above 0 is object."""
    try:
        with np.load(path, allow_pickle=False) as file:
            mask = file["mask"]
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"The masks {path} of {name} cannot be read ({error}); expected is an array `mask` of (T, Y, X).") from None
    if mask.ndim != 3:
        raise ValueError(f"The masks {path} of {name} have the shape {mask.shape}; expected is (T, Y, X).")
    check_count(name, len(mask), frames)
    return np.stack([resize_nearest(frame > 0, shape) for frame in mask])


def check_count(name: str, found: int, frames: int) -> None:
    """Refuse masks that do not belong to every frame of the video."""
    if found != frames:
        raise ValueError(f"{name} has {frames} packed frames but {found} masks; give exactly one mask per frame.")


def resize_nearest(mask: NDArray[np.bool_], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask at another size: each new pixel takes the old one at its centre."""
    if mask.shape == shape:
        return mask
    rows, columns = (((np.arange(new) + 0.5) * old / new).astype(np.int64) for new, old in zip(shape, mask.shape, strict=True))
    return mask[rows[:, None], columns]
