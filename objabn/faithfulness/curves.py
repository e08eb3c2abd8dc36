"""Insertion and deletion: how the answer grows with what a map shows first, and falls without it (Petsiuk et al. 2018)."""

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from objabn.explainers.subject import Classes, Subject
from objabn.faithfulness.asking import as_subject, ask_whole, clips_of, fitted, flat_maps, probabilities
from objabn.faithfulness.hiding import Hidden, hidden_clip
from objabn.metrics.ordering import places_from_top
from objabn.models.network import evaluating

Unit = Literal["voxel", "frame"]


class Curve(NamedTuple):
    """What a network says of one class of each clip, the more is shown or hidden."""

    auc: Tensor
    """(B,) area under the curve by trapezoids, over a width of 1: of insertion more is better, of deletion less."""
    scores: Tensor
    """(B, steps + 1) softmax probability of the class: from nothing to the whole clip, or the reverse."""
    is_flat: Tensor
    """(B,) the map gives no order, and the curve is only that of the order in which equal ones are taken."""
    classes: Tensor
    """(B,) that the scores are of."""


def insertion(
    net: nn.Module | Subject,
    clip: Tensor,
    maps: Tensor,
    *,
    classes: Classes | None = None,
    steps: int = 16,
    unit: Unit = "voxel",
    hidden: Hidden = "fade",
    batch_clips: int = 8,
) -> Curve:
    """Return how the answer grows while clips (B, C, T, Y, X) appear from the highest to the lowest of their maps (B, t, y, x).

    Maps of a coarser grid are enlarged linearly first. The voxels of a clip, or its frames by the mean of their maps, appear in
    `steps` equal parts (of fewer frames than steps, one by one); of equal ones the first in reading order, frame by frame and row
    by row. What is `hidden` is the network's baseline ("fade": what its first layers see as zero) or each frame blurred with a sigma
    of 20 pixels. The class is the one predicted for the whole clip unless given, as in `objabn.explain`. `batch_clips` go
    through the network at once and change nothing else. ValueError for what does not fit together.
    """
    return curve(net, clip, maps, classes=classes, steps=steps, unit=unit, hidden=hidden, batch_clips=batch_clips, shows_first=True)


def deletion(
    net: nn.Module | Subject,
    clip: Tensor,
    maps: Tensor,
    *,
    classes: Classes | None = None,
    steps: int = 16,
    unit: Unit = "voxel",
    hidden: Hidden = "fade",
    batch_clips: int = 8,
) -> Curve:
    """Return how the answer falls while clips disappear from the highest to the lowest of their maps; otherwise as `insertion`."""
    return curve(net, clip, maps, classes=classes, steps=steps, unit=unit, hidden=hidden, batch_clips=batch_clips, shows_first=False)


def curve(
    net: nn.Module | Subject,
    clip: Tensor,
    maps: Tensor,
    *,
    classes: Classes | None,
    steps: int,
    unit: Unit,
    hidden: Hidden,
    batch_clips: int,
    shows_first: bool,
) -> Curve:
    """Return the curve from nothing to the clip, or from the clip to nothing."""
    subject = as_subject(net)
    with torch.inference_mode(), evaluating(subject.net):
        clip_BCTYX = clips_of(subject, clip)
        behind_BCTYX = hidden_clip(subject, clip_BCTYX, hidden)
        values_BTYX = ordered_by(maps, clip_BCTYX, unit)
        places_BTYX = places_from_top(values_BTYX.flatten(1)).view_as(values_BTYX)
        edges = part_edges(values_BTYX[0].numel(), steps).to(values_BTYX.device)
        classes_B = ask_whole(subject, clip_BCTYX, classes, batch_clips=batch_clips).classes

        def changed(numbers: Tensor) -> Tensor:
            rows = numbers // len(edges)
            is_taken_bTYX = places_BTYX[rows] < edges[numbers % len(edges)][:, None, None, None]
            return torch.where((is_taken_bTYX == shows_first)[:, None], clip_BCTYX[rows], behind_BCTYX[rows])

        asked = classes_B.repeat_interleave(len(edges))
        scores_BS = probabilities(subject, asked, changed, batch_clips=batch_clips).unflatten(0, (-1, len(edges)))
    return Curve(area(scores_BS), scores_BS, flat_maps(values_BTYX), classes_B)


def ordered_by(maps: Tensor, clip_BCTYX: Tensor, unit: Unit) -> Tensor:
    """Return what the units of a clip are ordered by: each voxel's map (B, T, Y, X), or each frame's mean (B, T, 1, 1)."""
    if unit not in get_args(Unit):
        raise ValueError(f"There is no unit {unit!r}; choose voxel or frame.")
    fitted_BTYX = fitted(maps, clip_BCTYX)
    return fitted_BTYX if unit == "voxel" else fitted_BTYX.mean((2, 3), keepdim=True)


def part_edges(count: int, steps: int) -> Tensor:
    """Return how many of `count` are taken after each of the equal parts, from 0 to all."""
    if steps < 1:
        raise ValueError(f"steps={steps} is not possible; it must be 1 or more.")
    steps = min(steps, count)
    return torch.arange(steps + 1) * count // steps


def area(scores_BS: Tensor) -> Tensor:
    """Return the area under each curve by trapezoids, over a width of 1."""
    return (scores_BS.sum(1) - (scores_BS[:, 0] + scores_BS[:, -1]) / 2) / (scores_BS.shape[1] - 1)
