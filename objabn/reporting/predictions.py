"""What a network said of every video of a subset, kept in the run folder as predictions.json."""

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from objabn.config import Config
from objabn.data.dataset import PackedDataset
from objabn.evaluation import Evaluation
from objabn.explainers.finished import file_digest
from objabn.files import write_text
from objabn.models.network import AttentionNetwork
from objabn.settings import HOW_CLIPS_ARE_READ, to_dict
from objabn.training.scores import VideoScores
from objabn.types import Batch, Output

SHOWN_CLASSES = 5


class VideoPrediction(NamedTuple):
    """One video; maps are named, and what could not be measured is absent."""

    name: str
    """Path of the source as the lists write it."""
    video: int
    """Row of the dataset's index."""
    label: int
    predicted: int
    probability: float
    """Of the true class."""
    top: list[tuple[int, float]]
    """The most probable classes, at most five: number and probability."""
    entropy: dict[str, float]
    """In bits, mean over frames and views."""
    mask_iou: dict[str, float]
    pointing: dict[str, float]

    @property
    def margin(self) -> float:
        """How much more probable the first class is than the second."""
        return self.top[0][1] - (self.top[1][1] if len(self.top) > 1 else 0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Predictions:
    """A subset as one checkpoint sees it."""

    source: dict[str, Any]
    """What they were made from: `source_of`."""
    evaluation: dict[str, Any]
    """The numbers of `objabn evaluate`."""
    classes: tuple[str, ...]
    videos: tuple[VideoPrediction, ...]


class ScoreKeeper:
    """Keeps the probabilities of every class while a network is evaluated; `watch` is an argument of `evaluate_run`."""

    def __init__(self) -> None:
        self.scores = VideoScores()

    def watch(self, _net: AttentionNetwork) -> Callable[[Batch, Output], None]:
        """Return what is to see each batch."""
        return self.scores.add

    def predictions(self, evaluation: Evaluation, dataset: PackedDataset, source: dict[str, Any]) -> Predictions:
        """Return what was said of every video that the evaluation saw."""
        videos = []
        for result in evaluation.results:
            score = self.scores.videos[result.video]
            # Weights that went to infinity give no numbers, which nothing after this could compare.
            probabilities_K = np.nan_to_num(score.probabilities / score.views)
            first = (-probabilities_K).argsort(kind="stable")[:SHOWN_CLASSES].tolist()
            top = [(number, float(probabilities_K[number])) for number in first]
            kept = {**result._asdict(), "probability": float(probabilities_K[result.label])}
            videos.append(VideoPrediction(name=dataset.index.name(result.video), top=top, **kept))
        return Predictions(source=source, evaluation=evaluation.to_dict(), classes=dataset.classes, videos=tuple(videos))


def source_of(model_file: Path, checkpoint: str, dataset: PackedDataset, config: Config, subset: str) -> dict[str, Any]:
    """Return what predictions depend on: weights, packed frames and masks, videos, and how clips are cut out of them."""
    data = to_dict(config.data)
    for name in ("dataset", *HOW_CLIPS_ARE_READ):
        del data[name]
    settings = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:12]
    packed, masks = dataset.fingerprints
    return {
        "checkpoint": checkpoint,
        "weights": file_digest(model_file),
        "packed": packed,
        "masks": masks,
        "subset": subset,
        "settings": settings,
    }


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write predictions as JSON with one video to a line."""
    videos = ",\n".join(json.dumps(finite(video._asdict()), allow_nan=False) for video in predictions.videos)
    head = {"source": predictions.source, "evaluation": predictions.evaluation, "classes": predictions.classes}
    text = ",\n".join(f"{json.dumps(name)}: {json.dumps(finite(value), allow_nan=False)}" for name, value in head.items())
    write_text(path, f'{{\n{text},\n"videos": [\n{videos}\n]\n}}\n')


def read_predictions(path: Path, source: dict[str, Any]) -> Predictions | None:
    """Return stored predictions, or None where there are none of this source; a file that cannot be read is none."""
    if not path.is_file():
        return None
    try:
        values = json.loads(path.read_text())
        if values["source"] != source:
            return None
        videos = tuple(VideoPrediction(**video | {"top": [tuple(pair) for pair in video["top"]]}) for video in values["videos"])
    except (ValueError, KeyError, TypeError):
        return None
    return Predictions(source=source, evaluation=values["evaluation"], classes=tuple(values["classes"]), videos=videos)


def refuse_different(names: Sequence[str], runs: Sequence[Predictions]) -> None:
    """Raise ValueError where runs, of these names, did not see the same videos of one packed dataset."""
    first = runs[0]
    for name, other in zip(names[1:], runs[1:], strict=True):
        if other.classes != first.classes or other.source.get("packed") != first.source.get("packed"):
            seen = [run.evaluation.get("dataset") for run in (first, other)]
            raise ValueError(
                f"{names[0]} was evaluated on {seen[0]} and {name} on {seen[1]}, which are not one packed dataset; "
                "name one for all with --dataset, or report on the runs one by one."
            )


def finite(value: Any) -> Any:
    """Return the value with None in the place of every number that JSON cannot hold."""
    if isinstance(value, dict):
        return {name: finite(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
