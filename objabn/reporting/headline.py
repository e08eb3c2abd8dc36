"""The numbers at the head of a report: each with the interval that it may lie in, and how far runs are apart."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from objabn.comparison.bootstrap import bootstrap_intervals, wilson_interval
from objabn.reporting.predictions import Predictions, VideoPrediction

RESAMPLES = 2000

Better = Literal["higher", "lower"]
OfVideo = Callable[[VideoPrediction], float | None]


class Measured(NamedTuple):
    """A number and its interval of 95 % over videos, each None where there is none."""

    value: float | None
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Quantity:
    """What was measured in each run, of the network or of one map."""

    title: str
    unit: str
    digits: int
    better: Better | None
    map: str | None
    runs: list[Measured]
    differences: list[Measured]
    """Each run less the first one, over the videos that both have."""


def quantities(runs: Sequence[Predictions]) -> list[Quantity]:
    """Return the accuracies, and what is measured of each map, without what no run has."""
    percent = partial(quantity, runs, unit="%", digits=1, better="higher")
    found = [
        percent("Top-1", "top1", lambda video: 100.0 * (video.predicted == video.label), is_share=True),
        percent("Top-5", "top5", lambda video: 100.0 * (video.label in dict(video.top)), is_share=True),
        percent("Top-1 of the branch", "branch_top1"),
        quantity(runs, "NLL", "nll", log_loss, digits=3, better="lower"),
    ]
    if any(run.evaluation["views"] > 1 for run in runs):
        found.insert(2, percent("Top-1 of single views", "clip_top1"))
    for name in dict.fromkeys(name for run in runs for name in run.evaluation.get("entropy", {})):
        of_map = partial(quantity, runs, map_name=name)
        # M_b shows what is no object: it is compared with that, and should not point at one.
        points: Better = "lower" if name == "M_b" else "higher"
        found += [
            of_map("Entropy", "entropy", value_of("entropy", name), unit="bits", digits=2, better=None),
            of_map("Mask IoU", "mask_iou", value_of("mask_iou", name), digits=3, better="higher"),
            of_map("Pointing", "pointing", value_of("pointing", name), digits=3, better=points),
        ]
    return [each for each in found if any(measured.value is not None for measured in each.runs)]


def quantity(
    runs: Sequence[Predictions],
    title: str,
    name: str,
    of_video: OfVideo | None = None,
    *,
    digits: int,
    better: Better | None,
    unit: str = "",
    map_name: str | None = None,
    is_share: bool = False,
) -> Quantity:
    """Return a number of the evaluations by its name, with intervals where its value for each video is known."""
    stored = [run.evaluation.get(name) if map_name is None else run.evaluation.get(name, {}).get(map_name) for run in runs]
    measured, differences = [Measured(value) for value in stored], [Measured(None) for _ in runs]
    if of_video is not None:
        values = [{video.video: of_video(video) for video in run.videos} for run in runs]
        known = [{row: value for row, value in of_run.items() if value is not None} for of_run in values]
        measured = [with_interval(value, of_run, is_share=is_share) for value, of_run in zip(stored, known, strict=True)]
        differences = [difference(known[0], of_run) for of_run in known]
    return Quantity(title=title, unit=unit, digits=digits, better=better, map=map_name, runs=measured, differences=differences)


def value_of(name: str, map_name: str) -> OfVideo:
    """Return the function that gives a video's number for one map."""
    return lambda video: getattr(video, name).get(map_name)


def with_interval(value: float | None, by_video: dict[int, float], *, is_share: bool) -> Measured:
    """Return a number with its interval: Wilson's for shares in percent, else the bootstrap's."""
    if value is None or not by_video:
        return Measured(value)
    if is_share:
        low, high = wilson_interval(float(np.mean(list(by_video.values()))) / 100, len(by_video))
        return Measured(value, (100 * low, 100 * high))
    return Measured(value, bootstrapped(np.array(list(by_video.values()))))


def difference(first: dict[int, float], other: dict[int, float]) -> Measured:
    """Return the mean difference of two runs, video by video."""
    changes_V = np.array([other[row] - first[row] for row in first if row in other])
    return Measured(float(changes_V.mean()), bootstrapped(changes_V)) if len(changes_V) else Measured(None)


def bootstrapped(values_V: NDArray[np.float64]) -> tuple[float, float] | None:
    """Return the interval of a mean over videos; None for a single one, which says nothing about others."""
    interval = bootstrap_intervals(values_V[:, None], resamples=RESAMPLES, seed=0)[0]
    return None if math.isnan(interval.low) else (interval.low, interval.high)


def log_loss(video: VideoPrediction) -> float:
    """Return -ln of the true class's probability."""
    return -math.log(max(video.probability, np.finfo(np.float64).tiny))
