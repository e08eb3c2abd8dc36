"""What the tables of several runs say: values with intervals, paired differences, and which row is surely the best."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from objabn.comparison.bootstrap import Interval, bootstrap_intervals, mcnemar, wilson_interval
from objabn.comparison.quantities import NETWORK, OF_MAPS, QUANTITIES
from objabn.comparison.video_table import ANSWER_ROW, Values
from objabn.metrics.map_scores import mean_of_finite

Column = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunValues:
    """One run's numbers, video by video."""

    name: str
    grid: tuple[int, int]
    """Rows and columns of its maps."""
    map_names: tuple[str, ...]
    """Of its own maps; the other rows are explainers."""
    values: Values
    """Row by quantity by video."""

    @property
    def reference_map(self) -> str:
        """The map that others are compared with: M_o where there is one, and no name where there is no map."""
        return "M_o" if "M_o" in self.map_names else next(iter(self.map_names), "")

    @property
    def maps(self) -> list[str]:
        """Names of all rows but the answer."""
        return [row for row in self.values if row != ANSWER_ROW]


class Cell(NamedTuple):
    """A place in the tables."""

    run: str
    row: str
    quantity: str


class Difference(NamedTuple):
    """A row less another, over the videos that both have."""

    cell: Cell
    against: Cell
    interval: Interval
    p: float | None
    """Of McNemar's exact test, for accuracies."""


class Statistics(NamedTuple):
    """All numbers, in the units that are shown."""

    estimates: dict[Cell, Interval]
    differences: tuple[Difference, ...]
    best: frozenset[Cell]
    """Cells better than each other row beside them by a difference whose interval leaves out 0."""
    refused: tuple[tuple[Cell, Cell], ...]
    """Pairs that do not compare, since their grids differ."""


def statistics(runs: Sequence[RunValues], *, baseline: str, resamples: int, seed: int) -> Statistics:
    """Return estimates, differences and best rows; every one of them rests on the same resamples of the videos."""
    columns = {
        Cell(run.name, row, quantity): column_V
        for run in runs
        for row, quantities in run.values.items()
        for quantity, column_V in quantities.items()
    }
    pairs, refused = divided(all_pairs(runs, baseline, columns), {run.name: run.grid for run in runs})
    leaders = [(leader(group, columns), group) for group in groups_beside(runs, columns)]
    rivals = [(best, other) for best, group in leaders for other in group if other != best]
    wanted = list(dict.fromkeys([*pairs, *rivals]))
    means = [cell for cell in columns if has_interval(cell)]
    stacked_VQ = np.stack([*(columns[cell] for cell in means), *(columns[first] - columns[second] for first, second in wanted)], 1)
    intervals = bootstrap_intervals(stacked_VQ, resamples=resamples, seed=seed)
    of_mean = dict(zip(means, intervals[: len(means)], strict=True))
    of_pair = dict(zip(wanted, intervals[len(means) :], strict=True))
    estimates = {cell: estimate(cell, column_V, of_mean.get(cell)) for cell, column_V in columns.items()}
    differences = tuple(difference(*pair, of_pair[pair], columns) for pair in pairs)
    return Statistics(estimates, differences, frozenset(surely_best(rivals, of_pair)), tuple(refused))


def estimate(cell: Cell, column_V: Column, resampled: Interval | None) -> Interval:
    """Return the number of a column in the unit that is shown: a mean with its interval, of a share Wilson's; a sum or median alone."""
    quantity, present_V = QUANTITIES[cell.quantity], column_V[~np.isnan(column_V)]
    if resampled is None:
        value = (np.median if quantity.statistic == "median" else np.sum)(present_V) if len(present_V) else np.nan
        return Interval(float(value) * quantity.scale, np.nan, np.nan, len(present_V))
    bounds = wilson_interval(resampled.value, resampled.videos) if quantity.is_share else (resampled.low, resampled.high)
    return scaled(resampled._replace(low=bounds[0], high=bounds[1]), quantity.scale)


def difference(cell: Cell, against: Cell, interval: Interval, columns: dict[Cell, Column]) -> Difference:
    """Return a paired difference in the unit that is shown."""
    p = mcnemar(columns[cell], columns[against]) if cell.quantity in ("top1", "top5") else None
    return Difference(cell, against, scaled(interval, QUANTITIES[cell.quantity].scale), p)


def scaled(interval: Interval, factor: float) -> Interval:
    """Return an interval in another unit."""
    return Interval(factor * interval.value, factor * interval.low, factor * interval.high, interval.videos)


def all_pairs(runs: Sequence[RunValues], baseline: str, columns: dict[Cell, Column]) -> Iterable[tuple[Cell, Cell]]:
    """Yield what is compared: each other run with the baseline, row by row, and in each run explainers with its own map."""
    base = next(run for run in runs if run.name == baseline)
    rows = [(run.name, ANSWER_ROW, base.name, ANSWER_ROW) for run in runs if run is not base]
    rows += [(run.name, row, base.name, counterpart(row, run, base)) for run in runs if run is not base for row in run.maps]
    rows += [(run.name, row, run.name, run.reference_map) for run in runs for row in run.maps if row not in run.map_names]
    for run_name, row, other_name, other_row in rows:
        for quantity in NETWORK if row == ANSWER_ROW else OF_MAPS:
            pair = Cell(run_name, row, quantity), Cell(other_name, other_row, quantity)
            if pair[0] in columns and pair[1] in columns and has_interval(pair[0]):
                yield pair


def counterpart(row: str, run: RunValues, base: RunValues) -> str:
    """Return the baseline's row that one of another run is compared with: its like, or the map that stands for a network with another's."""
    return base.reference_map if row == run.reference_map and row not in base.map_names else row


def divided(
    pairs: Iterable[tuple[Cell, Cell]], grids: dict[str, tuple[int, int]]
) -> tuple[list[tuple[Cell, Cell]], list[tuple[Cell, Cell]]]:
    """Divide pairs into those that compare, and those of different grids, which do not where the number belongs to the grid."""
    kept: list[tuple[Cell, Cell]] = []
    refused: list[tuple[Cell, Cell]] = []
    for first, second in pairs:
        is_one = grids[first.run] == grids[second.run] or not QUANTITIES[first.quantity].on_grid
        (kept if is_one else refused).append((first, second))
    return kept, refused


def groups_beside(runs: Sequence[RunValues], columns: dict[Cell, Column]) -> list[list[Cell]]:
    """Return the cells among which one may be the best: answers of all runs, and the maps of one run, which explain one network."""
    groups = [[Cell(run.name, ANSWER_ROW, quantity) for run in runs] for quantity in NETWORK]
    for run in runs:
        for quantity, kind in OF_MAPS.items():
            rows = [row for row in run.maps if not (kind.meets_objects and row == "M_b")]
            groups.append([Cell(run.name, row, quantity) for row in rows])
    present = ([cell for cell in group if cell in columns and not np.isnan(columns[cell]).all()] for group in groups)
    return [group for group in present if len(group) > 1 and QUANTITIES[group[0].quantity].better and has_interval(group[0])]


def has_interval(cell: Cell) -> bool:
    """Tell whether a number is a mean over videos."""
    return QUANTITIES[cell.quantity].statistic == "mean"


def leader(group: Sequence[Cell], columns: dict[Cell, Column]) -> Cell:
    """Return the best of a group by its mean."""
    sign = 1 if QUANTITIES[group[0].quantity].better == "higher" else -1
    means = mean_of_finite(np.stack([columns[cell] for cell in group], 1))
    return group[int(np.argmax(sign * means))]


def surely_best(rivals: Sequence[tuple[Cell, Cell]], of_pair: dict[tuple[Cell, Cell], Interval]) -> Iterable[Cell]:
    """Yield the best cells whose differences from all their rivals leave out 0."""
    beaten: dict[Cell, list[bool]] = {}
    for pair in rivals:
        beaten.setdefault(pair[0], []).append(of_pair[pair].leaves_out_zero)
    return (cell for cell, results in beaten.items() if all(results))
