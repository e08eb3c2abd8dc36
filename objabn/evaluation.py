"""What a network is worth on a subset: accuracy of videos, and how sharp and how right its maps are."""

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from objabn.metrics.map_scores import MapScores, merged_maps
from objabn.models.network import AttentionNetwork
from objabn.training.distributed import done_by_main, gathered
from objabn.training.precision import Precision, resolve_amp, resolve_device
from objabn.training.scores import VideoScores, merged, run_network
from objabn.types import Batch, Output


class VideoResult(NamedTuple):
    """One video; maps are named, and what could not be measured is absent."""

    video: int
    """Row of the dataset's index."""
    label: int
    predicted: int
    probability: float
    """Of the true class."""
    entropy: dict[str, float]
    """In bits, mean over frames and views."""
    mask_iou: dict[str, float]
    pointing: dict[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """The numbers of `objabn evaluate`: accuracies in percent, entropies in bits, maps by name; None and empty is absent."""

    dataset: str | None = None
    subset: str | None = None
    checkpoint: str | None = None
    videos: int
    skipped: int | None = None
    """Videos that could not be read."""
    top1: float
    top5: float
    """Among the five highest, or among all classes if there are fewer."""
    branch_top1: float | None
    """Of the attention branch."""
    nll: float
    """Mean of -ln of the true class's probability."""
    clip_top1: float
    """Of single views."""
    entropy: dict[str, float]
    """Mean over frames, then views, then videos (Object-ABN eq. 11)."""
    flat_frames: dict[str, int]
    """Frames of all views whose map is the same everywhere."""
    mask_iou: dict[str, float]
    """Overlap with the objects, of M_b with what is none; over frames with a detection, then views, then videos."""
    pointing: dict[str, float]
    """Share of frames with a detection whose highest cell meets an object, mean over views, then videos."""
    grid: tuple[int, int]
    """Rows and columns of the maps; entropies compare within one grid only."""
    views: int
    """Views of each video: clips x crops."""
    config_hash: str | None = None
    versions: dict[str, str] | None = None
    results: tuple[VideoResult, ...] = field(default=(), repr=False)
    """One a video, in the order of the index."""

    def to_dict(self) -> dict[str, Any]:
        """Return what evaluation.json holds, without what is absent and without the single videos."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "results"}
        return {name: value for name, value in values.items() if value is not None and value != {}}


def evaluate(
    net: AttentionNetwork,
    batches: Iterable[Batch],
    *,
    device: str | None = None,
    amp: str = "off",
    on_batch: Callable[[Batch, Output], None] | None = None,
) -> Evaluation:
    """Evaluate the network on one pass over `batches`; scores of a video are the mean of the softmax over its views.

    `device` is where the network is unless given; `on_batch` sees each batch with the network's answer. Within
    `process_group()` all ranks call it, each with its own batches, and have the same numbers, which are those of one rank.
    """
    place = next(net.parameters()).device if device is None else resolve_device(device)
    scores, maps = VideoScores(), MapScores(net.map_names)

    def add(batch: Batch, output: Output) -> None:
        scores.add(batch, output)
        maps.add(batch, output)
        if on_batch is not None:
            on_batch(batch, output)

    run_network(net.to(place), batches, add, precision=Precision(place, resolve_amp(amp, place)))
    ranks = gathered((scores, maps))
    return done_by_main(lambda: summarize(merged(scores for scores, _ in ranks), merged_maps(maps for _, maps in ranks)))


def summarize(scores: VideoScores, maps: MapScores) -> Evaluation:
    """Return the numbers of a pass."""
    return Evaluation(
        **scores.accuracies()._asdict(),
        entropy=maps.mean("entropy"),
        flat_frames={name: int(count) for name, count in zip(maps.names, maps.flat, strict=True)},
        mask_iou=maps.mean("mask_iou"),
        pointing=maps.mean("pointing"),
        grid=maps.grid,
        views=max(score.views for score in scores.videos.values()),
        results=collect_results(scores, maps),
    )


def collect_results(scores: VideoScores, maps: MapScores) -> tuple[VideoResult, ...]:
    """Return one row a video."""
    return tuple(
        VideoResult(
            video=video,
            label=score.label,
            predicted=int(score.probabilities.argmax()),
            probability=score.probability(),
            entropy=maps.named(maps.of_video("entropy", video)),
            mask_iou=maps.named(maps.of_video("mask_iou", video)),
            pointing=maps.named(maps.of_video("pointing", video)),
        )
        for video, score in sorted(scores.videos.items())
    )
