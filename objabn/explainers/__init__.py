"""Why a network answered as it did: maps over the pixels of a clip, drawn and written as pictures and films."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from objabn.explainers.attention import attention
from objabn.explainers.layerwise import layerwise
from objabn.models.network import AttentionNetwork
from objabn.types import Output


class Explanation(NamedTuple):
    """Maps of a clip by name, and the answer that they explain."""

    maps: Tensor
    """(B, N, T, Y, X) in [0, 1], at the clip's resolution."""
    names: tuple[str, ...]
    """Of the N maps."""
    logits: Tensor
    """(B, K)."""


METHODS: dict[str, Callable[[AttentionNetwork, Tensor], tuple[Tensor, tuple[str, ...], Output]]] = {
    "attention": attention,
    "3dcam": layerwise,
}


def explain(net: AttentionNetwork, clip: Tensor, *, method: str = "attention") -> Explanation:
    """Explain the network's answer to a uint8 clip (B, 3, T, Y, X), which is taken to the network's device.

    `attention`: the network's own maps, bilinearly enlarged. `3dcam`: gradients and features of all stages for the
    predicted class; `objabn.explainers.layerwise.layerwise` has its options.
    """
    if method not in METHODS:
        raise ValueError(f"There is no method {method!r}; choose one of {', '.join(METHODS)}.")
    maps_BNTYX, names, output = METHODS[method](net, clip.to(next(net.parameters()).device))
    return Explanation(maps_BNTYX, names, output.logits)
