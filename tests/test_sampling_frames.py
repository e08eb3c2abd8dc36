"""Frames of a clip: every kind of sampling worked out by hand, and as properties over any video."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import toy_index

from objabn.config import DataConfig
from objabn.data.sampling import evaluation_plan, training_plan


def evaluated(frames: int, fps: float = 25.0, **data: object) -> list[list[int]]:
    """Return the frames of each evaluation clip of one video."""
    return evaluation_plan(toy_index([frames], fps=fps), np.arange(1), DataConfig(**data)).frames.tolist()


def trained(frames: int, videos: int = 4000, **data: object) -> np.ndarray:
    """Return the frames of a training epoch of equal videos."""
    return training_plan(toy_index([frames] * videos), np.arange(videos), DataConfig(**data), seed=0, epoch=0).frames


@pytest.mark.parametrize(
    ("frames", "clips", "expected"),
    [
        (10, 1, [[1, 3, 6, 8]]),  # the middles 1.25, 3.75, 6.25, 8.75 of parts of 2.5 frames
        (10, 2, [[0, 3, 5, 8], [1, 4, 6, 9]]),  # a quarter and three quarters into each part
        (3, 1, [[0, 1, 1, 2]]),  # parts of 0.75 frames
        (1, 1, [[0, 0, 0, 0]]),
    ],
)
def test_segments_by_hand(frames: int, clips: int, expected: list[list[int]]) -> None:
    assert evaluated(frames, clip_frames=4, sampling="segments", views=(clips, 1)) == expected


@pytest.mark.parametrize(
    ("frames", "clips", "expected"),
    [
        (10, 1, [[0, 2, 5, 7]]),
        (10, 2, [[0, 2, 5, 7], [1, 3, 6, 8]]),  # shifted by half of the spacing 2.5
        (3, 1, [[0, 0, 1, 2]]),
    ],
)
def test_uniform_by_hand(frames: int, clips: int, expected: list[list[int]]) -> None:
    assert evaluated(frames, clip_frames=4, sampling="uniform", views=(clips, 1)) == expected


def test_training_draws_each_frame_of_each_segment_alike_often() -> None:
    found = trained(20, clip_frames=4, sampling="segments")
    for part in range(4):
        numbers, counts = np.unique(found[:, part], return_counts=True)
        assert numbers.tolist() == list(range(5 * part, 5 * part + 5))
        assert counts.min() > 700, "800 of each are expected, with a spread of 25"
    assert len(np.unique(found, axis=0)) > 600, "of 625: the parts are drawn each for itself"


def test_uniform_training_is_the_evaluation_clip() -> None:
    assert np.unique(trained(10, 20, clip_frames=4, sampling="uniform", views=(3, 1)), axis=0).tolist() == [[0, 2, 5, 7]]


def test_a_short_video_is_repeated_or_looped() -> None:
    clip = {"clip_frames": 4, "stride_frames": 3}
    assert evaluated(5, **clip) == [[0, 3, 4, 4]]
    assert evaluated(5, short_videos="loop", **clip) == [[0, 3, 1, 4]]
    assert trained(5, 1, short_videos="loop", **clip).tolist() == [[0, 3, 1, 4]]
    assert evaluated(20, short_videos="loop", **clip) == evaluated(20, **clip) == [[5, 8, 11, 14]]


@pytest.mark.parametrize(
    ("fps", "rate", "expected"),
    [
        (12.0, 30.0, [0, 2, 4, 6]),
        (25.0, 30.0, [0, 4, 8, 13]),  # 0, 4.17, 8.33, 12.5
        (60.0, 30.0, [0, 10, 20, 30]),
        (29.97, 30.0, [0, 5, 10, 15]),
        (29.97, 29.97, [0, 5, 10, 15]),  # the index keeps 32 bits, which is a little less
        (5.0, 30.0, [0, 1, 2, 3]),  # 0, 0.83, 1.67, 2.5
        (3.0, 30.0, [0, 1, 1, 2]),  # slower than the clip: frames repeat
        (0.0, 30.0, [0, 5, 10, 15]),  # a rate nobody knows
        (12.0, 0.0, [0, 5, 10, 15]),
    ],
)
def test_frame_rates_by_hand(fps: float, rate: float, expected: list[int]) -> None:
    found = np.array(evaluated(31, fps, clip_frames=4, stride_frames=5, frames_per_second=rate, views=(2, 1)))
    assert (found[0] - found[0, 0]).tolist() == expected
    assert found[:, -1].tolist() == [expected[-1], 30], "the first clip begins and the last one ends with the video"


def test_each_video_has_its_own_rate() -> None:
    index = toy_index([100, 100])
    index.fps[:] = 12, 30
    found = evaluation_plan(index, np.arange(2), DataConfig(clip_frames=3, stride_frames=10, frames_per_second=30.0)).frames
    assert np.diff(found, axis=1).tolist() == [[4, 4], [10, 10]]


@settings(max_examples=100, deadline=None)
@given(
    fps=st.floats(1, 120, width=32),
    rate=st.floats(1, 120),
    stride=st.integers(1, 10),
    count=st.integers(2, 64),
)
def test_frames_at_a_rate_never_drift(fps: float, rate: float, stride: int, count: int) -> None:
    clip = evaluated(10**6, fps, clip_frames=count, stride_frames=stride, frames_per_second=rate)[0]
    seconds = (np.array(clip) - clip[0]) / np.float64(np.float32(fps))
    assert np.abs(seconds - np.arange(count) * stride / rate).max() <= 0.5001 / fps


SAMPLING = st.one_of(
    st.fixed_dictionaries({"sampling": st.sampled_from(["segments", "uniform"])}),
    st.fixed_dictionaries(
        {"short_videos": st.sampled_from(["repeat", "loop"]), "frames_per_second": st.sampled_from([0.0, 12.0, 29.97])}
        | {"stride_frames": st.integers(1, 9)}
    ),
)


@settings(max_examples=150, deadline=None)
@given(
    frames=st.lists(st.integers(1, 300), min_size=1, max_size=6),
    clip_frames=st.integers(1, 40),
    clips=st.integers(1, 12),
    fps=st.sampled_from([12.0, 25.0, 29.97, 60.0]),
    data=SAMPLING,
)
def test_frames_lie_in_their_video_and_in_order(frames: list[int], clip_frames: int, clips: int, fps: float, data: dict) -> None:
    index, config = toy_index(frames, fps=fps), DataConfig(clip_frames=clip_frames, views=(clips, 1), **data)
    rows = np.arange(len(frames))
    plans = training_plan(index, rows, config, seed=1, epoch=2), evaluation_plan(index, rows, config)
    for plan, count in zip(plans, (len(frames), len(frames) * clips), strict=True):
        assert plan.frames.shape == (count, clip_frames)
        assert plan.frames.dtype == np.int64
        assert (plan.frames >= 0).all()
        assert (plan.frames < index.frames[plan.video][:, None]).all()
        assert config.short_videos == "loop" or (np.diff(plan.frames, axis=1) >= 0).all()


@settings(max_examples=50, deadline=None)
@given(
    frames=st.integers(1, 400), clip_frames=st.integers(1, 30), clips=st.integers(1, 12), sampling=st.sampled_from(["segments", "uniform"])
)
def test_several_clips_of_parts_are_one_finer_clip(frames: int, clip_frames: int, clips: int, sampling: str) -> None:
    several = evaluated(frames, clip_frames=clip_frames, views=(clips, 1), sampling=sampling)
    (finer,) = evaluated(frames, clip_frames=clip_frames * clips, sampling=sampling)
    assert np.array(several).T.flatten().tolist() == finer


@settings(max_examples=50, deadline=None)
@given(frames=st.integers(1, 400), clips=st.integers(2, 12), short_videos=st.sampled_from(["repeat", "loop"]))
def test_clips_of_neighbours_cover_the_video_evenly(frames: int, clips: int, short_videos: str) -> None:
    found = np.array(evaluated(frames, views=(clips, 1), short_videos=short_videos))
    steps = np.diff(found[:, 0])
    assert found[0, 0] == 0
    assert found[-1, 0] == max(frames - 61, 0)
    assert np.ptp(steps) <= 1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            {"sampling": "segments", "frames_per_second": 30.0},
            "data.frames_per_second=30.0 is not possible; it must be 0 with sampling=segments",
        ),
        (
            {"sampling": "uniform", "short_videos": "loop"},
            "data.short_videos=loop is not possible; it must be repeat with sampling=uniform",
        ),
        ({"views": (0, 3)}, "data.views"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(data: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DataConfig(**data)
