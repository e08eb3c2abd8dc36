"""Batches over ranks and epochs: complete, disjoint, resumable."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from objabn.config import Config, DataConfig, OptimConfig
from objabn.data.schedule import Schedule


def dataset_of(count: int) -> SimpleNamespace:
    index = SimpleNamespace(
        frames=np.full(count, 90),
        height=np.full(count, 240),
        width=np.full(count, 320),
        label=np.arange(count),
        rows=lambda _subset, **_choice: np.arange(count),
    )
    return SimpleNamespace(index=index, name="toy")


def config_of(batch: int, accumulate: int = 1) -> Config:
    return Config(optim=OptimConfig(batch=batch, accumulate=accumulate))


@pytest.mark.parametrize(("world", "accumulate"), [(1, 1), (2, 1), (2, 2), (4, 1)])
def test_ranks_share_no_sample_and_leave_none_out(world: int, accumulate: int) -> None:
    config = config_of(8, accumulate)
    ranks = [Schedule(dataset_of(43), config, subset="train", rank=rank, world=world) for rank in range(world)]
    steps = ranks[0].steps_per_epoch
    assert steps == 5 * accumulate, "43 videos make 5 full batches of 8"
    seen = np.concatenate([schedule.clips_of(step).video for step in range(steps) for schedule in ranks])
    assert len(seen) == len(set(seen)) == 40


def test_global_batches_do_not_depend_on_the_number_of_ranks() -> None:
    one = Schedule(dataset_of(40), config_of(8), subset="train")
    two = [Schedule(dataset_of(40), config_of(8), subset="train", rank=rank, world=2) for rank in (0, 1)]
    for step in (0, 3, 7):
        joined = np.concatenate([schedule.clips_of(step).video for schedule in two])
        assert np.array_equal(one.clips_of(step).video, joined)


def test_the_remainder_left_out_differs_between_epochs() -> None:
    schedule = Schedule(dataset_of(43), config_of(8), subset="train")
    left_out = []
    for epoch in (0, 1):
        seen = np.concatenate([schedule.clips_of(epoch * 5 + step).video for step in range(5)])
        left_out.append(set(range(43)) - set(seen))
    assert len(left_out[0]) == len(left_out[1]) == 3
    assert left_out[0] != left_out[1]


def test_steps_can_be_asked_for_in_any_order() -> None:
    straight = Schedule(dataset_of(40), config_of(8), subset="train")
    videos = [straight.clips_of(step).video for step in range(12)]
    resumed = Schedule(dataset_of(40), config_of(8), subset="train")
    assert np.array_equal(resumed.clips_of(resumed.step_at(72)).video, videos[9])
    assert np.array_equal(resumed.clips_of(2).video, videos[2])


def test_evaluation_counts_each_video_once() -> None:
    ranks = [Schedule(dataset_of(43), config_of(8), subset="test", rank=rank, world=2) for rank in (0, 1)]
    plans = [schedule.clips_of(step) for step in range(ranks[0].steps_per_epoch) for schedule in ranks]
    present = np.concatenate([plan.video[plan.present] for plan in plans])
    assert sorted(present) == list(range(43))
    assert all(len(plan.video) == 4 for plan in plans), "every batch is full"


@pytest.mark.parametrize("world", [1, 2, 4])
def test_evaluation_counts_each_view_of_each_video_once(world: int) -> None:
    config = replace(config_of(8), data=DataConfig(views=(3, 2)))
    ranks = [Schedule(dataset_of(5), config, subset="test", rank=rank, world=world) for rank in range(world)]
    assert ranks[0].steps_per_epoch == 4, "5 videos of 6 views make 3 batches of 8 and one of 6"
    plans = [schedule.clips_of(step) for step in range(4) for schedule in ranks]
    seen = [(video, view) for plan in plans for video, view in zip(plan.video[plan.present], plan.view[plan.present], strict=True)]
    assert seen == [(video, view) for video in range(5) for view in range(6)]
    assert sum(len(plan.video) for plan in plans) == 32


def test_views_are_a_matter_of_evaluation_only() -> None:
    plain, with_views = (
        Schedule(dataset_of(43), replace(config_of(8), data=DataConfig(views=views)), subset="train") for views in ((1, 1), (10, 3))
    )
    assert plain.steps_per_epoch == with_views.steps_per_epoch == 5
    for one, other in zip(plain.clips_of(3), with_views.clips_of(3), strict=True):
        assert np.array_equal(one, other)


def test_impossible_batches_are_refused() -> None:
    assert Schedule(dataset_of(8), config_of(8), subset="train").steps_per_epoch == 1
    with pytest.raises(ValueError, match="larger than the 5 training videos"):
        Schedule(dataset_of(5), config_of(8), subset="train")
    with pytest.raises(ValueError, match="multiple of accumulate x ranks = 3"):
        Schedule(dataset_of(50), config_of(8), subset="train", world=3)
    with pytest.raises(ValueError, match="multiple of 8"):
        Schedule(dataset_of(50), config_of(8), subset="train").step_at(4)


def test_seed_changes_the_order() -> None:
    config = config_of(8)
    other = replace(config, run=replace(config.run, seed=1))
    first = [Schedule(dataset_of(40), c, subset="train").clips_of(0).video for c in (config, other)]
    assert not np.array_equal(*first)
