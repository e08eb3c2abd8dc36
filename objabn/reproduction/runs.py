"""What the finished trainings of a row came to: numbers of each video, seed by seed and as their mean, and curves over epochs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from objabn.comparison.differences import RunValues
from objabn.comparison.video_table import ANSWER_ROW, Values
from objabn.metrics.map_scores import mean_of_finite
from objabn.reproduction.rows import Row
from objabn.training.logging import read_records

SCALE = {"top1": 100.0, "top5": 100.0}
"""From a video's number to the one that is shown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedRun:
    """One training that is finished and measured."""

    seed: int
    map_names: tuple[str, ...]
    grid: tuple[int, int]
    checkpoints: dict[str, Values]
    """By `last`, and `best` where an epoch was chosen on `val`: numbers by row (answer, map, explainer), quantity and video."""
    chosen_epoch: int | None
    curve: list[dict[str, float]]
    """What was measured on the held-out subset after each epoch, without the subset's name before it."""
    seconds: float
    """Of the training."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RowRuns:
    """The trainings of one row."""

    row: Row
    seeds: tuple[SeedRun, ...]

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """What every seed has, the chosen epoch first."""
        return tuple(name for name in ("best", "last") if all(name in run.checkpoints for run in self.seeds))

    def of(self, seeds: set[int]) -> "RowRuns":
        """Return the trainings of these seeds alone."""
        return RowRuns(row=self.row, seeds=tuple(run for run in self.seeds if run.seed in seeds))

    def of_seeds(self, checkpoint: str, row: str, quantity: str) -> list[float]:
        """Return the mean over videos of each seed, in the unit that is shown; nothing where one of them has none."""
        columns = [run.checkpoints[checkpoint].get(row, {}).get(quantity) for run in self.seeds]
        found = [column for column in columns if column is not None and not np.isnan(column).all()]
        means = [float(mean_of_finite(column[:, None])[0]) * SCALE.get(quantity, 1.0) for column in found]
        return means if len(found) == len(columns) else []

    def values(self, checkpoint: str) -> RunValues:
        """Return the mean over the seeds of what each video has."""
        runs = [run.checkpoints[checkpoint] for run in self.seeds]
        common = {row: [name for name in runs[0][row] if all(name in run.get(row, {}) for run in runs)] for row in runs[0]}
        mean: Values = {
            row: {name: mean_of_finite(np.stack([run[row][name] for run in runs])) for name in names} for row, names in common.items()
        }
        return RunValues(name=self.row.name, grid=self.seeds[0].grid, map_names=self.seeds[0].map_names, values=mean)

    def curves(self) -> dict[str, list[float]]:
        """Return by name what was measured after epochs, the mean over the seeds, and those `epoch`s: all that every seed has."""
        by_epoch = [{record["epoch"]: record for record in run.curve} for run in self.seeds]
        epochs = [epoch for epoch in by_epoch[0] if all(epoch in records for records in by_epoch)]
        rows = [[records[epoch] for records in by_epoch] for epoch in epochs]
        names = set.intersection(*(set(record) for row in rows for record in row)) if rows else set()
        return {name: [float(np.mean([record[name] for record in row])) for row in rows] for name in sorted(names)}

    @property
    def maps(self) -> list[str]:
        """Names of the maps, explainers behind the network's own."""
        return [name for name in self.seeds[0].checkpoints["last"] if name != ANSWER_ROW]


def read_curve(run_folder: Path) -> list[dict[str, float]]:
    """Return what was measured on `val`, or on `test` where there is no `val`, after the epochs of a run."""
    epochs = [record for record in read_records(run_folder / "log.jsonl") if record.get("event") == "epoch"]
    return [{"epoch": record["epoch"]} | measured(record) for record in epochs]


def measured(record: dict[str, Any]) -> dict[str, float]:
    """Return the numbers of the held-out subset without its name."""
    for subset in ("val_", "test_"):
        found = {name.removeprefix(subset): value for name, value in record.items() if name.startswith(subset)}
        if found:
            return found
    return {}


def row_named(rows: Sequence[RowRuns], name: str) -> RowRuns | None:
    """Return a row by name where it has been trained."""
    return next((each for each in rows if each.row.name == name), None)
