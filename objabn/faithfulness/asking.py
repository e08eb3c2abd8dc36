"""How a network is asked about clips that were changed: few at a time, always about the same class."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from objabn.explainers.explanation import enlarge
from objabn.explainers.subject import Classes, Subject, chosen_classes, class_numbers, subject_of


def as_subject(net: nn.Module | Subject) -> Subject:
    """Return the network as explainers see it."""
    return net if isinstance(net, Subject) else subject_of(net)


def clips_of(subject: Subject, clip: Tensor) -> Tensor:
    """Return clips as floats on the subject's device; ValueError where they are none."""
    if clip.ndim != 5:
        raise ValueError(f"Clips of shape {tuple(clip.shape)} cannot be shown; they must be (B, C, T, Y, X), pictures with T = 1.")
    clip_BCTYX = clip.to(subject.baseline.device)
    return clip_BCTYX if clip_BCTYX.is_floating_point() else clip_BCTYX.to(subject.baseline.dtype)


def fitted(maps: Tensor, clip_BCTYX: Tensor) -> Tensor:
    """Return maps (B, t, y, x) as float32 at the resolution of the clips, (B, T, Y, X); a map flat before is zeros."""
    clips, size_TYX = len(clip_BCTYX), tuple(clip_BCTYX.shape[2:])
    if maps.ndim != 4 or len(maps) != clips:
        raise ValueError(f"Maps of shape {tuple(maps.shape)} do not fit {clips} clips; they must be (B, T, y, x), one for each clip.")
    maps_BTYX = maps.detach().to(clip_BCTYX.device, torch.float32)
    if tuple(maps_BTYX.shape[1:]) != size_TYX:
        maps_BTYX = enlarge(maps_BTYX[:, None], size_TYX=size_TYX)[:, 0]
    # Enlarging gives equal values that differ by their rounding, and these would have an order.
    return maps_BTYX.masked_fill(flat_maps(maps).to(clip_BCTYX.device)[:, None, None, None], 0)


def flat_maps(maps: Tensor) -> Tensor:
    """Say of each clip of (B, ...) whether its map is the same everywhere."""
    cells = maps.flatten(1)
    return cells.amin(1) == cells.amax(1)


class Asked(NamedTuple):
    """What is asked about, and what the network says of the whole clips."""

    classes: Tensor
    """(B,)."""
    probabilities: Tensor
    """(B,) of these classes."""


def ask_whole(subject: Subject, clip_BCTYX: Tensor, classes: Classes | None, *, batch_clips: int) -> Asked:
    """Return the classes that are asked about, those given or else the predicted ones, and their softmax probabilities."""
    scores_BK = torch.cat([subject.scores(part) for part in clip_BCTYX.split(batch_clips)])
    classes_B = chosen_classes(scores_BK, class_numbers(subject.net, classes, clips=len(clip_BCTYX)))
    return Asked(classes_B, probabilities_of(scores_BK, classes_B))


def probabilities(subject: Subject, classes_M: Tensor, clips: Callable[[Tensor], Tensor], *, batch_clips: int) -> Tensor:
    """Return the softmax probability of each class in the clip that `clips` makes of its number, (M,), so many clips at a time."""
    numbers = torch.arange(len(classes_M), device=classes_M.device)
    return torch.cat([probabilities_of(subject.scores(clips(part)), classes_M[part]) for part in numbers.split(batch_clips)])


def probabilities_of(scores_BK: Tensor, classes_B: Tensor) -> Tensor:
    """Return the softmax probability of a class of each clip, (B,)."""
    return scores_BK.float().softmax(1).gather(1, classes_B[:, None])[:, 0]
