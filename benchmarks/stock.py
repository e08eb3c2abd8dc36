"""Object-ABN as one would build it from pytorchvideo: its X3D, and around it attention and losses as they are printed."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from objabn.models.network import AttentionNetwork
from objabn.models.pytorchvideo_builders import create_x3d, create_x3d_res_block
from objabn.models.sizes import X3D_SIZES
from objabn.models.x3d import SQUEEZE_RATIO, stage_widths
from objabn.types import Batch

BRANCH_BLOCKS = 3


class StockNetwork(nn.Module):
    """The peer of a network of ours: the same layers under the same names, of pytorchvideo's modules in their own layout.

    Its head averages by a fixed window, its activations are pytorchvideo's Swish, maps gate by a concatenation and a convolution,
    and the branch convolves every position before it averages. `load_state_dict` takes the state of `AttentionNetwork`.
    """

    def __init__(self, *, size: str, classes: int, heads: int, frames: int, side: int, dropout: float) -> None:
        super().__init__()
        setting = X3D_SIZES[size]
        self.backbone: Any = create_x3d(
            input_clip_length=frames,
            input_crop_size=side,
            model_num_class=classes,
            dropout_rate=dropout,
            width_factor=setting.width_factor,
            depth_factor=setting.depth_factor,
            se_ratio=SQUEEZE_RATIO,
            head_dim_out=setting.head_channels,
            head_activation=None,
        )
        self.cut = 4
        self.branch = StockBranch(self.backbone.blocks[self.cut - 1 : self.cut + 1], classes=classes, heads=heads)
        self.gate = StockGate(stage_widths(self.backbone.blocks[self.cut - 1])[2], heads)

    def forward(self, clip: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return answer, the branch's answer, maps and the branch's features."""
        features = (clip.float() / 255 - 0.45) / 0.225
        for block in self.backbone.blocks[: self.cut]:
            features = block(features)
        branch_logits, maps, behind_blocks = self.branch(features)
        answer = self.gate(features, maps)
        for block in self.backbone.blocks[self.cut :]:
            answer = block(answer)
        return answer, branch_logits, maps, behind_blocks


class StockBranch(nn.Module):
    """Three residual blocks of pytorchvideo, and the heads as Fukui et al. 2019 print them."""

    def __init__(self, stages: Any, *, classes: int, heads: int) -> None:
        super().__init__()
        before = stage_widths(stages[0])[2]
        _, inner, channels = stage_widths(stages[1])
        widths = [before] + [channels] * (BRANCH_BLOCKS - 1)
        self.blocks = nn.Sequential(
            *(
                create_x3d_res_block(
                    dim_in=width,
                    dim_inner=inner,
                    dim_out=channels,
                    conv_stride=(1, 1, 1),
                    se_ratio=SQUEEZE_RATIO if place % 2 == 0 else 0.0,
                )
                for place, width in enumerate(widths)
            )
        )
        self.norm = nn.BatchNorm3d(channels)
        self.shared_conv = nn.Conv3d(channels, classes, 1, bias=False)
        self.shared_norm = nn.BatchNorm3d(classes)
        self.map_conv = nn.Conv3d(classes, heads, 1, bias=False)
        self.map_norm = nn.BatchNorm3d(heads)
        self.class_conv = nn.Conv3d(classes, classes, 1, bias=False)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the branch's answer, maps and features."""
        behind_blocks = self.blocks(features)
        scores = torch.relu(self.shared_norm(self.shared_conv(self.norm(behind_blocks))))
        maps = torch.sigmoid(self.map_norm(self.map_conv(scores)))
        return self.class_conv(scores).mean((2, 3, 4)), maps, behind_blocks


class StockGate(nn.Module):
    """Gate by one map, or concatenate the copies gated by several and convolve."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        if heads > 1:
            self.merge = nn.Conv3d(heads * channels, channels, 1, bias=False)

    def forward(self, features: Tensor, maps: Tensor) -> Tensor:
        """Gate features (B, C, T, y, x) by maps (B, N, T, y, x)."""
        copies = [features * gate for gate in maps.split(1, 1)]
        merged: Tensor = self.merge(torch.cat(copies, 1)) if len(copies) > 1 else copies[0]
        return merged


class StockObjective(nn.Module):
    """Object-ABN eq. 9 and 10 with the weights of the paper: cross entropies, 10 mask loss, 1e-4 PC loss."""

    def __init__(self, *, classes: int, channels: int) -> None:
        super().__init__()
        self.prototypes = nn.Parameter(torch.randn(classes, channels))

    def forward(self, output: tuple[Tensor, Tensor, Tensor, Tensor], batch: Batch) -> Tensor:
        """Return what is minimised."""
        answer, branch_answer, maps, features = (value.float() for value in output)
        label = batch.label
        total = functional.cross_entropy(answer, label) + functional.cross_entropy(branch_answer, label)
        return total + 10 * self.mask_loss(maps, batch) + 1e-4 * self.prototype_loss(features.mean((2, 3, 4)), label)

    def mask_loss(self, maps: Tensor, batch: Batch) -> Tensor:
        """MSE(M_o, M'_gt), with several maps plus MSE(M_b, 1 - M'_gt), over the frames with objects."""
        target, kept = (batch.mask >= 0.5).float(), batch.mask_valid[:, :, None, None].float()
        errors = (maps[:, 1] - target) ** 2 + (maps[:, 2] - (1 - target)) ** 2 if maps.shape[1] > 1 else (maps[:, 0] - target) ** 2
        return (errors * kept).sum() / (kept.expand_as(errors).sum()).clamp(min=1)

    def prototype_loss(self, vector: Tensor, label: Tensor) -> Tensor:
        """The PC loss with pull 1 and push 0.001."""
        own, classes = self.prototypes[label], len(self.prototypes)
        is_other = (torch.arange(classes, device=label.device) != label[:, None]).float()
        away = torch.cdist(vector, self.prototypes) + torch.cdist(own, self.prototypes)
        return ((vector - own).norm(dim=1) - 1e-3 / (classes - 1) * (away * is_other).sum(1)).mean()


def stock_like(net: AttentionNetwork) -> StockNetwork:
    """Build the peer of an Object-ABN on X3D with its weights, on its device."""
    config = net.config
    peer = StockNetwork(
        size=config.backbone,
        classes=net.classes,
        heads=config.heads,
        frames=net.clip_frames,
        side=net.clip_size,
        dropout=config.dropout,
    )
    peer.load_state_dict({name: value.contiguous() for name, value in net.state_dict().items()})
    return peer.to(net.pixel_mean.device)
