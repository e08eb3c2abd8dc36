"""A run that goes on with another number of ranks sees the very clips that it would have seen, through every loader."""

from collections.abc import Callable
from itertools import chain, islice, repeat

import pytest
import torch
from test_masks import bright_bar
from videos import class_folders, packed

from objabn.config import Config, DataConfig, ModelConfig, OptimConfig, RunConfig
from objabn.data.dataset import PackedDataset, open_dataset
from objabn.data.reader import reader
from objabn.data.schedule import ClipLoader
from objabn.data.segment import segment
from objabn.types import Batch

pytest.importorskip("nvidia.dali")
from dali_pipelines import loader

Make = Callable[..., ClipLoader]

VIDEOS, BATCH, STEPS_PER_EPOCH = 14, 4, 3
STEPS = 7
"""Two epochs of three full batches, and one batch of the third epoch."""


@pytest.fixture(scope="module", params=["frames", "video"])
def dataset(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> PackedDataset:
    root = tmp_path_factory.mktemp("ranks")
    dataset = packed(class_folders(root / "videos", frames=(9, 20, 12, 17, 14, 26, 11) * 2), root, store=request.param)
    segment(dataset, bright_bar, description={"segmenter": "bar"})
    return open_dataset(dataset.root)


@pytest.fixture
def config() -> Config:
    data = DataConfig(
        clip_frames=4, stride_frames=2, short_side=(32, 40), eval_short_side=32, crop_size=32, decode="cpu", threads=1, prefetch=3
    )
    return Config(data=data, model=ModelConfig(cut=2), optim=OptimConfig(batch=BATCH), run=RunConfig(device="cpu", seed=3))


def ranks_of(make: Make, dataset: PackedDataset, config: Config, world: int, start_sample: int = 0) -> list[ClipLoader]:
    return [make(dataset, config, start_sample=start_sample, rank=rank, world=world) for rank in range(world)]


def global_batches(ranks: list[ClipLoader], count: int) -> list[Batch]:
    """Take so many batches of every rank, epoch after epoch, and join them in the order of the ranks."""
    taken = [islice(chain.from_iterable(repeat(batches)), count) for batches in ranks]
    return [Batch(*(torch.cat(parts) for parts in zip(*batches, strict=True))) for batches in zip(*taken, strict=True)]


def assert_equal(found: list[Batch], expected: list[Batch]) -> None:
    for ours, straight in zip(found, expected, strict=True):
        for name, value in ours._asdict().items():
            assert torch.equal(value, getattr(straight, name)), name


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1), (2, 4)])
@pytest.mark.parametrize("steps", [2, STEPS_PER_EPOCH, 5])
@pytest.mark.parametrize("make", [loader, reader])
def test_the_same_clips_come_with_another_number_of_ranks(
    dataset: PackedDataset, config: Config, make: Make, steps: int, before: int, after: int
) -> None:
    straight = global_batches(ranks_of(make, dataset, config, 1), STEPS)
    assert len({batch.frames.numpy().tobytes() for batch in straight}) == STEPS, "batches that can be told apart"
    assert any(batch.mask.any() and batch.mask_valid.any() for batch in straight)
    begun = ranks_of(make, dataset, config, before)
    first = global_batches(begun, steps)
    (state,) = {batches.state for batches in begun}
    assert state == steps * BATCH
    rest = global_batches(ranks_of(make, dataset, config, after, start_sample=state), STEPS - steps)
    assert_equal(first + rest, straight)


@pytest.mark.parametrize("make", [loader, reader])
def test_what_was_read_ahead_does_not_count(dataset: PackedDataset, config: Config, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = make(dataset, config)
    asked: list[int] = []
    clips_of = batches.schedule.clips_of
    monkeypatch.setattr(batches.schedule, "clips_of", lambda step: (asked.append(step), clips_of(step))[1])
    taken = iter(batches)
    next(taken)
    assert max(asked) >= 2, "two more batches were read while one was handed out"
    assert batches.state == BATCH
    next(taken)
    assert batches.state == 2 * BATCH
