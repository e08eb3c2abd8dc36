"""Damage that is met while training or evaluating: clips are named, skipped and counted, and where nothing can be trusted the run ends."""

import itertools
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_masks import bright_bar
from videos import class_folders, packed

from objabn.config import Config, DataConfig, ModelConfig, OptimConfig, RunConfig
from objabn.data.damage import Damage, DamagedClipError
from objabn.data.dataset import PackedDataset, open_dataset
from objabn.data.reader import reader
from objabn.data.sampling import evaluation_plan
from objabn.data.segment import segment
from objabn.data.shards import checksums, read_columns, write_columns

VIDEOS = 8


def loaders() -> list[str]:
    try:
        import dali_pipelines  # noqa: F401
    except ImportError:
        return ["reader"]
    return ["reader", "dali"]


def make(kind: str, dataset: PackedDataset, config: Config, **given: object) -> object:
    if kind == "reader":
        return reader(dataset, config, **given)
    from dali_pipelines import loader

    return loader(dataset, config, **given)


@pytest.fixture(params=["frames", "video"])
def dataset(request: pytest.FixtureRequest, tmp_path: Path) -> PackedDataset:
    """Eight videos, two a shard, with masks."""
    dataset = packed(class_folders(tmp_path / "videos", frames=(9, 20, 12, 17) * 2), tmp_path, store=request.param)
    segment(dataset, bright_bar, description={"segmenter": "bar"})
    return open_dataset(dataset.root)


@pytest.fixture
def config() -> Config:
    data = DataConfig(clip_frames=4, stride_frames=2, short_side=(32, 40), eval_short_side=32, crop_size=32, threads=2)
    return Config(data=data, model=ModelConfig(cut=2), optim=OptimConfig(batch=4), run=RunConfig(device="cpu"))


def flip_bytes(path: Path, first: int, count: int = 1) -> None:
    """Change bytes of the column that holds the chunks, counted from its start."""
    data = bytearray(path.read_bytes())
    start = len(data) - len(read_columns(path).arrays["bytes"]) + first
    for place in range(start, start + count):
        data[place] ^= 0x10
    path.write_bytes(data)


def damage_every_frame(dataset: PackedDataset, video: int) -> str:
    """Change a byte of every chunk of a video, in a place where JPEG and VP9 hold picture; return the video's name."""
    path = dataset.root / f"shard-{dataset.index.shard[video]:05d}.safetensors"
    arrays = read_columns(path).arrays
    row = video - int(np.searchsorted(dataset.index.shard, dataset.index.shard[video]))
    for chunk in range(*arrays["first_chunk"][row : row + 2].tolist()):
        flip_bytes(path, int(arrays["offsets"][chunk + 1]) - 20)
    return dataset.index.name(video)


@pytest.mark.parametrize("kind", loaders())
def test_a_flipped_bit_costs_one_clip_and_is_told(
    dataset: PackedDataset, config: Config, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    intact = list(make(kind, dataset, config))
    name = damage_every_frame(dataset, 2)
    batches = make(kind, open_dataset(dataset.root), config)
    with caplog.at_level(logging.WARNING, logger="objabn"):
        seen = [batch for _epoch in range(2) for batch in batches]
    assert [batch.clip.shape[0] for batch in seen] == [4] * 4
    assert all(2 not in batch.video.tolist() for batch in seen)
    assert all(batch.present.all() for batch in seen)
    # Both epochs have the clip once; DALI may be a batch ahead, but counts what it has handed out.
    assert batches.damage.skipped_clips == 2
    assert [record.message for record in caplog.records if name in record.message] == [f"A clip is skipped: {batches.damage.videos[2]}"]
    assert f"{name} is not what was packed" in caplog.text
    for before, after in zip(intact, seen, strict=False):
        kept = before.video != 2
        assert torch.equal(before.clip[kept], after.clip[kept])


@pytest.mark.parametrize("kind", loaders())
def test_in_evaluation_a_damaged_video_is_absent(dataset: PackedDataset, config: Config, kind: str) -> None:
    damage_every_frame(dataset, 5)
    batches = list(make(kind, open_dataset(dataset.root), replace(config, data=replace(config.data, val_fraction=0.6)), subset="val"))
    videos = torch.cat([batch.video[batch.present] for batch in batches]).tolist()
    rows = dataset.index.rows("val", val_fraction=0.6).tolist()
    assert 5 in rows
    assert videos == [row for row in rows if row != 5]


@pytest.mark.parametrize("kind", loaders())
def test_a_damaged_mask_costs_its_clips(dataset: PackedDataset, config: Config, kind: str) -> None:
    path = dataset.root / "masks" / "shard-00000.safetensors"
    flip_bytes(path, 0, len(read_columns(path).arrays["bytes"]))
    batches = make(kind, open_dataset(dataset.root), config)
    assert len(list(batches)) == 2
    assert batches.damage.skipped_clips == int((dataset.index.shard == 0).sum())
    assert "holds a damaged mask" in next(iter(batches.damage.videos.values()))


@pytest.mark.parametrize("kind", loaders())
def test_bytes_that_were_packed_wrongly_are_found_by_the_decoder(dataset: PackedDataset, config: Config, kind: str) -> None:
    path = dataset.root / "shard-00001.safetensors"
    columns = read_columns(path)
    arrays = {name: array.copy() for name, array in columns.arrays.items()}
    offsets = arrays["offsets"]
    first, end = arrays["first_chunk"][:2].tolist()
    arrays["bytes"][offsets[first] : offsets[end]] = 0x55
    chunks = [arrays["bytes"][start:stop].tobytes() for start, stop in itertools.pairwise(offsets.tolist())]
    rest = {name: array for name, array in arrays.items() if name not in ("bytes", "checksums")}
    write_columns(path, rest | {"checksums": checksums(chunks)}, metadata=columns.metadata, chunks=chunks)
    broken = int(np.flatnonzero(dataset.index.shard == 1)[0])
    batches = make(kind, open_dataset(dataset.root), config)
    seen = [batch for _epoch in range(2) for batch in batches]
    assert len(seen) == 4
    assert all(broken not in batch.video.tolist() for batch in seen)
    assert batches.damage.skipped_clips == 2
    assert "cannot be decoded" in batches.damage.videos[broken]


@pytest.mark.parametrize("kind", loaders())
def test_what_cannot_be_trusted_ends_the_run_in_one_sentence(dataset: PackedDataset, config: Config, kind: str, tmp_path: Path) -> None:
    shard = dataset.root / "shard-00001.safetensors"
    kept = shard.read_bytes()
    shard.unlink()
    with pytest.raises(FileNotFoundError, match=r"shard-00001\.safetensors is missing; run `objabn prepare` again"):
        list(make(kind, open_dataset(dataset.root), config))
    other = packed(class_folders(tmp_path / "others", frames=(9, 9, 9, 9)), tmp_path / "elsewhere", store=dataset.store)
    shutil.copy(other.root / "shard-00000.safetensors", shard)
    with pytest.raises(RuntimeError, match=r"shard-00001\.safetensors belongs to another packing; delete it"):
        list(make(kind, open_dataset(dataset.root), config))
    shard.write_bytes(kept[: len(kept) // 2])
    with pytest.raises(RuntimeError, match=r"shard-00001\.safetensors is damaged"):
        list(make(kind, open_dataset(dataset.root), config))


def test_a_batch_without_a_single_readable_clip_ends_the_run(dataset: PackedDataset, config: Config) -> None:
    for video in range(VIDEOS):
        damage_every_frame(dataset, video)
    with pytest.raises(RuntimeError, match=r"No clip of a whole batch can be read\. (Frame|A part)"):
        list(reader(open_dataset(dataset.root), config))


def test_stand_ins_are_spread_over_what_can_be_read(dataset: PackedDataset, config: Config) -> None:
    def fail() -> str:
        raise DamagedClipError("broken")

    plan = evaluation_plan(dataset.index, np.arange(5), config.data)
    damage = Damage()
    filled, clips, skipped = damage.gather(plan, [lambda: "a", fail, fail, lambda: "d", fail], is_training=False)
    assert (clips, skipped) == (["a", "d", "a", "d", "a"], 3)
    assert filled.video.tolist() == [0, 3, 0, 3, 0]
    assert filled.present.tolist() == [True, False, False, True, False]
    assert damage.videos == {1: "broken", 2: "broken", 4: "broken"}
    assert damage.gather(plan, [lambda: "a", fail, fail, lambda: "d", fail], is_training=True).plan.present.all()
