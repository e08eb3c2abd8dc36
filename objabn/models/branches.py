"""The attention branch: class scores and one map per head and frame, from the features in the middle of a network."""

from abc import ABC, abstractmethod
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn


class Attention(NamedTuple):
    """What a branch makes of the stem's features."""

    maps: Tensor
    """(B, N, T', y, x) in [0, 1], at least float32; T' are the frames of the features."""
    logits: Tensor | None
    """(B, K) class scores of the branch, where it has such a head."""
    features: Tensor | None
    """(B, D, T', y, x) right behind the residual blocks (Object-ABN section 4.2: the PC loss is taken there)."""
    frame_weights: Tensor | None = None
    """(B, T') in [0, 1], where the branch weighs frames."""


class Branch(nn.Module, ABC):
    """A module that draws maps; what gates by them stands beside it."""

    feature_channels: int
    """Channels of `Attention.features`; 0 where there are none."""
    class_layers: tuple[str, ...]
    """Names of the layers whose shapes depend on the number of classes."""

    @abstractmethod
    def forward(self, stem_features: Tensor) -> Attention:
        """Attend to features (B, C, T', y, x)."""


class AttentionBranch(Branch):
    """Residual blocks, a shared convolution to K channels, and from it class scores and N maps.

    `blocks` keep the resolution and give `channels`. Fukui et al. 2019 for one map, Object-ABN section 3.3 for several:
    convolution and batch norm act on each map alone, so N heads are N independent ones.
    """

    class_layers = ("shared_conv", "shared_norm", "map_conv", "class_conv")
    """Names of the layers whose shapes depend on the number of classes."""

    def __init__(
        self,
        blocks: nn.Module,
        channels: int,
        *,
        classes: int,
        heads: int = 1,
        class_head: Literal["conv", "gap"] = "conv",
        map_kernel: Literal[1, 3] = 1,
        map_gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.feature_channels = channels
        self.blocks = blocks
        self.norm = nn.BatchNorm3d(channels)
        self.shared_conv = nn.Conv3d(channels, classes, kernel_size=1, bias=False)
        self.shared_norm = nn.BatchNorm3d(classes)
        self.map_conv = nn.Conv3d(classes, heads, (1, map_kernel, map_kernel), padding=(0, map_kernel // 2, map_kernel // 2), bias=False)
        self.map_norm = nn.BatchNorm3d(heads)
        nn.init.constant_(self.map_norm.weight, map_gain)
        self.class_conv = nn.Conv3d(classes, classes, kernel_size=1, bias=False) if class_head == "conv" else nn.Identity()
        for layer in (self.shared_conv, self.map_conv, self.class_conv):
            if isinstance(layer, nn.Conv3d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, stem_features: Tensor) -> Attention:
        """Turn the stem's features (B, C, T, y, x) into maps, class scores and the branch's own features."""
        features = self.blocks(stem_features)
        scores = torch.relu(self.shared_norm(self.shared_conv(self.norm(features))))
        # Half precision has few numbers near 1, where maps and their entropies live.
        with torch.autocast(scores.device.type, enabled=False):
            maps = torch.sigmoid(self.map_norm(self.map_conv(scores.to(self.map_conv.weight.dtype))))
        # The mean commutes with a convolution of kernel 1: pooled first, it costs one position instead of all.
        logits = self.class_conv(scores.mean((2, 3, 4), keepdim=True)).flatten(1)
        return Attention(maps, logits, features)
