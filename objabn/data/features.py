"""Features of clips on disk, beside the dataset they were made from, and the loader that reads them instead of clips."""

import functools
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

SHARD_BYTES = 2**28
"""Of features in one shard, at most, unless a single batch has more."""


class FeatureStore:
    """The clips of a folder by row of the index: features (T', y, x, C), coverage of the grid (T, y, x) and valid frames (T,).

    Each shard is written whole or not at all, so that what a killed process had finished stays.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.places: dict[int, tuple[int, int]] = {}
        """Shard and position in it of each video."""
        self.shards = 0
        self.open_shard = functools.lru_cache(maxsize=OPEN_SHARDS)(self.read_shard)
        while shard_path(folder, self.shards).exists():
            self.count_shard()
        noted = folder / "unreadable.json"
        self.unreadable: tuple[int, ...] = tuple(json.loads(noted.read_text())) if noted.exists() else ()

    def read_shard(self, number: int) -> Columns:
        """Map a shard."""
        return read_columns(shard_path(self.folder, number), "train")

    def count_shard(self) -> None:
        """Note the clips of one shard more."""
        videos = self.open_shard(self.shards).arrays["video"].tolist()
        self.places |= {video: (self.shards, position) for position, video in enumerate(videos)}
        self.shards += 1

    def missing(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the videos that are not here, but for those that could not be read once."""
        return rows[[row not in self.places and row not in self.unreadable for row in rows.tolist()]]

    def read(self, video: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return features, coverage and valid frames of a clip; DamagedClipError where it is not here."""
        if video not in self.places:
            raise DamagedClipError(
                f"Video {video} of the index could not be read when features were computed; once it can be, delete {self.folder}."
            )
        shard, position = self.places[video]
        arrays = self.open_shard(shard).arrays
        features, coverage, valid = (np.array(arrays[name][position]) for name in ("features", "coverage", "valid"))
        return torch.from_numpy(features), torch.from_numpy(coverage), torch.from_numpy(valid != 0)

    def write(self, batches: Iterator[Batch], dtype: torch.dtype) -> None:
        """Write batches that hold features as clips, in shards of bounded size; ValueError where `dtype` cannot hold them."""
        waiting: list[dict[str, NDArray[Any]]] = []
        for batch in batches:
            waiting.append(columns_of(batch, dtype))
            if sum(columns["features"].nbytes for columns in waiting) + waiting[-1]["features"].nbytes > SHARD_BYTES:
                self.write_shard(waiting)
                waiting = []
        if waiting:
            self.write_shard(waiting)

    def note_unreadable(self, rows: NDArray[np.int64]) -> None:
        """Remember which of these videos are still missing, so that no later run fails with them."""
        if found := tuple(self.missing(rows).tolist()):
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
    columns = {"video": batch.video, "coverage": batch.mask, "valid": batch.mask_valid.to(torch.uint8)}
    return {"features": features.numpy()} | {name: column.cpu()[present].numpy() for name, column in columns.items()}


class FeatureReader(Reader):
    """A loader whose batches hold features where others hold clips; all else is the same, the place in the run too."""

    def __init__(self, dataset: PackedDataset, config: Config, store: FeatureStore, *, subset: str, start_sample: int = 0) -> None:
        super().__init__(dataset, Schedule(dataset, config, subset=subset), start_sample)
        self.store = store

    def read_clip(self, clip: ClipPlan) -> tuple[Tensor, Tensor, Tensor]:
        """Read what is stored of one clip."""
        return self.store.read(int(clip.video[0]))

    @property
    def description(self) -> dict[str, Any]:
        """What environment.json tells of how clips are read."""
        return {"loader": "features", "store": self.store.folder.name}
