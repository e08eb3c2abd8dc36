"""What many videos cost: opening the index, planning an epoch, and reading clips, for a dataset repeated to ever more videos."""

import dataclasses
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.result import Row, relative_spread
from objabn.config import DataConfig
from objabn.data.dataset import PackedDataset, open_dataset
from objabn.data.index import Index, join_names, save_index
from objabn.data.sampling import ClipPlan, training_plan

COUNTS = (100, 1_000, 10_000, 100_000, 220_000)
"""The last is the size of Something-Something V2 and Kinetics-400."""
CLIPS = 64


def run(dataset: PackedDataset, config: DataConfig, *, counts: Sequence[int] = COUNTS, repeats: int = 5) -> list[Row]:
    """Return milliseconds for each number of videos; `dataset` is of the store `frames`, and its videos stand for all of them."""
    if dataset.store != "frames":
        raise ValueError(f"{dataset.root} is a store of {dataset.store!r}; repeated videos can only be read from a store of 'frames'.")
    rows: list[Row] = []
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            rows += measure_repeated(dataset, config, Path(folder), count, repeats)
    return rows


def measure_repeated(dataset: PackedDataset, config: DataConfig, folder: Path, count: int, repeats: int) -> list[Row]:
    """Time the three steps on a dataset of `count` videos, written to `folder`."""
    repeat_dataset(dataset, folder, count)
    large = open_dataset(folder)
    train = large.index.rows("train")
    plans = [training_plan(large.index, train, config, seed=0, epoch=epoch) for epoch in range(repeats)]
    ways: dict[str, Callable[[int], object]] = {
        "open the index": lambda _turn: open_dataset(folder),
        "plan an epoch": lambda turn: training_plan(large.index, train, config, seed=0, epoch=turn),
        f"read {CLIPS} clips with masks": lambda turn: read_clips(large, plans[turn]),
    }
    return [row_of(f"{count} videos: {name}", [milliseconds(way, turn) for turn in range(repeats)]) for name, way in ways.items()]


def repeat_dataset(dataset: PackedDataset, folder: Path, count: int) -> None:
    """Write a dataset of `count` videos that refer to the shards of another, over and over."""
    rows = np.arange(count) % len(dataset)
    names, offsets = join_names([f"{number}/{dataset.index.name(row)}" for number, row in enumerate(rows.tolist())])
    columns = {field.name: getattr(dataset.index, field.name) for field in dataclasses.fields(Index)}
    repeated = {name: column[..., rows] for name, column in columns.items() if not name.startswith("name_")}
    repeated["subset"] = np.ones_like(repeated["subset"])
    save_index(Index(name_bytes=names, name_offsets=offsets, **repeated), folder / "index.safetensors")
    (folder / "manifest.json").write_text(json.dumps(dataset.manifest))
    for path in [*dataset.root.glob("shard-*"), *dataset.root.glob("masks")]:
        (folder / path.name).symlink_to(path.resolve())


def read_clips(dataset: PackedDataset, plan: ClipPlan) -> None:
    """Touch the bytes of the first clips of a plan, as every loader does."""
    for video, frames in zip(plan.video[:CLIPS].tolist(), plan.frames[:CLIPS], strict=True):
        dataset.encoded_frames(video, frames)
        dataset.mask_bits(video, frames)


def milliseconds(way: Callable[[int], object], turn: int) -> float:
    """Return how long one call takes."""
    begin = time.perf_counter()
    way(turn)
    return 1e3 * (time.perf_counter() - begin)


def row_of(case: str, times: list[float]) -> Row:
    """Return the median of some times as a row without a peer."""
    return Row(
        suite="scale",
        case=case,
        ours=statistics.median(times),
        peer=None,
        peer_name="",
        unit="ms",
        speedup=None,
        spread=relative_spread(times),
        repeats=len(times),
    )
