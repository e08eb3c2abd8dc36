"""What a network must offer to carry an attention branch: a stem, a tail, and blocks like its own for the branch."""

from abc import ABC, abstractmethod
from typing import Any, Literal

from torch import Tensor, nn

Features = tuple[Tensor, ...]
"""Behind a stem: first the features (B, C, T', y, x) that are attended, then what else the tail needs of it, such as a second
pathway (5-D as well) or a class token. T' are the frames of the clip divided by the stem's `frame_stride`, rounded up."""


class Backbone(nn.Module, ABC):
    """A network cut in two: `tail(stem(clip))` is the uncut network, bit for bit (Object-ABN section 3.1)."""

    cut: int
    """Stages of the stem, its first convolutions counted; behind each the picture is half as large."""
    frame_stride: int
    """Frames of the clip for which one frame of the stem's features stands."""
    mean: tuple[float, float, float]
    """Mean of red, green and blue, on a scale from 0 to 1, that the weights were trained with."""
    std: tuple[float, float, float]
    """Standard deviation of the same pixels."""
    stage_names: tuple[str, ...]
    """Names of the modules whose outputs are the features behind each stage of the whole network, one a stage."""
    stage_channels: tuple[int, ...]
    """Channels of these features."""
    stem_names: tuple[str, ...]
    """Names of the modules that the stem is made of."""
    classifier: str
    """Name of the layer that depends on the number of classes; empty where there is none."""

    @property
    def channels(self) -> int:
        """Channels of the attended features."""
        return self.stage_channels[self.cut - 1]

    @abstractmethod
    def stem(self, clip: Tensor) -> Features:
        """Turn a normalised clip (B, 3, T, Y, X) into features."""

    @abstractmethod
    def tail(self, features: Features) -> Tensor:
        """Turn features into logits (B, K)."""

    @abstractmethod
    def stages(self, features: Features) -> tuple[Tensor, ...]:
        """Return the stem's features and those behind each stage of the tail, each (B, C, T', y, x)."""

    @abstractmethod
    def remove_head(self) -> None:
        """Take away what is behind the last stage, for systems that answer by a head of their own; `tail` is gone with it."""

    @abstractmethod
    def branch_blocks(self, shape: Literal["next", "same"], *, pretrained: bool) -> tuple[nn.Module, int]:
        """Return three residual blocks at stride 1 for an attention branch, and the channels they give."""

    def volume(self, output: Any, clips: int) -> Tensor:
        """Return what a module of `stage_names` gave for so many clips as (B, C, T', y, x)."""
        del clips
        return output
