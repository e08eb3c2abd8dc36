"""What a process takes of the machine: a rank of torchrun takes its share of the cores, for every loader."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from videos import class_folders, packed

from cli.compose import loader_sentence
from objabn.config import Config, DataConfig, ModelConfig, OptimConfig, RunConfig
from objabn.data.dataset import PackedDataset
from objabn.data.reader import reader
from objabn.machine import available_cores, thread_count
from objabn.settings import override


@pytest.fixture
def six_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("objabn.machine.available_cores", lambda: 6)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)


@pytest.mark.usefixtures("six_cores")
@pytest.mark.parametrize(("ranks", "threads"), [(None, 6), ("1", 6), ("2", 3), ("4", 1), ("6", 1), ("8", 1)])
def test_ranks_share_the_cores(monkeypatch: pytest.MonkeyPatch, ranks: str | None, threads: int) -> None:
    if ranks is not None:
        monkeypatch.setenv("LOCAL_WORLD_SIZE", ranks)
    assert thread_count() == threads
    assert thread_count(5) == 5, "what is asked for is taken"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux binds processes to cores")
def test_a_core_that_this_process_may_not_use_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert available_cores() == thread_count() == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.fixture
def dataset(tmp_path: Path) -> PackedDataset:
    return packed(class_folders(tmp_path / "videos"), tmp_path)


def config_of() -> Config:
    data = DataConfig(clip_frames=2, short_side=(32, 32), eval_short_side=32, crop_size=32, decode="cpu")
    return Config(data=data, model=ModelConfig(cut=2), optim=OptimConfig(batch=2), run=RunConfig(device="cpu"))


@pytest.mark.usefixtures("six_cores")
def test_the_reader_takes_its_share(dataset: PackedDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    pools = []

    def pool(threads: int) -> ThreadPoolExecutor:
        pools.append(threads)
        return ThreadPoolExecutor(threads)

    monkeypatch.setattr("objabn.data.reader.ThreadPoolExecutor", pool)
    batches = reader(dataset, override(config_of(), "data.loader=reader"))
    next(iter(batches))
    assert pools == [batches.description["threads"]] == [3]


@pytest.mark.usefixtures("six_cores")
def test_dali_takes_its_share(dataset: PackedDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nvidia.dali")
    from dali_pipelines import loader

    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    batches = loader(dataset, config_of())
    next(iter(batches))
    assert batches.pipeline.num_threads == batches.description["threads"] == 3


def test_threads_and_batches_ahead_are_chosen_and_told(dataset: PackedDataset) -> None:
    pytest.importorskip("nvidia.dali")
    from dali_pipelines import loader

    batches = loader(dataset, override(config_of(), "data.threads=1", "data.prefetch=4"))
    next(iter(batches))
    assert (batches.pipeline.num_threads, batches.pipeline.prefetch_queue_depth) == (1, 4)
    assert ", 1 thread, 4 batches ahead" in loader_sentence(batches.description)
