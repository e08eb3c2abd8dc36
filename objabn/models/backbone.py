"""What a network must offer to carry an attention branch: a stem, a tail, and blocks like its own for the branch."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
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
    side_channels: tuple[int, ...] = ()
    """Channels of the further features of the stem that have frames, rows and columns, such as those of a second pathway."""

    @property
    def channels(self) -> int:
        """Channels of the attended features."""
        return self.stage_channels[self.cut - 1]

    @property
    def explained_name(self) -> str:
        """Name of the last module with places on which the answer depends: post-hoc explainers look at its output."""
        return self.stage_names[-1]

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

    def adapt_weights(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the weights of a file with this network's shapes, where it can take others (default: as they are)."""
        return state

    def volume(self, output: Any, clips: int) -> Tensor:
        """Return what a module of `stage_names` gave for so many clips as (B, C, T', y, x)."""
        del clips
        return output


def check_cut(cut: int) -> None:
    """Raise ValueError for a cut that is behind none of four stages."""
    if not 2 <= cut <= 5:
        raise ValueError(f"cut={cut} is not possible; it must be 2, 3, 4 or 5: after the first, second, third or last stage.")


def check_grid(found: Sequence[int], picture: Sequence[int], cut: int) -> None:
    """Raise ValueError where rows and columns of features are not those of the picture halved `cut` times, rounded up."""
    expected = [-(-side // 2**cut) for side in picture]
    if list(found) != expected:
        pixels, grid, wanted = (" x ".join(map(str, sides)) for sides in (picture, found, expected))
        raise ValueError(
            f"Pictures of {pixels} pixels give features of {grid} here, where cut={cut} means {wanted}; "
            f"choose a multiple of {2**cut} pixels, or another backbone."
        )
