"""Residual networks of pytorchvideo with one pathway: Slow, R(2+1)D and CSN, cut into stem and tail."""

from math import prod
from typing import Any, Literal

from torch import nn

from objabn.models.blocks import STAGES, BlockBackbone, FullAveragePool, check_clip_size
from objabn.models.branch_blocks import begin_afresh, stage_copies
from objabn.models.pytorchvideo_builders import create_csn, create_r2plus1d, create_resnet, init_net_weights
from objabn.models.sizes import CSN_SIZES, R2PLUS1D_SIZES, SLOW_SIZES, VideoResNetSize


class VideoResNet(BlockBackbone):
    """A residual network whose first `cut` blocks are the stem; `frame_strides` are those of the four stages."""

    def __init__(self, net: nn.Module, *, cut: int, frame_strides: tuple[int, int, int, int], channels: int) -> None:
        blocks: Any = net.blocks
        blocks[-1].pool = FullAveragePool()
        super().__init__(blocks, cut=cut)
        self.frame_stride = prod(frame_strides[: cut - 1])
        self.stage_channels = (channels, *(channels * 2**stage for stage in range(2, STAGES + 1)))

    def branch_blocks(self, shape: Literal["next", "same"], *, pretrained: bool) -> tuple[nn.Module, int]:
        """Return three residual blocks at stride 1, copies of the stage's behind or before the cut, and their channels.

        Without `pretrained` they begin afresh, each as an identity but for what its first shortcut does.
        """
        is_next = shape == "next" and self.cut < STAGES
        place = self.cut if is_next else self.cut - 1
        stage: Any = self.blocks[place]
        return residual_copies(stage.res_blocks, is_next=is_next, pretrained=pretrained), self.stage_channels[place]


def residual_copies(stage: nn.ModuleList, *, is_next: bool, pretrained: bool) -> nn.Module:
    """Copy three blocks of a stage of pytorchvideo at stride 1."""
    blocks = stage_copies(list(stage), is_next=is_next)
    assert blocks is not None, "no network here has a stage of a single block, or a block with a pool"
    if not pretrained:
        begin_afresh(blocks)
        init_net_weights(blocks)  # which gives the last norm of each block zeros
    return blocks


def build_slow(name: str, *, classes: int, cut: int, clip_frames: int, clip_size: int, dropout: float) -> VideoResNet:
    """Build the Slow pathway of SlowFast (Feichtenhofer et al. 2019) alone; time is never strided."""
    del clip_frames  # any number will do
    size = sized(name, SLOW_SIZES, clip_size)
    net = create_resnet(
        model_depth=size.depth,
        model_num_class=classes,
        dropout_rate=dropout,
        stem_dim_out=size.channels,
        stem_conv_kernel_size=(1, 7, 7),
        head_activation=None,
    )
    return VideoResNet(net, cut=cut, frame_strides=(1, 1, 1, 1), channels=size.channels)


def build_r2plus1d(name: str, *, classes: int, cut: int, clip_frames: int, clip_size: int, dropout: float) -> VideoResNet:
    """Build R(2+1)D (Tran et al. 2018); its builder adds a softmax unless told not to."""
    del clip_frames
    size = sized(name, R2PLUS1D_SIZES, clip_size)
    net = create_r2plus1d(
        model_depth=size.depth, model_num_class=classes, dropout_rate=dropout, stem_dim_out=size.channels, head_activation=None
    )
    return VideoResNet(net, cut=cut, frame_strides=(1, 1, 2, 2), channels=size.channels)


def build_csn(name: str, *, classes: int, cut: int, clip_frames: int, clip_size: int, dropout: float) -> VideoResNet:
    """Build the channel-separated network (Tran et al. 2019)."""
    del clip_frames
    size = sized(name, CSN_SIZES, clip_size)
    net = create_csn(
        model_depth=size.depth,
        model_num_class=classes,
        dropout_rate=dropout,
        stem_dim_out=size.channels,
        stem_pool=nn.MaxPool3d,
        head_activation=None,
    )
    return VideoResNet(net, cut=cut, frame_strides=(1, 2, 2, 2), channels=size.channels)


def sized(name: str, sizes: dict[str, VideoResNetSize], clip_size: int) -> VideoResNetSize:
    """Return the size of this name, if it can read pictures of this size."""
    check_clip_size(clip_size, name)
    return sizes[name]
