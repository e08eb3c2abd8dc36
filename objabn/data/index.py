"""The index: one row per packed video, as numpy columns that open at once however many rows there are."""

import dataclasses
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from objabn.config import check
from objabn.data.shards import read_columns, running_sum, write_columns

SUBSETS = ("none", "train", "val", "test")
"""A subset's position is its code in `Index.subset`."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Index:
    """Columns over N videos, in the order of shards."""

    name_bytes: NDArray[np.uint8]
    """All names end to end, UTF-8 or whatever bytes the file system gave."""
    name_offsets: NDArray[np.int64]
    """(N + 1,) where each name starts in `name_bytes`."""
    label: NDArray[np.int64]
    """(N,) class number, from 0."""
    frames: NDArray[np.int64]
    """(N,) number of frames."""
    height: NDArray[np.int32]
    """(N,) pixels of the packed frames."""
    width: NDArray[np.int32]
    """(N,) pixels of the packed frames."""
    fps: NDArray[np.float32]
    """(N,) frames per second of the source."""
    group: NDArray[np.int32]
    """(N,) videos of one group must not be divided between training and validation."""
    subset: NDArray[np.uint8]
    """(folds, N) codes of `SUBSETS`."""
    shard: NDArray[np.int32]
    """(N,) number of the shard file."""
    first_frame: NDArray[np.int64]
    """(N,) frames that precede the video inside its shard."""

    def __len__(self) -> int:
        return len(self.label)

    def name(self, row: int) -> str:
        """Return the path of the source relative to its root, as the lists write it."""
        return bytes(self.name_bytes[self.name_offsets[row] : self.name_offsets[row + 1]]).decode(errors="surrogateescape")

    def rows(self, subset: str, *, fold: int = 1, val_fraction: float = 0.0) -> NDArray[np.int64]:
        """Return the rows of a subset in ascending order; an empty subset is a ValueError.

        Where the fold has no `val` of its own, `val_fraction` of the training groups become `val`.
        """
        check("subset", subset, subset in SUBSETS[1:], "train, val or test")
        rows = np.flatnonzero(self._codes(fold, val_fraction) == SUBSETS.index(subset))
        if not len(rows):
            present = " and ".join(reversed(self.subsets(fold=fold, val_fraction=val_fraction)))
            hint = " A part of the training groups can serve: --set data.val_fraction=0.2." if subset == "val" and not val_fraction else ""
            raise ValueError(f"The subset {subset!r} of fold {fold} is empty; this dataset has {present}.{hint}")
        return rows

    def subsets(self, *, fold: int = 1, val_fraction: float = 0.0) -> tuple[str, ...]:
        """Return which of val, test and train a fold has; a fold that has none is a ValueError."""
        codes = self._codes(fold, val_fraction)
        return tuple(name for name in ("val", "test", "train") if (codes == SUBSETS.index(name)).any())

    def _codes(self, fold: int, val_fraction: float) -> NDArray[np.uint8]:
        check("data.fold", fold, 1 <= fold <= len(self.subset), f"between 1 and {len(self.subset)} in this dataset")
        codes = self.subset[fold - 1].copy()
        if not codes.any():
            folds = [str(number + 1) for number, row in enumerate(self.subset) if row.any()]
            raise ValueError(f"Fold {fold} is not part of this dataset; choose one of: {', '.join(folds)}.")
        if val_fraction > 0 and not (codes == SUBSETS.index("val")).any():
            codes[held_out(self.label, self.group, codes == SUBSETS.index("train"), val_fraction)] = SUBSETS.index("val")
        return codes


def held_out(label: NDArray[np.int64], group: NDArray[np.int32], is_train: NDArray[np.bool_], fraction: float) -> NDArray[np.int64]:
    """Choose rows of whole training groups for validation: of every class about a fraction and at least one group, never all.

    A group of several classes is not chosen where it is the last of one of them.
    """
    classes_of: dict[int, list[int]] = {}
    for number, name in set(zip(label[is_train].tolist(), group[is_train].tolist(), strict=True)):
        classes_of.setdefault(name, []).append(number)
    groups_left = Counter(number for classes in classes_of.values() for number in classes)
    chosen: set[int] = set()
    for number in sorted(groups_left):
        groups, counts = np.unique(group[is_train & (label == number)], return_counts=True)
        videos = dict(zip(groups.tolist(), counts.tolist(), strict=True))
        taken = sum(count for name, count in videos.items() if name in chosen)
        # Groups are numbered in the order of names, so their numbers are hashed: neighbours are often alike.
        for name in sorted(videos, key=lambda name: zlib.crc32(f"group {name}".encode())):
            if taken and taken + videos[name] / 2 > fraction * counts.sum():
                break
            if name not in chosen and all(groups_left[other] > 1 for other in classes_of[name]):
                chosen.add(name)
                taken += videos[name]
                groups_left.subtract(classes_of[name])
    return np.flatnonzero(is_train & np.isin(group, sorted(chosen)))


def join_names(names: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the columns `name_bytes` and `name_offsets`."""
    encoded = [name.encode(errors="surrogateescape") for name in names]
    return np.frombuffer(b"".join(encoded), np.uint8), running_sum([len(name) for name in encoded])


def save_index(index: Index, path: Path) -> None:
    """Write the index as a safetensors file, aside and renamed."""
    write_columns(path, {field.name: getattr(index, field.name) for field in dataclasses.fields(Index)})


def load_index(path: Path) -> Index:
    """Open an index; its columns are views of the mapped file."""
    arrays = read_columns(path).arrays
    names = [field.name for field in dataclasses.fields(Index)]
    if missing := [name for name in names if name not in arrays]:
        raise RuntimeError(f"{path} has no column {', '.join(missing)}; it is not an index of objabn: run `objabn prepare` again.")
    return Index(**{name: arrays[name] for name in names})
