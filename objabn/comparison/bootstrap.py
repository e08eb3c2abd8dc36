"""How far means over videos can be trusted: intervals from resampled videos, the same for every number, and an exact paired test.

Columns are (V,) or (V, Q): V videos, Q numbers of each; NaN where a video has none. All intervals hold 95 %.
"""

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from objabn.metrics.map_scores import mean_of_finite

Columns = NDArray[np.float64]
LEVEL = 0.95
FEW_VIDEOS = 20
"""Below, bootstrap intervals are noticeably too narrow."""
MOST_DRAWS = 2**22
"""Videos drawn at a time, so that a large subset stays in memory."""


class Interval(NamedTuple):
    """A mean over videos and where it may lie."""

    value: float
    low: float
    """NaN, as `high`, where fewer than two videos have a value: one video says nothing about others."""
    high: float
    videos: int
    """That have a value."""

    @property
    def leaves_out_zero(self) -> bool:
        """Whether 0 lies outside, and enough videos say so."""
        return self.videos >= FEW_VIDEOS and (self.low > 0 or self.high < 0)


def bootstrap_intervals(values_VQ: Columns, *, resamples: int, seed: int) -> list[Interval]:
    """Return the mean of each column with its bias-corrected accelerated interval (BCa; Efron 1987, DiCiccio and Efron 1996).

    Where all values are equal, the interval is that value. Resamples without any value of a column are left out for it.
    """
    means_Q, counts_Q = mean_of_finite(values_VQ), (~np.isnan(values_VQ)).sum(0)
    drawn_RQ = resampled_means(values_VQ, resamples=resamples, seed=seed)
    return [
        Interval(float(mean), *bca_bounds(column_V[~np.isnan(column_V)], float(mean), drawn_R[~np.isnan(drawn_R)]), int(count))
        for column_V, mean, count, drawn_R in zip(values_VQ.T, means_Q, counts_Q, drawn_RQ.T, strict=True)
    ]


def resampled_means(values_VQ: Columns, *, resamples: int, seed: int) -> NDArray[np.float64]:
    """Return (R, Q) means over V videos drawn with replacement; a resample is the same for all columns."""
    videos, generator = len(values_VQ), np.random.default_rng(seed)
    is_there_VQ = ~np.isnan(values_VQ)
    filled_VQ, there_VQ = np.where(is_there_VQ, values_VQ, 0.0), is_there_VQ.astype(np.float64)
    most, parts = max(1, MOST_DRAWS // videos), []
    for start in range(0, resamples, most):
        rows = min(most, resamples - start)
        drawn_RV = generator.integers(0, videos, (rows, videos)) + np.arange(rows)[:, None] * videos
        times_RV = np.bincount(drawn_RV.ravel(), minlength=rows * videos).reshape(rows, videos).astype(np.float64)
        counts_RQ = times_RV @ there_VQ
        parts.append(np.divide(times_RV @ filled_VQ, counts_RQ, out=np.full_like(counts_RQ, np.nan), where=counts_RQ > 0))
    return np.concatenate(parts)


def bca_bounds(values_V: NDArray[np.float64], mean: float, drawn_R: NDArray[np.float64]) -> tuple[float, float]:
    """Return both ends for the mean of values, none NaN, from the means of resamples."""
    if len(values_V) < 2:
        return math.nan, math.nan
    if (values_V == values_V[0]).all():
        return mean, mean
    normal, count = NormalDist(), len(drawn_R)
    below = ((drawn_R < mean).sum() + (drawn_R <= mean).sum()) / 2 / count
    bias = normal.inv_cdf(min(max(below, 0.5 / count), 1 - 0.5 / count))
    # The jackknife's influences of a mean are the distances from it.
    distances_V = values_V - mean
    acceleration = float((distances_V**3).sum() / (6 * (distances_V**2).sum() ** 1.5))
    ends = []
    for share in ((1 - LEVEL) / 2, (1 + LEVEL) / 2):
        shifted = bias + normal.inv_cdf(share)
        ends.append(normal.cdf(bias + shifted / (1 - acceleration * shifted)))
    low, high = np.quantile(drawn_R, ends)
    return float(low), float(high)


def wilson_interval(share: float, videos: int) -> tuple[float, float]:
    """Return Wilson's interval of a share of videos: resampling 61 right videos of 61 would always give 100 % (Brown et al. 2001)."""
    if not videos:
        return math.nan, math.nan
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    centre, divisor = share + z * z / (2 * videos), 1 + z * z / videos
    reach = z * math.sqrt(share * (1 - share) / videos + z * z / (4 * videos * videos))
    # An end that should be 0 or 1 may miss it by a rounding.
    low, high = (centre - reach) / divisor, (centre + reach) / divisor
    return min(max(low, 0.0), share), max(min(high, 1.0), share)


def mcnemar(first_V: NDArray[np.float64], second_V: NDArray[np.float64]) -> float:
    """Return the exact two-sided p of McNemar's test that two networks are right equally often; 1 where they never differ.

    Values are 1 (right), 0 (wrong) or NaN (not seen); among n videos where only one is right, a fair coin would favour one so often.
    """
    only_first, only_second = int(((first_V == 1) & (second_V == 0)).sum()), int(((first_V == 0) & (second_V == 1)).sum())
    count = only_first + only_second
    tail = sum(math.comb(count, k) for k in range(min(only_first, only_second) + 1))
    return min(1.0, 2 * tail / 2**count)
