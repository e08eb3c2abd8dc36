"""What a network must offer to carry an attention branch: a stem, a tail, and blocks like its own for the branch."""

from typing import Literal, Protocol

from torch import Tensor, nn


class Backbone(Protocol):
    """A network cut in two: `tail(stem(clip))` is the uncut network, bit for bit (Object-ABN section 3.1)."""

    channels: int
    """Channels of the stem's features."""
    cut: int
    """Blocks of the stem; each halves the picture."""
    mean: float
    """Mean of the pixels, on a scale from 0 to 1, that the weights were trained with."""
    std: float
    """Standard deviation of the same pixels."""
    stem_names: tuple[str, ...]
    """Names of the modules that the stem is made of."""
    classifier: str
    """Name of the layer that depends on the number of classes."""

    def stem(self, clip: Tensor) -> Tensor:
        """Turn a normalised clip (B, 3, T, Y, X) into features (B, C, T, y, x)."""

    def tail(self, features: Tensor) -> Tensor:
        """Turn features (B, C, T, y, x) into logits (B, K)."""

    def branch_blocks(self, shape: Literal["next", "same"], *, pretrained: bool) -> tuple[nn.Module, int]:
        """Return three residual blocks at stride 1 for an attention branch, and the channels they give."""
