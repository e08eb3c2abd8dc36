"""Frames, crops and flips: worked out by hand, and as properties over any index."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objabn.config import DataConfig
from objabn.data.sampling import TIE_SHIFT_PIXELS, clip_span, evaluation_plan, padded, source_roi, training_plan


def index_of(frames: list[int], size_YX: tuple[int, int] = (240, 320)) -> SimpleNamespace:
    count = len(frames)
    return SimpleNamespace(
        frames=np.array(frames),
        height=np.full(count, size_YX[0], np.int32),
        width=np.full(count, size_YX[1], np.int32),
        label=np.arange(count) % 5,
    )


def test_the_paper_s_clip_reaches_over_61_frames() -> None:
    assert clip_span(DataConfig()) == 61


def test_centre_clip_by_hand() -> None:
    config = DataConfig(clip_frames=4, stride_frames=3, short_side=(120, 160), eval_short_side=120, crop_size=112)
    plan = evaluation_plan(index_of([20, 5]), np.arange(2), config)
    assert plan.frames[0].tolist() == [5, 8, 11, 14], "a span of 10 in 20 frames leaves 10; half of it comes before"
    assert plan.frames[1].tolist() == [0, 3, 4, 4], "too short: the last frame repeats"
    # 240x320 becomes 120x160; the crop of 112 begins at row 4, column 24, which is row 8, column 48 of the packed frame.
    assert (plan.roi[0] - TIE_SHIFT_PIXELS).tolist() == [8, 48, 232, 272]
    assert plan.label.tolist() == [0, 1]


def test_a_flip_exchanges_left_and_right_only() -> None:
    size, resized, offset = np.array([[100, 200]] * 2), np.array([[50, 100]] * 2), np.array([[3, 7]] * 2)
    roi = source_roi(size, resized, offset, 40, np.array([False, True]))
    assert (roi - TIE_SHIFT_PIXELS).tolist() == [[6, 14, 86, 94], [6, 94, 86, 14]]


@settings(max_examples=50, deadline=None)
@given(
    frames=st.lists(st.integers(1, 200), min_size=1, max_size=30),
    size_YX=st.tuples(st.integers(16, 400), st.integers(16, 400)),
    seed=st.integers(0, 2**31),
    epoch=st.integers(0, 1000),
)
def test_every_random_clip_lies_inside_its_video(frames: list[int], size_YX: tuple[int, int], seed: int, epoch: int) -> None:
    index, config = index_of(frames, size_YX), DataConfig()
    plan = training_plan(index, np.arange(len(frames)), config, seed=seed, epoch=epoch)
    assert sorted(plan.video) == list(range(len(frames))), "each video once"
    assert (plan.frames >= 0).all()
    assert (plan.frames <= index.frames[plan.video][:, None] - 1).all()
    assert set(np.unique(np.diff(plan.frames, axis=1))) <= set(range(config.stride_frames + 1))
    top, left, bottom, right = plan.roi.T
    low, high = np.minimum(left, right), np.maximum(left, right)
    assert (top >= 0).all()
    assert (low >= 0).all()
    assert (bottom <= size_YX[0] + 2 * TIE_SHIFT_PIXELS).all()
    assert (high <= size_YX[1] + 2 * TIE_SHIFT_PIXELS).all()
    assert (plan.label == index.label[plan.video]).all()


def test_all_starts_sides_and_flips_occur() -> None:
    index, config = index_of([70] * 4000), DataConfig()
    plan = training_plan(index, np.arange(4000), config, seed=1, epoch=0)
    assert set(plan.frames[:, 0]) == set(range(10)), "70 frames leave starts 0 to 9"
    assert 0.45 < (plan.roi[:, 1] > plan.roi[:, 3]).mean() < 0.55
    short_side = np.round(224 / (plan.roi[:, 2] - plan.roi[:, 0]) * 240)
    assert (short_side.min(), short_side.max()) == (256, 320)


@pytest.mark.parametrize("width", [240, 320, 427, 171])
def test_no_sampling_position_lies_on_a_pixel_edge(width: int) -> None:
    config = DataConfig()
    plan = training_plan(index_of([70] * 500, (width, width)), np.arange(500), config, seed=0, epoch=0)
    left, right = plan.roi[:, 1:2].astype(float), plan.roi[:, 3:4].astype(float)
    position = left + (np.arange(224) + 0.5) / 224 * (right - left)
    assert np.abs(position - np.round(position)).min() > 1e-4, "float32 resolves 3e-5 pixels at 320"


def test_plans_repeat_by_seed_and_change_by_epoch() -> None:
    index, rows, config = index_of([100] * 50), np.arange(50), DataConfig()
    first, again, other = (training_plan(index, rows, config, seed=3, epoch=epoch) for epoch in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first.video, other.video)
    assert not np.array_equal(first.roi, other.roi)


def test_padding_repeats_the_last_clip_and_says_so() -> None:
    plan = padded(evaluation_plan(index_of([100] * 5), np.arange(5), DataConfig()), 4)
    assert plan.video.tolist() == [0, 1, 2, 3, 4, 4, 4, 4]
    assert plan.present.tolist() == [True] * 5 + [False] * 3


@pytest.mark.parametrize("flip_probability", [0.0, 1.0])
def test_flip_probability_is_kept_at_its_ends(flip_probability: float) -> None:
    config = DataConfig(flip_probability=flip_probability)
    plan = training_plan(index_of([100] * 40), np.arange(40), config, seed=0, epoch=0)
    assert (plan.roi[:, 1] > plan.roi[:, 3]).mean() == flip_probability
