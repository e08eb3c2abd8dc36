"""Loaders that run for long: memory, open files and threads stay where they were after the first batches."""

import os
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from test_masks import bright_bar
from videos import class_folders, packed

from objabn.config import Config, DataConfig, ModelConfig, OptimConfig, RunConfig
from objabn.data.dataset import PackedDataset, open_dataset
from objabn.data.reader import reader
from objabn.data.segment import segment

BATCHES, SETTLED = 3000, 200


class Holdings(NamedTuple):
    """What this process holds."""

    resident_mebibytes: float
    gpu_mebibytes: float
    files: int
    threads: int


def holdings() -> Holdings:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    resident = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    on_gpu = torch.cuda.memory_allocated() / 2**20 if torch.cuda.is_available() else 0.0
    return Holdings(resident, on_gpu, len(list(Path("/proc/self/fd").iterdir())), len(list(Path("/proc/self/task").iterdir())))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PackedDataset:
    root = tmp_path_factory.mktemp("soak")
    dataset = packed(class_folders(root / "videos", frames=(9, 20, 12, 17) * 6), root)
    segment(dataset, bright_bar, description={"segmenter": "bar"})
    return open_dataset(dataset.root)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dali", "reader"])
def test_nothing_grows(dataset: PackedDataset, kind: str) -> None:
    if kind == "dali":
        pytest.importorskip("nvidia.dali")
        from dali_pipelines import loader as make
    else:
        make = reader
    data = DataConfig(clip_frames=4, stride_frames=2, short_side=(32, 40), eval_short_side=32, crop_size=32, threads=2)
    config = Config(data=data, model=ModelConfig(cut=2), optim=OptimConfig(batch=4), run=RunConfig(device="auto"))
    batches, seen, settled = make(dataset, config), 0, None
    while seen < BATCHES:
        for batch in batches:
            seen += 1
            assert batch.clip.shape == (4, 3, 4, 32, 32)
            if seen == SETTLED:
                settled = holdings()
    now = holdings()
    print(f"{kind}: {settled}, after {BATCHES} batches {now}")
    assert now.files <= settled.files
    assert now.threads <= settled.threads
    assert now.resident_mebibytes < settled.resident_mebibytes + 16
    assert now.gpu_mebibytes < settled.gpu_mebibytes + 16
