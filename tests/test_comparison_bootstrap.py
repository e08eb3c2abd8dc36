"""Intervals over videos: by hand where that can be, against scipy on the same resamples, and how often they hold what they promise."""

import math

import numpy as np
import pytest
from scipy import stats

from objabn.comparison import bootstrap_intervals, mcnemar, wilson_interval
from objabn.comparison.bootstrap import resampled_means
from objabn.metrics.map_scores import mean_of_finite

NAN = math.nan


def columns(*values: list[float]) -> np.ndarray:
    return np.array(values, np.float64).T


def test_resampled_means_are_those_of_the_videos_drawn() -> None:
    values = np.array([[1.0, 5.0], [2.0, NAN], [4.0, 7.0]])
    drawn_RV = np.random.default_rng(3).integers(0, 3, (50, 3))
    means = resampled_means(values, resamples=50, seed=3)
    assert means[:, 0] == pytest.approx(values[drawn_RV, 0].mean(1))
    for drawn, mean in zip(drawn_RV, means[:, 1], strict=True):
        assert mean == pytest.approx(mean_of_finite(values[drawn])[1], nan_ok=True)


def test_resamples_do_not_depend_on_how_many_are_drawn_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    values = columns(list(range(10)))
    whole = resampled_means(values, resamples=21, seed=0)
    monkeypatch.setattr("objabn.comparison.bootstrap.MOST_DRAWS", 30)
    assert resampled_means(values, resamples=21, seed=0).tolist() == whole.tolist()


def test_intervals_are_those_of_scipy() -> None:
    generator = np.random.default_rng(0)
    values = np.stack([generator.exponential(1, 23), generator.normal(0, 1, 23), generator.integers(0, 2, 23)], 1)
    found = bootstrap_intervals(values, resamples=400, seed=7)
    for column, interval in zip(values.T, found, strict=True):
        expected = stats.bootstrap((column,), np.mean, n_resamples=400, method="BCa", rng=np.random.default_rng(7)).confidence_interval
        assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), rel=1e-12)
        assert (interval.value, interval.videos) == (pytest.approx(column.mean()), 23)


def test_a_pair_sees_the_same_videos() -> None:
    """A network that is better by the same amount on every video is better beyond doubt, however much videos differ."""
    first = np.random.default_rng(1).normal(0, 10, 40)
    second = first + 0.5
    alone, other, paired = bootstrap_intervals(columns(first, second, second - first), resamples=200, seed=0)
    assert alone.high > other.low, "each by itself is not told apart"
    assert (paired.low, paired.high) == pytest.approx((0.5, 0.5))


def test_what_cannot_be_known_is_not_said() -> None:
    one, equal, none, gaps = bootstrap_intervals(columns([3, NAN, NAN], [2, 2, 2], [NAN] * 3, [1, NAN, 3]), resamples=200, seed=0)
    assert (one.value, one.videos) == (3, 1)
    assert math.isnan(one.low) and math.isnan(one.high), "one video says nothing about others"
    assert equal == (2, 2, 2, 3)
    assert math.isnan(none.value) and none.videos == 0
    assert (gaps.value, gaps.videos, gaps.low, gaps.high) == (2, 2, 1, 3)


def test_intervals_hold_the_true_mean_about_as_often_as_they_say() -> None:
    """300 samples of 30 videos from a skewed distribution of mean 1 (BCa promises 95 %; 300 draws of it are 95 +- 2.5)."""
    samples = np.random.default_rng(5).exponential(1, (30, 300))
    found = bootstrap_intervals(samples, resamples=500, seed=1)
    held = [interval.low <= 1 <= interval.high for interval in found]
    assert 0.89 <= np.mean(held) <= 0.98


def test_wilson_by_hand() -> None:
    # 10 of 10: the lower end is n / (n + z^2) = 10 / 13.8415, where resampling would say 1.
    assert wilson_interval(1.0, 10) == (pytest.approx(10 / 13.841459), 1.0)
    assert wilson_interval(0.0, 10) == (0.0, pytest.approx(3.841459 / 13.841459))
    low, high = wilson_interval(0.5, 4)
    assert low + high == pytest.approx(1)
    expected = stats.binomtest(59, 61).proportion_ci(method="wilson")
    assert wilson_interval(59 / 61, 61) == pytest.approx((expected.low, expected.high))
    assert all(map(math.isnan, wilson_interval(NAN, 0)))


def test_mcnemar_by_hand() -> None:
    # Of 6 videos where only one is right, the first has 5: 2 * (1 + 6) / 64.
    first, second = np.array([1.0] * 5 + [0, 1, 0, 1]), np.array([0.0] * 5 + [1, 1, 0, NAN])
    assert mcnemar(first, second) == mcnemar(second, first) == 14 / 64
    assert mcnemar(first, first) == 1
    assert mcnemar(np.array([1.0, 0]), np.array([0.0, 1])) == 1, "twice a half and the middle is no more than certain"
    assert mcnemar(np.ones(3000), np.zeros(3000)) < 1e-300
    assert mcnemar(first, second) == pytest.approx(stats.binomtest(5, 6).pvalue)
