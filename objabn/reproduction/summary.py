"""The whole reproduction as plain values: what reproduction.json holds, and what the pages are made from."""

import statistics
from collections.abc import Sequence
from typing import Any

from objabn.comparison.bootstrap import bootstrap_intervals, wilson_interval
from objabn.comparison.video_table import ANSWER_ROW
from objabn.reproduction.changes import change_values, difference_values, ends
from objabn.reproduction.claims import Place, Verdict, published_number, verdicts
from objabn.reproduction.runs import SCALE, RowRuns

RESAMPLES = 2000
OF_NETWORK = ("top1", "top5", "nll")
OF_MAPS = ("entropy", "entropy_pixels", "mask_iou", "soft_iou", "pointing")


def summarize(dataset: str, budget: str, rows: Sequence[RowRuns], *, facts: dict[str, Any], seed: int = 0) -> dict[str, Any]:
    """Return everything that was found; `facts` are what a reader must know beside the numbers.

    Intervals hold 95 % over videos, each of which has the mean of its seeds; `std` is over seeds, None with a single one.
    Where every row has an epoch that was chosen on `val`, its numbers are those of that epoch, and those of the last one stand under
    `last`.
    """
    checkpoint = "best" if all("best" in row.checkpoints for row in rows) else "last"
    found = verdicts(dataset, rows, checkpoint, resamples=RESAMPLES, seed=seed)
    return {
        "dataset": dataset,
        "budget": budget,
        "grid": list(rows[0].seeds[0].grid),
        "checkpoint": checkpoint,
        "rows": [row_values(dataset, row, rows, checkpoint, found, seed=seed) for row in rows],
        "claims": [claim_values(verdict) for verdict in found],
        **facts,
    }


def row_values(
    dataset: str, row: RowRuns, rows: Sequence[RowRuns], checkpoint: str, found: Sequence[Verdict], *, seed: int
) -> dict[str, Any]:
    """Return one row of all."""
    explained = [
        {"claim": verdict.claim.text, "experiments": [shift_values(shift) for shift in verdict.explained_by]}
        for verdict in found
        if verdict.claim.first.row == row.row.name and not verdict.holds
    ]
    values = {
        "row": row.row.name,
        "what": row.row.what,
        "settings": list(row.row.settings),
        "maps": list(row.seeds[0].map_names),
        "grid": list(row.seeds[0].grid),
        "seeds": len(row.seeds),
        **numbers(dataset, row, checkpoint, seed=seed),
        "change": change_values(row, rows, checkpoint, resamples=RESAMPLES, seed=seed),
        "epochs_chosen": [run.chosen_epoch for run in row.seeds] if "best" in row.checkpoints else None,
        "hours": round(sum(run.seconds for run in row.seeds) / 3600, 3),
        "explained_by": explained or None,
        "curve": {name: rounded(line) for name, line in row.curves().items()},
    }
    if checkpoint == "best":
        last = numbers(dataset, row, "last", seed=seed) | {"change": change_values(row, rows, "last", resamples=RESAMPLES, seed=seed)}
        values["last"] = last
    return values


def numbers(dataset: str, row: RowRuns, checkpoint: str, *, seed: int) -> dict[str, Any]:
    """Return the numbers of one checkpoint of a row: of the network, and by map."""
    found: dict[str, Any] = {
        quantity: number(dataset, row, checkpoint, Place(row.row.name, ANSWER_ROW, quantity), seed=seed) for quantity in OF_NETWORK
    }
    for quantity in OF_MAPS:
        of_maps = {name: number(dataset, row, checkpoint, Place(row.row.name, name, quantity), seed=seed) for name in row.maps}
        found[quantity] = {name: values for name, values in of_maps.items() if values is not None}
    return found


def number(dataset: str, row: RowRuns, checkpoint: str, place: Place, *, seed: int) -> dict[str, Any] | None:
    """Return one number: mean and deviation over seeds, interval over videos, and what the paper has; None where it was not measured."""
    of_seeds = row.of_seeds(checkpoint, place.map, place.quantity)
    if not of_seeds:
        return None
    scale = SCALE.get(place.quantity, 1.0)
    column = row.values(checkpoint).values[place.map][place.quantity]
    (interval,) = bootstrap_intervals(column[:, None], resamples=RESAMPLES, seed=seed)
    low, high = wilson_interval(interval.value, interval.videos) if place.quantity in SCALE else (interval.low, interval.high)
    values = {
        "mean": round(statistics.fmean(of_seeds), 4),
        "std": round(statistics.stdev(of_seeds), 4) if len(of_seeds) > 1 else None,
        "interval": ends(low * scale, high * scale),
    }
    is_published = place.quantity in ("top1", "top5", "entropy")
    return values | ({"published": published_number(dataset, place)} if is_published else {})


def claim_values(verdict: Verdict) -> dict[str, Any]:
    """Return a claim with what was found."""
    claim = verdict.claim
    return {
        "claim": claim.text,
        "number": f"{place_text(claim.first)} - {place_text(claim.second)}",
        "wanted": f"{claim.kind} {claim.bound:g}",
        **difference_values(verdict.difference),
        "published": None if verdict.published is None else round(verdict.published, 3),
        "holds": verdict.holds,
        "explained_by": [shift_values(shift) for shift in verdict.explained_by] if not verdict.holds else None,
    }


def shift_values(shift: Any) -> dict[str, Any]:
    """Return what changing one thing did."""
    return {"experiment": shift.row, "less": shift.base, **difference_values(shift.difference)}


def place_text(place: Place) -> str:
    """Write a number's place in the table."""
    return f"{place.quantity} of {place.row}" if place.map == ANSWER_ROW else f"{place.quantity} of {place.map}, {place.row}"


def rounded(values: Sequence[float]) -> list[float]:
    """Return values as short as they are read."""
    return [round(value, 4) for value in values]
