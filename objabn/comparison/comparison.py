"""A comparison as one value: which runs, what was measured how and where, and what came out."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from objabn.comparison.bootstrap import FEW_VIDEOS, LEVEL, Interval
from objabn.comparison.description import machine_text
from objabn.comparison.differences import Cell, Difference, RunValues, Statistics, statistics
from objabn.comparison.measuring import Measuring
from objabn.comparison.quantities import QUANTITIES
from objabn.comparison.video_table import ANSWER_ROW, listed


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFacts:
    """What a reader must know of a run beside its numbers."""

    values: RunValues
    losses: str
    """System and losses in a few words."""
    clip: str
    """Frames, side and views of its clips."""
    checkpoint: str
    config_hash: str
    weights: str
    """SHA-256 of its weights file."""
    refusals: dict[str, str]
    """Methods that do not explain this network, and why."""
    hardware: dict[str, Any]
    """Where its seconds were measured."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Runs and explainers on the same videos."""

    dataset: str
    subset: str
    fingerprints: tuple[str, str | None]
    """Of the packed frames and of the masks."""
    videos: tuple[str, ...]
    videos_of_subset: int
    runs: tuple[RunFacts, ...]
    baseline: str
    settings: Measuring
    resamples: int
    seed: int
    versions: dict[str, str]
    found: Statistics

    def notes(self) -> list[str]:
        """Say in sentences what a reader must know to read the tables."""
        return [*how_sentences(self), *difference_sentences(self), *run_sentences(self.runs)]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON holds it: estimates and differences in the units shown, single videos as they were measured."""
        return {
            **{
                name: getattr(self, name) for name in ("dataset", "subset", "baseline", "resamples", "seed", "versions", "videos_of_subset")
            },
            "level": LEVEL,
            "fingerprints": {"frames": self.fingerprints[0], "masks": self.fingerprints[1]},
            "settings": dataclasses.asdict(self.settings),
            "quantities": {name: {"meaning": each.meaning, "better": each.better} for name, each in QUANTITIES.items()},
            "notes": self.notes(),
            "runs": [run_dict(run, self.found.estimates) for run in self.runs],
            "differences": [difference_dict(each) for each in self.found.differences],
            "best": [cell._asdict() for cell in sorted(self.found.best)],
            "videos": self.videos,
            "values": {
                run.values.name: {
                    row: {name: listed(column) for name, column in columns.items()} for row, columns in run.values.values.items()
                }
                for run in self.runs
            },
        }


def make_comparison(*, runs: Sequence[RunFacts], baseline: str, resamples: int, seed: int, **about: Any) -> Comparison:
    """Return the comparison of measured runs; `about` are the other fields of `Comparison`."""
    found = statistics([run.values for run in runs], baseline=baseline, resamples=resamples, seed=seed)
    return Comparison(runs=tuple(runs), baseline=baseline, resamples=resamples, seed=seed, found=found, **about)


def how_sentences(comparison: Comparison) -> list[str]:
    """Say on what the numbers rest."""
    count, total, settings = len(comparison.videos), comparison.videos_of_subset, comparison.settings
    chosen = "all" if count == total else f"{count} of {total}, spread over the classes"
    sentences = [
        f"{comparison.dataset}, {comparison.subset}: {count} videos ({chosen}). In brackets 95 % intervals over videos: of accuracies and "
        f"increase Wilson's, otherwise BCa bootstrap with {comparison.resamples} resamples, seed {comparison.seed}, the same for all.",
        "Bold, on the screen with a star: better than each other row beside it (of accuracies all runs, of maps those of the same run) by "
        "a paired difference whose interval leaves out 0; of differences those whose interval does. Nothing is corrected for the number of "
        "comparisons, and entropy and consistency have no better way.",
        f"Maps are compared on each network's own grid; explainers and faithfulness are about the {settings.explained} class"
        + (f", pointing allows {settings.tolerance:g} cells" if settings.tolerance else "")
        + f", insertion and deletion take {settings.steps} steps.",
    ]
    if count < FEW_VIDEOS:
        sentences.append(f"Intervals from fewer than {FEW_VIDEOS} videos are too narrow: this is a trial, and nothing is bold.")
    return sentences


def difference_sentences(comparison: Comparison) -> list[str]:
    """Say what is not compared."""
    refused = comparison.found.refused
    if not refused:
        return []
    grids = ", ".join(f"{run.values.name} {run.values.grid[0]} x {run.values.grid[1]}" for run in comparison.runs)
    titles = ", ".join(dict.fromkeys(QUANTITIES[first.quantity].title for first, _ in refused))
    return [f"Grids differ ({grids}), and within one grid only compare: {titles}; no differences of these are given between such runs."]


def run_sentences(runs: Sequence[RunFacts]) -> list[str]:
    """Say how runs differ in what they see, what they cannot do, and where their time was measured."""
    sentences = []
    if len({run.clip for run in runs}) > 1:
        sentences.append("Runs see other clips of the same videos: " + "; ".join(f"{run.values.name} {run.clip}" for run in runs) + ".")
    sentences += [f"{method} does not explain {run.values.name}: {why}" for run in runs for method, why in run.refusals.items()]
    machines = dict.fromkeys(machine_text(run.hardware) for run in runs)
    return [
        *sentences,
        f"Seconds are of {' and of '.join(machines)}; those of a network's own maps are of its answer, with which they come.",
    ]


def run_dict(run: RunFacts, estimates: dict[Cell, Interval]) -> dict[str, Any]:
    """Return a run as JSON holds it, with the estimates of its answer and of each map."""
    name = run.values.name
    facts = {key: getattr(run, key) for key in ("losses", "clip", "checkpoint", "config_hash", "weights", "refusals", "hardware")}
    maps = {row: estimates_of(name, row, estimates) for row in run.values.maps}
    return {"name": name, **facts, "grid": run.values.grid, "answer": estimates_of(name, ANSWER_ROW, estimates), "maps": maps}


def estimates_of(run: str, row: str, estimates: dict[Cell, Interval]) -> dict[str, Any]:
    """Return the estimates of one row by quantity; what no video has is left out."""
    return {
        cell.quantity: interval_dict(interval)
        for cell, interval in estimates.items()
        if (cell.run, cell.row) == (run, row) and interval.videos
    }


def difference_dict(difference: Difference) -> dict[str, Any]:
    """Return a difference as JSON holds it."""
    first, second = difference.cell, difference.against
    about = {"quantity": first.quantity, "of": [first.run, first.row], "less": [second.run, second.row]}
    return about | interval_dict(difference.interval) | ({} if difference.p is None else {"mcnemar_p": difference.p})


def interval_dict(interval: Interval) -> dict[str, Any]:
    """Return an interval as JSON holds it; null is not known."""
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in interval._asdict().items()}
