"""The max pool of residual networks, repeatable on a GPU too."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class HalvingMaxPool(nn.Module):
    """Maximum over 3 x 3 cells at every second row and column, and with `halves_frames` over 3 frames at every second frame.

    On a GPU the gradient of MaxPool3d counts as not repeatable, and torch refuses it where only such are allowed; there the same
    maxima are taken of slices. Their gradient is shared where cells are equal, while MaxPool3d gives it to one of them.
    """

    def __init__(self, *, halves_frames: bool) -> None:
        super().__init__()
        self.halves_frames = halves_frames

    def forward(self, features: Tensor) -> Tensor:
        """Turn (B, C, T, y, x) into (B, C, T', y', x'), halves rounded up."""
        if torch.are_deterministic_algorithms_enabled():
            for axis in (2, 3, 4) if self.halves_frames else (3, 4):
                features = halved(features, axis)
            return features
        if self.halves_frames:
            return functional.max_pool3d(features, 3, 2, 1)
        return functional.max_pool3d(features, (1, 3, 3), (1, 2, 2), (0, 1, 1))


def halved(features: Tensor, axis: int) -> Tensor:
    """Return the maximum of each second entry along an axis, from the first on, and its neighbours."""
    length = features.shape[axis]
    padded = functional.pad(features.movedim(axis, -1), (1, 1), value=-torch.inf)
    before, at, behind = (padded[..., start : start + length : 2] for start in range(3))
    return torch.maximum(torch.maximum(before, at), behind).movedim(-1, axis)
