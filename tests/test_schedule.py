"""Batches over ranks and epochs: complete, disjoint, resumable."""

from dataclasses import replace
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objabn.config import Config, DataConfig, OptimConfig
from objabn.data.sampling import ClipPlan
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


@settings(deadline=None, max_examples=60)
@given(
    world=st.integers(1, 4),
    accumulate=st.integers(1, 3),
    clips=st.integers(1, 3),
    batches=st.integers(1, 4),
    more=st.integers(0, 35),
    epoch=st.integers(0, 2),
)
def test_an_epoch_is_divided_among_ranks(world: int, accumulate: int, clips: int, batches: int, more: int, epoch: int) -> None:
    """Batches are full, no video comes twice, and none of it depends on the number of ranks."""
    batch = world * accumulate * clips
    config, dataset = config_of(batch, accumulate), dataset_of(batches * batch + more % batch)
    alone = Schedule(dataset, config, subset="train")
    ranks = [Schedule(dataset, config, subset="train", rank=rank, world=world) for rank in range(world)]
    steps = alone.steps_per_epoch
    assert {schedule.steps_per_epoch for schedule in ranks} == {steps} == {batches * accumulate}
    joined = []
    for step in range(epoch * steps, (epoch + 1) * steps):
        parts = [schedule.clips_of(step).video for schedule in ranks]
        assert [len(part) for part in parts] == [clips] * world
        assert np.array_equal(np.concatenate(parts), alone.clips_of(step).video)
        assert all(schedule.step_at(step * clips * world) == step for schedule in ranks)
        joined += parts
    seen = np.concatenate(joined).tolist()
    assert len(set(seen)) == len(seen) == batches * batch


@settings(deadline=None, max_examples=60)
@given(
    world=st.integers(1, 4),
    accumulate=st.integers(1, 2),
    clips=st.integers(1, 3),
    videos=st.integers(1, 20),
    views=st.tuples(st.integers(1, 3), st.integers(1, 3)),
)
def test_evaluation_counts_each_view_of_each_video_once(
    world: int, accumulate: int, clips: int, videos: int, views: tuple[int, int]
) -> None:
    config = replace(config_of(accumulate * clips, accumulate), data=DataConfig(views=views))
    alone = Schedule(dataset_of(videos), config, subset="test")
    single = [alone.clips_of(step) for step in range(alone.steps_per_epoch)]
    seen = [pair for plan in single for pair in views_of(plan)]
    assert {len(plan.video) for plan in single} == {clips}, "every batch is full"
    assert seen == list(product(range(videos), range(views[0] * views[1])))
    assert len(single) * clips - len(seen) < clips, "no batch is nothing but padding"
    ranks = [Schedule(dataset_of(videos), config, subset="test", rank=rank, world=world) for rank in range(world)]
    (steps,) = {schedule.steps_per_epoch for schedule in ranks}
    plans = [[schedule.clips_of(step) for step in range(steps)] for schedule in ranks]
    batches = [views_of(plan) for of_rank in plans for plan in of_rank if plan.present.any()]
    assert sorted(batches) == sorted(map(views_of, single)), "the batches are those of one rank"
    owners = [{video for plan in of_rank for video, _ in views_of(plan)} for of_rank in plans]
    assert sum(map(len, owners)) == videos, "each video is on one rank"


def views_of(plan: ClipPlan) -> list[tuple[int, int]]:
    """Video and view of the clips of a batch that are present."""
    return list(zip(plan.video[plan.present].tolist(), plan.view[plan.present].tolist(), strict=True))


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


def test_ranks_by_hand() -> None:
    train = [Schedule(dataset_of(43), config_of(8, 2), subset="train", rank=rank, world=2) for rank in (0, 1)]
    assert [(schedule.steps_per_epoch, schedule.clips) for schedule in train] == [(10, 2)] * 2, "5 batches of 8, in two parts, on two ranks"
    config = replace(config_of(8), data=DataConfig(views=(3, 2)))
    test = [Schedule(dataset_of(5), config, subset="test", rank=rank, world=2) for rank in (0, 1)]
    assert test[0].steps_per_epoch == 3, "3 batches of 8 hold 4 videos of 6 views, the block of one rank"
    assert [schedule.clips_of(0).view.tolist() for schedule in test] == [[0, 1, 2, 3, 4, 5, 0, 1], [0, 1, 2, 3, 4, 5, 5, 5]]
    assert [[int(schedule.clips_of(step).present.sum()) for step in range(3)] for schedule in test] == [[8, 8, 8], [6, 0, 0]]
    large = Schedule(dataset_of(100), config_of(64), subset="test", rank=1, world=2)
    assert (large.clips, large.steps_per_epoch) == (32, 2), "batches of 32 at most, two for each rank"
    assert large.clips_of(0).video.tolist() == list(range(32, 64))


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


def test_epochs_that_are_to_come_again_do_and_others_never() -> None:
    dataset, config = dataset_of(8), config_of(2)
    again = replace(config, data=DataConfig(repeat_epochs=3))
    plain, repeating = Schedule(dataset, config, subset="train"), Schedule(dataset, again, subset="train")
    for step in range(0, 7 * plain.steps_per_epoch, 3):
        for ours, first in zip(repeating.clips_of(step), plain.clips_of(step % (3 * plain.steps_per_epoch)), strict=True):
            assert np.array_equal(ours, first)
    assert not np.array_equal(plain.plan_epoch(0).roi, plain.plan_epoch(3).roi)


def test_clips_of_ones_own_are_read_once_in_their_order() -> None:
    dataset, config = dataset_of(8), config_of(4)
    clips = Schedule(dataset, config, subset="train").plan_epoch(1).take(slice(0, 6))
    schedule = Schedule(dataset, replace(config, data=DataConfig(views=(2, 3))), subset="train", clips=clips)
    assert (schedule.is_training, schedule.steps_per_epoch) == (False, 2)
    read = [schedule.clips_of(step) for step in range(2)]
    for name in ("video", "frames", "roi"):
        assert np.array_equal(np.concatenate([getattr(plan, name) for plan in read])[:6], getattr(clips, name))
    assert read[1].present.tolist() == [True, True, False, False]
