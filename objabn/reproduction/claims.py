"""What the paper's tables claim, whether it holds here, and which change of one thing moves what does not."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from objabn.comparison.bootstrap import Interval, bootstrap_intervals
from objabn.comparison.quantities import QUANTITIES
from objabn.comparison.video_table import ANSWER_ROW
from objabn.reproduction.published import PUBLISHED
from objabn.reproduction.runs import SCALE, RowRuns, row_named


class Place(NamedTuple):
    """A number of the table."""

    row: str
    map: str
    quantity: str


class Claim(NamedTuple):
    """That the first number less the second one is at most, or surely below, or not surely below, a bound."""

    text: str
    first: Place
    second: Place
    kind: Literal["at most", "surely below", "not surely below"]
    bound: float = 0.0
    datasets: tuple[str, ...] = ("ucf101", "ssv2")

    def holds(self, difference: Interval) -> bool:
        """Say whether it does; what is sure is a matter of the interval."""
        if self.kind == "at most":
            return difference.value <= self.bound
        is_sure = not math.isnan(difference.high) and difference.high < self.bound
        return is_sure if self.kind == "surely below" else not is_sure


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "the mask loss makes maps sharper by a bit and more (section 4.3)",
        Place("mask", "M_o", "entropy"),
        Place("abn", "M_u", "entropy"),
        "at most",
        -1.0,
        ("ucf101",),
    ),
    Claim(
        "the mask loss makes maps sharper (section 4.4)",
        Place("mask", "M_o", "entropy"),
        Place("abn", "M_u", "entropy"),
        "surely below",
        datasets=("ssv2",),
    ),
    Claim(
        "the mask loss costs no accuracy (sections 4.3, 4.4)",
        Place("mask", ANSWER_ROW, "top1"),
        Place("abn", ANSWER_ROW, "top1"),
        "not surely below",
    ),
    Claim(
        "the PC loss makes M_o sharper still (section 4.3)",
        Place("mask+pc", "M_o", "entropy"),
        Place("mask", "M_o", "entropy"),
        "surely below",
        datasets=("ucf101",),
    ),
    Claim(
        "M_o of three maps is at least as sharp as a single one (sections 4.3, 4.4)",
        Place("mha", "M_o", "entropy"),
        Place("mask", "M_o", "entropy"),
        "at most",
        datasets=("ucf101",),
    ),
    Claim(
        "M_o of three maps is at least as sharp as a single one (section 4.4)",
        Place("mha+pc", "M_o", "entropy"),
        Place("mask", "M_o", "entropy"),
        "at most",
        datasets=("ssv2",),
    ),
    Claim(
        "three maps are less accurate than plain ABN (section 4.3)",
        Place("mha", ANSWER_ROW, "top1"),
        Place("abn", ANSWER_ROW, "top1"),
        "surely below",
        datasets=("ucf101",),
    ),
)

OURS = "our recipe gives up nothing of plain ABN's answers, and nothing of the maps of three heads"
CLAIMS += (
    Claim(f"{OURS}: accuracy", Place("best", ANSWER_ROW, "top1"), Place("abn", ANSWER_ROW, "top1"), "not surely below"),
    Claim(f"{OURS}: NLL", Place("abn", ANSWER_ROW, "nll"), Place("best", ANSWER_ROW, "nll"), "not surely below"),
    Claim(f"{OURS}: entropy", Place("best", "M_o", "entropy"), Place("mha", "M_o", "entropy"), "at most"),
    Claim(f"{OURS}: overlap", Place("mha", "M_o", "mask_iou"), Place("best", "M_o", "mask_iou"), "at most"),
)


class Shift(NamedTuple):
    """What changing a row does to a number."""

    row: str
    """The changed row."""
    base: str
    difference: Interval


class Verdict(NamedTuple):
    """A claim beside what was found."""

    claim: Claim
    difference: Interval
    published: float | None
    holds: bool
    explained_by: tuple[Shift, ...]
    """Where it does not hold: changes of the first row that surely move the number, to either side, the largest first."""


def verdicts(dataset: str, rows: Sequence[RowRuns], checkpoint: str, *, resamples: int, seed: int) -> list[Verdict]:
    """Return the claims of which both numbers are there."""
    found = []
    for claim in CLAIMS:
        first, second = row_named(rows, claim.first.row), row_named(rows, claim.second.row)
        if first is None or second is None or dataset not in claim.datasets:
            continue
        difference = paired(first, claim.first, second, claim.second, checkpoint, resamples=resamples, seed=seed)
        if difference is None:
            continue
        holds = claim.holds(difference)
        shifts = [] if holds else shifts_of(claim, rows, checkpoint, resamples=resamples, seed=seed)
        found.append(Verdict(claim, difference, published_difference(dataset, claim), holds, tuple(shifts)))
    return found


def paired(first: RowRuns, place: Place, second: RowRuns, other: Place, checkpoint: str, *, resamples: int, seed: int) -> Interval | None:
    """Return a number less another, with the interval of the mean difference over videos, each the mean of the seeds that both have.

    None where they have no seed and no video in common, and between grids for what belongs to one.
    """
    shared = {run.seed for run in first.seeds} & {run.seed for run in second.seeds}
    is_one_grid = first.seeds[0].grid == second.seeds[0].grid
    if not shared or not (is_one_grid or not QUANTITIES[place.quantity].on_grid):
        return None
    left = first.of(shared).values(checkpoint).values[place.map][place.quantity]
    right = second.of(shared).values(checkpoint).values[other.map][other.quantity]
    (interval,) = bootstrap_intervals((left - right)[:, None] * SCALE.get(place.quantity, 1.0), resamples=resamples, seed=seed)
    return interval if interval.videos else None


def shifts_of(claim: Claim, rows: Sequence[RowRuns], checkpoint: str, *, resamples: int, seed: int) -> list[Shift]:
    """Return the changes to the first row of a claim that surely move its number, few training clips or all, largest first."""
    place, found = claim.first, []
    for changed in rows:
        base = row_named(rows, changed.row.base or "")
        if base is None or not kind(changed.row.name) == kind(base.row.name) == place.row:
            continue
        difference = paired(changed, place, base, place, checkpoint, resamples=resamples, seed=seed)
        if difference is not None and difference.leaves_out_zero:
            found.append(Shift(changed.row.name, base.row.name, difference))
    return sorted(found, key=lambda shift: -abs(shift.difference.value))


def kind(name: str) -> str:
    """Return the row of the table that a row is a variation of."""
    return name.partition("~")[0]


def published_difference(dataset: str, claim: Claim) -> float | None:
    """Return the difference in the paper's table, or None where it has not both numbers."""
    first, second = published_number(dataset, claim.first), published_number(dataset, claim.second)
    return None if first is None or second is None else first - second


def published_number(dataset: str, place: Place) -> float | None:
    """Return a number of the paper's table."""
    row = PUBLISHED.get(dataset, {}).get(place.row)
    if row is None:
        return None
    return {"top1": row.top1, "top5": row.top5}.get(place.quantity) if place.map == ANSWER_ROW else row.entropy.get(place.map)
