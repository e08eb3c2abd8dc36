"""Plans of whole epochs: clips, crops and flips worked out by hand, and as properties over any index."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import toy_index

from objabn.config import DataConfig
from objabn.data.sampling import TIE_SHIFT_PIXELS, evaluation_plan, few_of_each_class, padded, source_roi, training_plan


def test_the_plan_of_a_seed_never_changes() -> None:
    """Runs are resumed and results repeated by it."""
    plan = training_plan(toy_index([50, 61, 75, 120]), np.arange(4), DataConfig(), seed=0, epoch=0)
    assert plan.video.tolist() == [2, 0, 1, 3]
    assert plan.frames[:, 0].tolist() == [4, 0, 0, 2]
    assert plan.frames[1].tolist() == [0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 49, 49, 49]
    assert plan.roi.tolist() == [
        [22.154335021972656, 110.05828857421875, 228.92356872558594, 317.2259216308594],
        [28.949905395507812, 80.46832275390625, 238.13278198242188, 290.0589599609375],
        [19.775768280029297, 276.85443115234375, 221.12408447265625, 75.506103515625],
        [39.74074935913086, 78.82975769042969, 214.2862091064453, 253.65902709960938],
    ]


def test_the_centre_view_never_changes() -> None:
    plan = evaluation_plan(toy_index([50, 61, 75, 120]), np.arange(4), DataConfig())
    assert plan.frames[:, 0].tolist() == [0, 0, 7, 29]
    assert plan.frames[:, -1].tolist() == [49, 60, 67, 89], "the paper's clip reaches over 61 frames"
    assert plan.roi.tolist() == [[15.00048828125, 54.42864227294922, 225.00048828125, 264.6339111328125]] * 4
    assert plan.view.tolist() == [0] * 4


@pytest.mark.parametrize("size_YX", [(240, 320), (320, 240), (99, 100)])
def test_without_augmentation_a_training_clip_is_the_clip_of_evaluation(size_YX: tuple[int, int]) -> None:
    config = DataConfig(sampling="uniform", augment=False, colour_jitter=0.5)
    index = toy_index([50, 61, 75, 120], size_YX)
    fixed = evaluation_plan(index, np.arange(4), config)
    for epoch in range(3):
        plan = training_plan(index, np.arange(4), config, seed=0, epoch=epoch)
        for column, expected in zip(plan, fixed.take(plan.video), strict=True):
            assert np.array_equal(column, expected)
    random = training_plan(index, np.arange(4), DataConfig(), seed=0, epoch=1)
    assert np.array_equal(random.video, training_plan(index, np.arange(4), config, seed=0, epoch=1).video), "the order stays"


def test_centre_clip_by_hand() -> None:
    config = DataConfig(clip_frames=4, stride_frames=3, short_side=(120, 160), eval_short_side=120, crop_size=112)
    plan = evaluation_plan(toy_index([20, 5]), np.arange(2), config)
    assert plan.frames[0].tolist() == [5, 8, 11, 14], "a span of 10 in 20 frames leaves 10; half of it comes before"
    assert plan.frames[1].tolist() == [0, 3, 4, 4], "too short: the last frame repeats"
    # 240x320 becomes 120x160; the crop of 112 begins at row 4, column 24, which is row 8, column 48 of the packed frame.
    assert (plan.roi[0] - TIE_SHIFT_PIXELS).tolist() == [8, 48, 232, 272]
    assert plan.label.tolist() == [0, 1]


def test_three_clips_of_three_crops_by_hand() -> None:
    config = DataConfig(clip_frames=4, stride_frames=3, short_side=(120, 160), eval_short_side=120, crop_size=112, views=(3, 3))
    plan = evaluation_plan(toy_index([20, 5]), np.array([1, 0]), config)
    assert plan.video.tolist() == [1] * 9 + [0] * 9, "views of a video follow each other"
    assert plan.view.tolist() == [*range(9)] * 2
    assert plan.label.tolist() == [1] * 9 + [0] * 9
    assert plan.present.all()
    assert plan.frames[:9].tolist() == [[0, 3, 4, 4]] * 9, "a short video has one clip only"
    assert plan.frames[9:, 0].tolist() == [0, 0, 0, 5, 5, 5, 10, 10, 10], "start, middle and end of the 10 frames left"
    # 112 of 120 x 160 begin at row 4 and at columns 0, 24 and 48; one resized pixel is two packed ones.
    crops = [[8, 0, 232, 224], [8, 48, 232, 272], [8, 96, 232, 320]]
    assert (plan.roi - TIE_SHIFT_PIXELS).tolist() == crops * 6


@pytest.mark.parametrize(("crops", "tops"), [(1, [80]), (2, [0, 160]), (4, [0, 53, 106, 160])])
def test_crops_of_an_upright_video_lie_below_each_other(crops: int, tops: list[int]) -> None:
    config = DataConfig(eval_short_side=240, short_side=(240, 240), crop_size=240, views=(1, crops))
    plan = evaluation_plan(toy_index([90], (400, 240)), np.arange(1), config)
    assert (plan.roi - TIE_SHIFT_PIXELS).tolist() == [[top, 0, top + 240, 240] for top in tops]


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
    index, config = toy_index(frames, size_YX), DataConfig()
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
    index, config = toy_index([70] * 4000), DataConfig()
    plan = training_plan(index, np.arange(4000), config, seed=1, epoch=0)
    assert set(plan.frames[:, 0]) == set(range(10)), "70 frames leave starts 0 to 9"
    assert 0.45 < (plan.roi[:, 1] > plan.roi[:, 3]).mean() < 0.55
    short_side = np.round(224 / (plan.roi[:, 2] - plan.roi[:, 0]) * 240)
    assert (short_side.min(), short_side.max()) == (256, 320)


def test_all_places_of_the_crop_occur() -> None:
    config = DataConfig(short_side=(226, 226), eval_short_side=226, flip_probability=0.0)
    plan = training_plan(toy_index([70] * 4000), np.arange(4000), config, seed=1, epoch=0)
    # 240 x 320 becomes 226 x 301, which leaves 2 rows and 77 columns.
    places = np.round((plan.roi[:, :2] - TIE_SHIFT_PIXELS) * (226 / 240, 301 / 320))
    assert set(places[:, 0]) == set(range(3))
    assert set(places[:, 1]) == set(range(78))


@pytest.mark.parametrize("width", [240, 320, 427, 171])
def test_no_sampling_position_lies_on_a_pixel_edge(width: int) -> None:
    config = DataConfig()
    plan = training_plan(toy_index([70] * 500, (width, width)), np.arange(500), config, seed=0, epoch=0)
    left, right = plan.roi[:, 1:2].astype(float), plan.roi[:, 3:4].astype(float)
    position = left + (np.arange(224) + 0.5) / 224 * (right - left)
    assert np.abs(position - np.round(position)).min() > 1e-4, "float32 resolves 3e-5 pixels at 320"


def test_plans_repeat_by_seed_and_change_by_epoch() -> None:
    index, rows, config = toy_index([100] * 50), np.arange(50), DataConfig()
    first, again, other = (training_plan(index, rows, config, seed=3, epoch=epoch) for epoch in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first.video, other.video)
    assert not np.array_equal(first.roi, other.roi)


def test_padding_repeats_the_last_clip_and_says_so() -> None:
    plan = padded(evaluation_plan(toy_index([100] * 5), np.arange(5), DataConfig()), 4)
    assert plan.video.tolist() == [0, 1, 2, 3, 4, 4, 4, 4]
    assert plan.present.tolist() == [True] * 5 + [False] * 3


def test_flips_mirror_what_would_be_seen_without() -> None:
    never, always = (
        training_plan(toy_index([100] * 40), np.arange(40), DataConfig(flip_probability=p), seed=0, epoch=0) for p in (0.0, 1.0)
    )
    assert (never.roi[:, 1] < never.roi[:, 3]).all()
    assert np.array_equal(always.roi, never.roi[:, [0, 3, 2, 1]])
    assert np.array_equal(always.frames, never.frames)


@settings(max_examples=50, deadline=None)
@given(
    frames=st.lists(st.integers(1, 200), min_size=1, max_size=5),
    size_YX=st.tuples(st.integers(16, 400), st.integers(16, 400)),
    views=st.tuples(st.integers(1, 12), st.integers(1, 5)),
    crop_size=st.integers(32, 64),
)
def test_every_view_is_planned_once_and_crops_reach_from_edge_to_edge(
    frames: list[int], size_YX: tuple[int, int], views: tuple[int, int], crop_size: int
) -> None:
    config = DataConfig(crop_size=crop_size, short_side=(64, 64), eval_short_side=64, views=views)
    plan = evaluation_plan(toy_index(frames, size_YX), np.arange(len(frames)), config)
    clips, crops = views
    assert list(zip(plan.video, plan.view, strict=True)) == [(video, view) for video in range(len(frames)) for view in range(clips * crops)]
    start, end = plan.roi[:, :2] - TIE_SHIFT_PIXELS, plan.roi[:, 2:] - TIE_SHIFT_PIXELS
    assert (start >= 0).all()
    assert (end <= np.array(size_YX) + 1e-3).all()
    resized = [side * 64 // min(size_YX) for side in size_YX]
    long = int(resized[1] >= resized[0])
    first, last = start[:crops, long], end[:crops, long]
    assert crops == 1 or (first[0] == 0 and last[-1] == pytest.approx(size_YX[long], abs=1e-3))
    resized_pixel = min(size_YX) / 64
    assert crops < 3 or np.ptp(np.diff(first)) <= 1.1 * resized_pixel
    assert first + last[::-1] == pytest.approx(np.full(crops, size_YX[long]), abs=2.1 * resized_pixel), "alike on both sides"


LABEL, GROUP = np.repeat(np.arange(3), 8), np.repeat(np.arange(12), 2)


@settings(deadline=None, max_examples=40)
@given(shots=st.integers(1, 9), seed=st.integers(0, 50), count=st.integers(1, 24))
def test_few_of_each_class(shots: int, seed: int, count: int) -> None:
    index, rows = SimpleNamespace(label=LABEL, group=GROUP), np.arange(count)
    chosen = few_of_each_class(index, rows, shots, seed=seed)
    assert np.array_equal(chosen, np.unique(chosen)), "in the order of the index, each once"
    assert set(chosen) <= set(rows)
    for label in np.unique(LABEL[rows]):
        there, own = np.flatnonzero(LABEL[rows] == label), chosen[LABEL[chosen] == label]
        assert len(own) == min(shots, len(there))
        assert len(set(GROUP[own])) == min(len(own), len(set(GROUP[there]))), "no two of a group while there are others"
    assert np.array_equal(chosen, few_of_each_class(index, rows, shots, seed=seed))


def test_other_seeds_choose_others() -> None:
    index = SimpleNamespace(label=LABEL, group=GROUP)
    assert len({tuple(few_of_each_class(index, np.arange(24), 2, seed=seed)) for seed in range(5)}) == 5
