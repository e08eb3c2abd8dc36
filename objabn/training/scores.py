"""Scores of videos from scores of their views, and the pass over a subset that yields them."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from objabn.models.network import evaluating
from objabn.training.precision import Precision, as_float32
from objabn.types import Batch, Output

Probabilities = NDArray[np.float64]


class Accuracies(NamedTuple):
    """Accuracies in percent; `branch_top1` is None where the network has no such head."""

    videos: int
    top1: float
    top5: float
    branch_top1: float | None
    nll: float
    """Mean of -ln of the true class's probability."""
    clip_top1: float
    """Of single views."""


@dataclass(slots=True)
class VideoScore:
    """The views of one video so far."""

    label: int
    probabilities: Probabilities
    """(K,) sum over the views."""
    branch_probabilities: Probabilities | None
    views: int = 0
    correct_views: int = 0

    def rank(self) -> int:
        """Return how many classes stand before the true one; of equal ones the lower number stands first."""
        return rank_of(self.label, self.probabilities)

    def probability(self) -> float:
        """Return the probability of the true class: the mean of the softmax over the views."""
        return float(self.probabilities[self.label]) / self.views


class VideoScores:
    """Adds up batches of evaluation; padding is left out, and every video counts once."""

    def __init__(self) -> None:
        self.videos: dict[int, VideoScore] = {}

    def add(self, batch: Batch, output: Output) -> None:
        """Take the scores of the views that are present."""
        views_BK = softmax(output.logits)
        branch_BK = None if output.branch_logits is None else softmax(output.branch_logits)
        labels, videos = batch.label.tolist(), batch.video.tolist()
        for row in batch.present.nonzero()[:, 0].tolist():
            branch_K = None if branch_BK is None else branch_BK[row]
            self.add_view(videos[row], labels[row], views_BK[row], branch_K)

    def add_view(self, video: int, label: int, view_K: Probabilities, branch_K: Probabilities | None) -> None:
        """Take one view."""
        if video not in self.videos:
            self.videos[video] = VideoScore(label, np.zeros_like(view_K), None if branch_K is None else np.zeros_like(branch_K))
        score = self.videos[video]
        score.probabilities += view_K
        if branch_K is not None and score.branch_probabilities is not None:
            score.branch_probabilities += branch_K
        score.views += 1
        score.correct_views += rank_of(label, view_K) == 0

    def accuracies(self) -> Accuracies:
        """Return the accuracies over all videos; ValueError where there was none."""
        scores = list(self.videos.values())
        if not scores:
            raise ValueError("There was no video to evaluate; the loader gave no batch with present clips.")
        ranks = np.array([score.rank() for score in scores])
        branch = [rank_of(s.label, s.branch_probabilities) for s in scores if s.branch_probabilities is not None]
        return Accuracies(
            videos=len(scores),
            top1=percent(ranks == 0),
            top5=percent(ranks < min(5, len(scores[0].probabilities))),
            branch_top1=percent(np.array(branch) == 0) if branch else None,
            # Rounded once, whatever the order of videos.
            nll=math.fsum(-math.log(max(score.probability(), np.finfo(np.float64).tiny)) for score in scores) / len(scores),
            clip_top1=100 * sum(score.correct_views for score in scores) / sum(score.views for score in scores),
        )


def merged(parts: Iterable[VideoScores]) -> VideoScores:
    """Return the scores of several ranks as one; each video has all its views on one of them."""
    whole = VideoScores()
    for part in parts:
        whole.videos |= part.videos
    return whole


def run_network(
    net: nn.Module,
    batches: Iterable[Batch],
    add: Callable[[Batch, Output], None],
    *,
    precision: Precision,
    forward: Callable[[Tensor], Output] | None = None,
) -> None:
    """Hand every batch with the network's answer to `add`; `forward` is the network compiled, where it is."""
    answer = net if forward is None else forward
    with evaluating(net):
        for batch in batches:
            on_device = batch.to(precision.device)
            with torch.inference_mode(), precision.autocast():
                output = answer(on_device.clip)
            add(on_device, as_float32(output))


def softmax(logits_BK: Tensor) -> Probabilities:
    """Return probabilities in double precision on the CPU, so that sums do not depend on the order of batches."""
    return logits_BK.double().softmax(1).cpu().numpy()


def rank_of(label: int, probabilities_K: Probabilities) -> int:
    """Return how many classes stand before `label`; of equal ones the lower number stands first, and without numbers all stand before."""
    own = probabilities_K[label]
    if not np.isfinite(probabilities_K).all():
        return len(probabilities_K)
    return int((probabilities_K > own).sum() + (probabilities_K[:label] == own).sum())


def percent(is_right: NDArray[np.bool_]) -> float:
    """Return the share of True in percent."""
    return 100 * float(is_right.mean())
