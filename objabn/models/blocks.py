"""What pytorchvideo's networks have in common: a list of blocks, cut at any of them into stem and tail."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from objabn.models.backbone import Backbone, Features, check_cut

STAGES = 5
"""The first convolutions, counted as a stage, and the four residual stages; what is behind them is the head."""


class FullAveragePool(nn.Module):
    """Average over all frames and positions, of any clip; bit-equal to AvgPool3d with a kernel of the full size.

    AdaptiveAvgPool3d(1) sums in another order and differs from it in the last bit.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Average (B, C, T, y, x) to (B, C, 1, 1, 1)."""
        if torch.are_deterministic_algorithms_enabled():
            # On a GPU the gradient of the pool counts as not repeatable, and torch refuses it.
            return features.mean((-3, -2, -1), keepdim=True)
        return functional.avg_pool3d(features, features.shape[-3:])


class BlockBackbone(Backbone):
    """A network whose first `cut` blocks are the stem; parameters are named as in pytorchvideo's checkpoints."""

    mean = (0.45, 0.45, 0.45)
    std = (0.225, 0.225, 0.225)
    stage_names = tuple(f"blocks.{place}" for place in range(STAGES))

    def __init__(self, blocks: nn.ModuleList, *, cut: int) -> None:
        super().__init__()
        check_cut(cut)
        self.blocks = blocks
        self.cut = cut
        self.stem_names = tuple(f"blocks.{place}" for place in range(cut))
        self.classifier = f"blocks.{len(blocks) - 1}.proj"

    def stem(self, clip: Tensor) -> Features:
        """Turn a normalised clip (B, 3, T, Y, X) into features (B, C, T', y, x)."""
        features = clip
        for block in self.blocks[: self.cut]:
            features = block(features)
        return (features,)

    def tail(self, features: Features) -> Tensor:
        """Turn features (B, C, T', y, x) into logits (B, K)."""
        (answer,) = features
        for block in self.blocks[self.cut :]:
            answer = block(answer)
        return answer

    def stages(self, features: Features) -> tuple[Tensor, ...]:
        """Return the stem's features and those behind each stage of the tail."""
        found = [features[0]]
        for block in self.blocks[self.cut : STAGES]:
            found.append(block(found[-1]))
        return tuple(found)

    def remove_head(self) -> None:
        """Take away the pool and the classifier."""
        self.blocks = self.blocks[:STAGES]
        self.classifier = ""


def check_clip_size(clip_size: int, name: str) -> None:
    """Raise ValueError for pictures of which nothing would be left."""
    if clip_size < 32:
        raise ValueError(f"clip_size={clip_size} is not possible; {name} halves the picture five times and needs at least 32 pixels.")
