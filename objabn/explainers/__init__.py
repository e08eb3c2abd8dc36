"""Why a network answered as it did: maps over the pixels of a clip, drawn and written as pictures and films."""

from typing import Any

from torch import Tensor, nn

from objabn.explainers.attention import attention
from objabn.explainers.explanation import Explanation, Method
from objabn.explainers.layerwise import layerwise_explanation
from objabn.explainers.subject import Classes, EachFrame, Subject, Volume, class_numbers, subject_of

__all__ = ["METHODS", "Classes", "EachFrame", "Explanation", "Method", "Subject", "Volume", "explain", "find_method", "subject_of"]

METHODS: dict[str, Method] = {
    "attention": attention,
    "3dcam": layerwise_explanation,
}


def explain(
    net: nn.Module,
    clip: Tensor,
    *,
    method: str | Method = "attention",
    classes: Classes | None = None,
    layer: str | None = None,
    volume: Volume | None = None,
    **options: Any,
) -> Explanation:
    """Explain a network's answer to clips (B, C, T, Y, X), which are taken to its device.

    A network of objabn reads uint8 RGB, or floats on the same scale; any other module what it was made for, as floats. `method`
    is a key of `METHODS` or a function like those; `options` are its own. `classes` are those to be explained, by number or name,
    one for all clips or one for each; otherwise each clip's predicted one. `layer` names the module whose features are looked at
    ("attended": behind the cut), and `volume` turns its output into (B, C, T', y, x); otherwise both are found.
    """
    subject = subject_of(net, layer=layer, volume=volume)
    clip_BCTYX = clip.to(subject.baseline.device)
    if clip_BCTYX.ndim != 5:
        raise ValueError(f"Clips of shape {tuple(clip.shape)} cannot be explained; they must be (B, C, T, Y, X), pictures with T = 1.")
    return find_method(method)(subject, clip_BCTYX, class_numbers(net, classes, clips=len(clip)), **options)


def find_method(method: str | Method) -> Method:
    """Return the method of this name, or the one given."""
    if not isinstance(method, str):
        return method
    if method not in METHODS:
        raise ValueError(f"There is no method {method!r}; choose one of {', '.join(METHODS)}.")
    return METHODS[method]
