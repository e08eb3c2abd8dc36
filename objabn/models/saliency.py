"""Meng et al. 2019: a saliency mask on the features of every frame, and the network around it."""

import torch
from torch import Tensor, nn

from objabn.config import ModelConfig
from objabn.models.backbone import Backbone
from objabn.models.branch_network import BranchNetwork
from objabn.models.branches import Attention, Branch
from objabn.models.conv_lstm import KERNEL, PADDING, InputAttentionTail, StateAttentionTail, narrowing_convolutions
from objabn.models.gating import SingleGate
from objabn.types import Output


class SaliencyBranch(Branch):
    """One map by three 3x3 convolutions, C -> C/2 -> C/4 -> 1 (2048 -> 1024 -> 512 -> 1 in the authors' code), each frame alone."""

    feature_channels = 0
    class_layers = ()

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.blocks = narrowing_convolutions(channels, channels // 4)
        self.map_conv = nn.Conv3d(channels // 4, 1, KERNEL, padding=PADDING, bias=False)

    def forward(self, stem_features: Tensor) -> Attention:
        """Turn features (B, C, T', y, x) into a map (B, 1, T', y, x)."""
        features = self.blocks(stem_features)
        # Half precision has few numbers near 1, where maps and their entropies live.
        with torch.autocast(features.device.type, enabled=False):
            maps = torch.sigmoid(self.map_conv(features.to(self.map_conv.weight.dtype)))
        return Attention(maps, None, None)


class SaliencyNetwork(BranchNetwork):
    """Saliency mask, product, ConvLSTM with temporal attention (Meng et al. 2019), behind the last stage of a backbone without its head.

    In training whole channels of a clip are dropped, the same in all its frames, before the mask is drawn; what it gates lacks
    them too. `model.temporal` chooses the tail.
    """

    def __init__(self, backbone: Backbone, config: ModelConfig, *, classes: int, clip_frames: int, clip_size: int) -> None:
        backbone.remove_head()
        tails = {"paper": InputAttentionTail, "fast": StateAttentionTail}
        super().__init__(
            backbone,
            SaliencyBranch(backbone.channels),
            SingleGate("product"),
            tail=tails[config.temporal](backbone.channels, hidden_channels=config.hidden_channels, classes=classes),
            config=config,
            map_names=("M",),
            classes=classes,
            clip_frames=clip_frames,
            clip_size=clip_size,
        )
        self.dropout = nn.Dropout3d(config.dropout)

    def answer(self, features: tuple[Tensor, ...], *, frames: int) -> Output:
        """Answer what the stem made of a clip of so many frames."""
        return super().answer((self.dropout(features[0]), *features[1:]), frames=frames)
