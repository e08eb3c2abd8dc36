"""ST-ABN (Mitsuhara et al. 2021): a map that says where, and a weight for each frame that says when.

Layer by layer it follows the authors' code (ST-ABN_PyTorch).
"""

from typing import Literal

import torch
from torch import Tensor, nn

from objabn.models.branches import Attention, Branch
from objabn.models.gating import MergingGate


class TemporalWeights(nn.Module):
    """One weight in [0, 1] for each of a fixed number of frames, each seen in the light of all the others."""

    def __init__(self, classes: int, frames: int) -> None:
        super().__init__()
        self.frames = frames
        self.conv = nn.Conv3d(classes, 1, kernel_size=3, padding=1, bias=False)
        self.norm = nn.BatchNorm3d(1)
        # Frames are the channels from here on.
        self.mix = nn.Conv2d(frames, frames, kernel_size=1, bias=False)
        self.hidden = nn.Linear(frames, frames)
        self.weigh = nn.Linear(frames, frames)

    def forward(self, scores: Tensor) -> Tensor:
        """Turn class-wise features (B, K, T', y, x) into weights (B, T'); ValueError for another T' than it was built for."""
        if scores.shape[2] != self.frames:
            raise ValueError(
                f"These clips have {scores.shape[2]} frames behind the stem and this st_abn was built for {self.frames}, "
                "the only number that its layers over time fit; give clips of the length it was built for."
            )
        importance = torch.relu(self.norm(self.conv(scores))).squeeze(1)
        pooled = torch.relu(self.mix(importance)).mean((2, 3))
        weights: Tensor = torch.sigmoid(self.weigh(torch.relu(self.hidden(pooled))))
        return weights


class SpatioTemporalBranch(Branch):
    """Residual blocks and a shared convolution to K channels as in ABN, and from it a map, frame weights and class scores.

    `blocks` keep the resolution and give `channels`. The class scores are told frame by frame before one layer weighs them
    up, so `frames`, those behind the stem, are part of the network.
    """

    class_layers = ("shared_conv", "shared_norm", "map_conv", "temporal.conv", "class_conv", "class_linear")
    """Names of the layers whose shapes depend on the number of classes."""

    def __init__(self, blocks: nn.Module, channels: int, *, classes: int, frames: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.feature_channels = channels
        self.blocks = blocks
        self.norm = nn.BatchNorm3d(channels)
        self.shared_conv = nn.Conv3d(channels, classes, kernel_size=1, bias=False)
        self.shared_norm = nn.BatchNorm3d(classes)
        self.map_conv = nn.Conv3d(classes, 1, kernel_size=1, bias=False)
        self.map_norm = nn.BatchNorm3d(1)
        self.temporal = TemporalWeights(classes, frames)
        self.class_conv = nn.Conv3d(classes, classes, kernel_size=1, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.class_linear = nn.Linear(classes * frames, classes)
        for layer in (self.shared_conv, self.map_conv, self.temporal.conv, self.temporal.mix, self.class_conv):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, stem_features: Tensor) -> Attention:
        """Turn the stem's features (B, C, T', y, x) into a map, frame weights, class scores and the branch's own features."""
        features = self.blocks(stem_features)
        scores = torch.relu(self.shared_norm(self.shared_conv(self.norm(features))))
        # Half precision has few numbers near 1, where maps and weights live.
        with torch.autocast(scores.device.type, enabled=False):
            exact = scores.to(self.map_conv.weight.dtype)
            maps = torch.sigmoid(self.map_norm(self.map_conv(exact)))
            weights = self.temporal(exact)
        # The mean over each frame commutes with a convolution of kernel 1: pooled first, it costs one position instead of all.
        each_frame = self.class_conv(scores.mean((3, 4), keepdim=True))
        logits = self.class_linear(self.dropout(each_frame).flatten(1))
        return Attention(maps, logits, features, weights)


class SpatioTemporalGate(MergingGate):
    """Gate by the map with a residual and by the frame weights without, and merge: act(norm(conv(concat(h + h * M, h * w)))).

    Both are products, with 1 + M and with w, so the concatenation is never made. The authors' first code has a ReLU
    behind the merge, their second none.
    """

    def __init__(
        self, channels: int, *, merge_init: Literal["mean", "random"] = "mean", activation: Literal["relu", "none"] = "relu"
    ) -> None:
        super().__init__(channels, 2, merge_init=merge_init)
        self.norm = nn.BatchNorm3d(channels)
        self.activation = nn.ReLU() if activation == "relu" else nn.Identity()

    def forward(self, features: Tensor, maps: Tensor, frame_weights: Tensor | None = None) -> Tensor:
        """Gate and merge (B, C, T', y, x) by a map (B, 1, T', y, x) and frame weights (B, T')."""
        assert frame_weights is not None
        gates = torch.cat([1 + maps, frame_weights[:, None, :, None, None].expand_as(maps)], 1)
        merged: Tensor = self.activation(self.norm(super().forward(features, gates)))
        return merged
