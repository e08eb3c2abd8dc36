"""What may stand in for a backbone's own tail."""

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn


class Answer(NamedTuple):
    """What a tail makes of gated features."""

    logits: Tensor
    """(B, K)."""
    frame_weights: Tensor | None
    """(B, T') weights of the feature frames, where the tail attends to time."""


class Tail(nn.Module, ABC):
    """A head of a system's own."""

    classifier: str
    """Name of the layer within it that depends on the number of classes."""

    @abstractmethod
    def forward(self, features: Tensor) -> Answer:
        """Turn gated features (B, C, T', y, x) into an answer."""
