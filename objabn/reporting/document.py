"""Everything a report shows, as plain values: the page's scripts draw, and compute nothing."""

import base64
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from objabn.config import Config
from objabn.explainers.overlay import heat_colours
from objabn.reporting.classes import class_counts, confusion
from objabn.reporting.clips import ShownClip
from objabn.reporting.distributions import entropy_histograms
from objabn.reporting.headline import quantities
from objabn.reporting.history import History, charts
from objabn.reporting.predictions import Predictions
from objabn.reporting.surroundings import flat, rows_of, setting_rows
from objabn.training.logging import Record


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportedRun:
    """One run as a report needs it."""

    name: str
    config: Config
    records: Sequence[Record]
    """Of log.jsonl; a run that was not trained here has none."""
    environment: dict[str, Any]
    """environment.json."""
    predictions: Predictions
    clips: dict[int, ShownClip]
    """Of the gallery, by row of the index."""


def report_data(runs: Sequence[ReportedRun], *, chosen: dict[int, list[str]], made: str = "") -> dict[str, Any]:
    """Return what the page holds of these runs, which `refuse_different` lets stand side by side.

    `chosen` is what `choose_videos` chose, for which the runs have clips; `made` says when and with what the report was made.
    """
    predictions = [run.predictions for run in runs]
    pictures: dict[str, int] = {}
    histories = [History(run.records, run=number, batch=run.config.optim.batch) for number, run in enumerate(runs)]
    environments = [flat(run.environment) for run in runs]
    return {
        "made": made,
        "dataset": predictions[0].evaluation.get("dataset"),
        "subset": predictions[0].evaluation.get("subset"),
        "classes": predictions[0].classes,
        "runs": [run_values(run) for run in runs],
        "quantities": as_values(quantities(predictions)),
        "histograms": as_values(entropy_histograms(predictions)),
        "charts": as_values(charts(histories)),
        "settings": as_values(setting_rows([run.config for run in runs])),
        "environment": as_values(rows_of(environments)),
        "heat": base64.b64encode(heat_colours(np.linspace(0, 1, 256, dtype=np.float32)).tobytes()).decode(),
        "gallery": [card(runs, row, groups, pictures) for row, groups in chosen.items()],
        "pictures": list(pictures),
    }


def run_values(run: ReportedRun) -> dict[str, Any]:
    """Return what the page says of one run."""
    evaluation, model = run.predictions.evaluation, run.config.model
    return {
        "name": run.name,
        "system": model.system,
        "backbone": model.backbone,
        "videos": evaluation["videos"],
        "skipped": evaluation.get("skipped", 0),
        "checkpoint": evaluation.get("checkpoint"),
        "views": evaluation["views"],
        "grid": evaluation["grid"],
        "maps": list(evaluation.get("entropy", {})),
        "classCounts": class_counts(run.predictions.videos),
        "confusion": confusion(run.predictions.videos),
    }


def card(runs: Sequence[ReportedRun], row: int, groups: list[str], pictures: dict[str, int]) -> dict[str, Any]:
    """Return one video of the gallery; `pictures` gets the sprites, of which runs that see the same clip share one."""
    views = [next(video for video in run.predictions.videos if video.video == row) for run in runs]
    return {
        "name": views[0].name,
        "label": views[0].label,
        "groups": groups,
        "runs": [
            {"top": view.top, "predicted": view.predicted, "clip": clip_values(run.clips.get(row), pictures)}
            for run, view in zip(runs, views, strict=True)
        ],
    }


def clip_values(clip: ShownClip | None, pictures: dict[str, int]) -> dict[str, Any] | None:
    """Return a clip with the number of its sprite in the place of the sprite."""
    if clip is None:
        return None
    number = pictures.setdefault(clip.sprite.picture, len(pictures))
    return dataclasses.asdict(clip) | {"sprite": {"picture": number, "columns": clip.sprite.columns}}


def as_values(rows: Sequence[Any]) -> list[dict[str, Any]]:
    """Return dataclasses as dictionaries."""
    return [dataclasses.asdict(row) for row in rows]
