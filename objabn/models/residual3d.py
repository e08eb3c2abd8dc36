"""3-D residual networks of bottlenecks, cut into stem and tail: what the inflated ResNet and the 3D ResNeXt have in common."""

from typing import Literal

import torch
from torch import Tensor, nn

from objabn.models.backbone import Backbone, Features, check_cut
from objabn.models.branch_blocks import begin_afresh, stage_copies
from objabn.models.max_pool import HalvingMaxPool
from objabn.models.sizes import ResidualSize


class Bottleneck(nn.Module):
    """1x1 convolution, grouped 3x3 one that carries the stride, 1x1 one, and a shortcut; parameters named as in 2-D ResNets.

    The first convolution spans `entry_frames`, the second `middle_frames`; time is padded, so without stride no frame is lost.
    """

    def __init__(
        self,
        in_channels: int,
        inner_channels: int,
        channels: int,
        *,
        stride_TYX: tuple[int, int, int] = (1, 1, 1),
        entry_frames: int = 1,
        middle_frames: int = 1,
        groups: int = 1,
    ) -> None:
        super().__init__()
        padding = (middle_frames // 2, 1, 1)
        self.conv1 = nn.Conv3d(in_channels, inner_channels, (entry_frames, 1, 1), padding=(entry_frames // 2, 0, 0), bias=False)
        self.bn1 = nn.BatchNorm3d(inner_channels)
        self.conv2 = nn.Conv3d(
            inner_channels, inner_channels, (middle_frames, 3, 3), stride=stride_TYX, padding=padding, groups=groups, bias=False
        )
        self.bn2 = nn.BatchNorm3d(inner_channels)
        self.conv3 = nn.Conv3d(inner_channels, channels, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm3d(channels)
        self.downsample: nn.Module = nn.Identity()
        if stride_TYX != (1, 1, 1) or in_channels != channels:
            shortcut = nn.Conv3d(in_channels, channels, kernel_size=1, stride=stride_TYX, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm3d(channels))

    def forward(self, features: Tensor) -> Tensor:
        """Turn (B, C, T, y, x) into (B, C out, T', y', x')."""
        inner = torch.relu(self.bn1(self.conv1(features)))
        inner = torch.relu(self.bn2(self.conv2(inner)))
        return torch.relu(self.bn3(self.conv3(inner)) + self.downsample(features))


class Residual3D(Backbone):
    """Convolution, pool and four stages of bottlenecks; its subclasses say what it does to time."""

    stage_names = ("relu", "layer1", "layer2", "layer3", "layer4")
    classifier = "fc"

    stem_frames: int
    """Frames that the first convolution spans."""
    entry_frames: tuple[int, int, int, int]
    """Frames that the first convolution of each block spans, by stage."""
    middle_frames: int
    """Frames that the second one spans."""
    halves_frames: bool
    """The pool and the last three stages halve the frames as they halve the picture."""

    def __init__(self, size: ResidualSize, *, classes: int, cut: int = 4, dropout: float = 0.5) -> None:
        super().__init__()
        check_cut(cut)
        self.size = size
        self.cut = cut
        self.mean, self.std = size.mean, size.std
        self.frame_stride = 2 ** (cut - 1) if self.halves_frames else 1
        self.stem_names = ("conv1", "bn1", "relu", "maxpool", *self.stage_names[1:cut])
        self.stage_channels = (size.stem_channels, *(size.inner_channels * size.expansion * 2**stage for stage in range(4)))
        padding = (self.stem_frames // 2, 3, 3)
        self.conv1 = nn.Conv3d(3, size.stem_channels, (self.stem_frames, 7, 7), stride=(1, 2, 2), padding=padding, bias=False)
        self.bn1 = nn.BatchNorm3d(size.stem_channels)
        self.relu = nn.ReLU()
        self.maxpool = HalvingMaxPool(halves_frames=self.halves_frames)
        for stage, depth in enumerate(size.blocks):
            self.add_module(f"layer{stage + 1}", nn.Sequential(*(self.block(stage, place) for place in range(depth))))
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(self.stage_channels[-1], classes)
        begin_afresh(self)

    def block(self, stage: int, place: int) -> Bottleneck:
        """Build the block at a place of a stage, both counted from 0."""
        # The pool before the first stage has halved the picture already.
        stride = 2 if place == 0 and stage > 0 else 1
        in_channels = self.stage_channels[stage + (place > 0)]
        return self.bottleneck(stage, in_channels, (stride if self.halves_frames else 1, stride, stride))

    def bottleneck(self, stage: int, in_channels: int, stride_TYX: tuple[int, int, int]) -> Bottleneck:
        """Build a block as they are in a stage, counted from 0."""
        return Bottleneck(
            in_channels,
            self.size.inner_channels * 2**stage,
            self.stage_channels[stage + 1],
            stride_TYX=stride_TYX,
            entry_frames=self.entry_frames[stage],
            middle_frames=self.middle_frames,
            groups=self.size.groups,
        )

    def stage(self, number: int) -> nn.Sequential:
        """Return one of the stages 1 to 4."""
        layer = self.get_submodule(f"layer{number}")
        assert isinstance(layer, nn.Sequential)
        return layer

    def stem(self, clip: Tensor) -> Features:
        """Turn a normalised clip (B, 3, T, Y, X) into features (B, C, T', y, x)."""
        features: Tensor = self.maxpool(self.relu(self.bn1(self.conv1(clip))))
        for number in range(1, self.cut):
            features = self.stage(number)(features)
        return (features,)

    def tail(self, features: Features) -> Tensor:
        """Turn features (B, C, T', y, x) into logits (B, K)."""
        logits: Tensor = self.fc(self.dropout(self.stages(features)[-1].mean((2, 3, 4))))
        return logits

    def stages(self, features: Features) -> tuple[Tensor, ...]:
        """Return the stem's features and those behind each stage of the tail."""
        found = [features[0]]
        for number in range(self.cut, 5):
            found.append(self.stage(number)(found[-1]))
        return tuple(found)

    def remove_head(self) -> None:
        """Take away the classifier and the dropout before it."""
        del self.dropout, self.fc
        self.classifier = ""

    def branch_blocks(self, shape: Literal["next", "same"], *, pretrained: bool) -> tuple[nn.Module, int]:
        """Return three bottlenecks at stride 1, shaped like the stage behind or before the cut, and their channels."""
        # Behind the last stage there is none to be like.
        is_next = shape == "next" and self.cut < 5
        number = self.cut if is_next else self.cut - 1
        channels = self.stage_channels[number]
        spare = self.bottleneck(number - 1, channels, (1, 1, 1))
        blocks = stage_copies(list(self.stage(number)), is_next=is_next, spare=spare)
        assert blocks is not None, "bottlenecks have no stride but their convolutions'"
        if not pretrained:
            begin_afresh(blocks)
        return blocks, channels
