"""Features of clips on disk, beside the dataset they were made from, and the loader that reads them instead of clips."""

import functools
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from objabn.config import Config
from objabn.data.damage import DamagedClipError
from objabn.data.dataset import PackedDataset
from objabn.data.reader import Reader
from objabn.data.sampling import ClipPlan
from objabn.data.schedule import Schedule
from objabn.data.shards import OPEN_SHARDS, Columns, read_columns, shard_path, write_columns
from objabn.files import write_json
from objabn.types import Batch

KEY_BYTES = 16
SHARD_BYTES = 2**28
"""Of features in one shard, at most, unless a single batch has more."""


def clip_keys(plan: ClipPlan) -> list[bytes]:
    """Return bytes for each clip that are those of no other: a digest of its video, frames, region and colours."""
    rows = zip(plan.video, plan.frames, plan.roi, plan.colour, strict=True)
    return [hashlib.blake2b(b"".join(column.tobytes() for column in row), digest_size=KEY_BYTES).digest() for row in rows]


class FeatureStore:
    """The clips of a folder by their keys: features (T', y, x, C), coverage of the grid (T, y, x) and valid frames (T,).

    Each shard is written whole or not at all, so that what a killed process had finished stays.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.places: dict[bytes, tuple[int, int]] = {}
        """Shard and position in it of each clip."""
        self.shards = 0
        self.open_shard = functools.lru_cache(maxsize=OPEN_SHARDS)(self.read_shard)
        while shard_path(folder, self.shards).exists():
            self.count_shard()
        noted = folder / "unreadable.json"
        self.unreadable: tuple[str, ...] = tuple(json.loads(noted.read_text())) if noted.exists() else ()

    def read_shard(self, number: int) -> Columns:
        """Map a shard."""
        return read_columns(shard_path(self.folder, number), "train")

    def count_shard(self) -> None:
        """Note the clips of one shard more."""
        keys = self.open_shard(self.shards).arrays["key"]
        self.places |= {key.tobytes(): (self.shards, position) for position, key in enumerate(keys)}
        self.shards += 1

    def missing(self, plan: ClipPlan) -> ClipPlan:
        """Return the clips that are not here, but for those that could not be read once."""
        known = self.places.keys() | {bytes.fromhex(key) for key in self.unreadable}
        return plan.take(np.array([place for place, key in enumerate(clip_keys(plan)) if key not in known], np.int64))

    def read(self, clip: ClipPlan) -> tuple[Tensor, Tensor, Tensor]:
        """Return features, coverage and valid frames of one clip; DamagedClipError where it is not here."""
        (key,) = clip_keys(clip)
        if key not in self.places:
            raise DamagedClipError(
                f"A clip of video {clip.video[0]} of the index could not be read when features were computed; once it can be, "
                f"delete {self.folder}."
            )
        shard, position = self.places[key]
        arrays = self.open_shard(shard).arrays
        features, coverage, valid = (np.array(arrays[name][position]) for name in ("features", "coverage", "valid"))
        return torch.from_numpy(features), torch.from_numpy(coverage), torch.from_numpy(valid != 0)

    def write(self, batches: Iterator[Batch], plan: ClipPlan, dtype: torch.dtype) -> None:
        """Write batches that hold the features of the plan's clips, in its order, in shards of bounded size.

        ValueError where `dtype` cannot hold them.
        """
        waiting: list[dict[str, NDArray[Any]]] = []
        keys, place = np.frombuffer(b"".join(clip_keys(plan)), np.uint8).reshape(-1, KEY_BYTES), 0
        for batch in batches:
            present = batch.present.cpu().numpy()
            own = keys[place : place + len(present)][present[: len(keys) - place]]
            waiting.append({"key": own} | columns_of(batch, dtype))
            place += len(present)
            if sum(columns["features"].nbytes for columns in waiting) + waiting[-1]["features"].nbytes > SHARD_BYTES:
                self.write_shard(waiting)
                waiting = []
        if waiting:
            self.write_shard(waiting)

    def note_unreadable(self, plan: ClipPlan) -> None:
        """Remember which of these clips are still missing, so that no later run fails with them."""
        if found := tuple(key.hex() for key in clip_keys(self.missing(plan))):
            self.unreadable += found
            write_json(self.folder / "unreadable.json", self.unreadable)

    def write_shard(self, batches: list[dict[str, NDArray[Any]]]) -> None:
        """Write the columns of several batches as the next shard."""
        columns = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
        write_columns(shard_path(self.folder, self.shards), columns)
        self.count_shard()


def columns_of(batch: Batch, dtype: torch.dtype) -> dict[str, NDArray[Any]]:
    """Return the clips of a batch that are present, as they are stored: channels last, as convolutions are fastest."""
    present = batch.present.cpu()
    features = batch.clip.cpu()[present].permute(0, 2, 3, 4, 1).to(dtype)
    if not features.isfinite().all():
        raise ValueError(f"Features of these clips are beyond {dtype}; take run.cache_features=float32, or off.")
    columns = {"coverage": batch.mask, "valid": batch.mask_valid.to(torch.uint8)}
    return {"features": features.numpy()} | {name: column.cpu()[present].numpy() for name, column in columns.items()}


class FeatureReader(Reader):
    """A loader whose batches hold features where others hold clips; all else is the same, the place in the run too."""

    def __init__(self, dataset: PackedDataset, config: Config, store: FeatureStore, *, subset: str, start_sample: int = 0) -> None:
        super().__init__(dataset, Schedule(dataset, config, subset=subset), start_sample)
        self.store = store

    def read_clip(self, clip: ClipPlan) -> tuple[Tensor, Tensor, Tensor]:
        """Read what is stored of one clip."""
        return self.store.read(clip)

    @property
    def description(self) -> dict[str, Any]:
        """What environment.json tells of how clips are read."""
        return {"loader": "features", "store": self.store.folder.name}
