"""What is explained: a network of any kind, seen as clips in and one score a class out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from objabn.models.network import AttentionNetwork

Volume = Callable[[Any, int], Tensor]
"""Turns what a module gave for so many clips into (B, C, T', y, x)."""
Classes = int | str | Sequence[int | str] | Tensor
"""One class for all clips or one for each: numbers, or names where the network has `class_names`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """A network with what explainers must know of it; `subject_of` makes one."""

    net: nn.Module
    baseline: Tensor
    """What a hidden pixel becomes, in the units of the clip, broadcastable to (B, C, T, Y, X): what the first layers see as zero."""
    layer: str | None = None
    """Name of the module whose features are looked at; None is the last one with places (`objabn.explainers.layers`)."""
    volume: Volume | None = None
    """How that module's output becomes (B, C, T', y, x); None is found out."""

    def scores(self, clip_BCTYX: Tensor) -> Tensor:
        """Return one score a class, (B, K): logits, or logarithms where the network ends in a softmax."""
        return scores_of(self.net(clip_BCTYX), clips=len(clip_BCTYX))

    def fade(self, clip_BCTYX: Tensor, visible_BTYX: Tensor) -> Tensor:
        """Return the clip with each pixel between the baseline (0 in `visible`) and itself (1), as floats."""
        return self.baseline + (clip_BCTYX - self.baseline) * visible_BTYX[:, None]


class EachFrame(nn.Module):
    """A network for pictures as one for clips: it answers (B, C, T, Y, X) by the mean of its logits over the frames."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, clip_BCTYX: Tensor) -> Tensor:
        """Return (B, K)."""
        clips, _, frames = clip_BCTYX.shape[:3]
        scores = scores_of(self.net(clip_BCTYX.movedim(2, 1).flatten(0, 1)), clips=clips * frames)
        return scores.unflatten(0, (clips, frames)).mean(1)


def subject_of(net: nn.Module, *, layer: str | None = None, volume: Volume | None = None) -> Subject:
    """Return the network as explainers see it; of a plain module, clips are floats that it normalised already, so that black is not 0."""
    if isinstance(net, AttentionNetwork):
        return Subject(net=net, baseline=net.pixel_mean, layer=layer, volume=volume)
    place = next((tensor.device for tensor in (*net.parameters(), *net.buffers())), torch.device("cpu"))
    return Subject(net=net, baseline=torch.zeros((), device=place), layer=layer, volume=volume)


def scores_of(answer: Any, *, clips: int) -> Tensor:
    """Return the scores (B, K) in what a network returned: a tensor, `logits` by name, or the first of several."""
    found = answer
    if isinstance(answer, Mapping):
        found = answer.get("logits", next(iter(answer.values()), None))
    elif hasattr(answer, "logits"):
        found = answer.logits
    elif isinstance(answer, tuple | list):
        found = answer[0]
    if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != clips:
        given = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise ValueError(
            f"A network that answers {clips} clips with {given} cannot be explained; it must give scores (B, K), "
            "and one for pictures goes into objabn.explainers.EachFrame."
        )
    # Behind a softmax the gradients of a sure answer vanish; its logarithm is the logit up to what is the same for all classes.
    return found.clamp_min(torch.finfo(found.dtype).tiny).log() if is_softmax(found) else found


def is_softmax(scores_BK: Tensor) -> bool:
    """Tell whether scores are probabilities: several a clip, none negative, with a sum of 1."""
    values = scores_BK.detach().float()
    return values.shape[1] > 1 and bool((values >= 0).all()) and bool((values.sum(1) - 1).abs().max() < 1e-4)


def class_numbers(net: nn.Module, classes: Classes | None, *, clips: int) -> Tensor | None:
    """Return the numbers of the classes to be explained, (B,), or None for those predicted; ValueError for an unknown name."""
    if classes is None or isinstance(classes, Tensor):
        return classes
    given = [classes] if isinstance(classes, int | str) else list(classes)
    names: Sequence[str] = getattr(net, "class_names", None) or ()
    numbers = [each if isinstance(each, int) else number_of(each, names) for each in given]
    return torch.tensor(numbers * clips if len(numbers) == 1 else numbers)


def number_of(name: str, names: Sequence[str]) -> int:
    """Return the number of a class."""
    if name not in names:
        shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
        raise ValueError(
            f"There is no class {name!r}; choose one of {shown}." if names else f"Classes have no names here; {name!r} is none."
        )
    return names.index(name)


def chosen_classes(logits_BK: Tensor, classes_B: Tensor | None) -> Tensor:
    """Return the classes to be explained, (B,): those given, else the predicted ones."""
    if classes_B is None:
        return logits_BK.argmax(1)
    clips, count = logits_BK.shape
    if classes_B.shape != (clips,) or not ((classes_B >= 0) & (classes_B < count)).all():
        raise ValueError(
            f"classes_B={classes_B.tolist()} is not possible; it must be a class from 0 to {count - 1} for each of {clips} clips."
        )
    return classes_B.to(logits_BK.device)
