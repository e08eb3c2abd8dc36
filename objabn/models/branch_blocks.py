"""Residual blocks for attention branches, at stride 1: a backbone's own where it has such, plain bottlenecks where it has not."""

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

BRANCH_BLOCKS = 3
BOTTLENECK = 4
"""A plain block is this many times narrower within."""
Convolution = nn.Conv2d | nn.Conv3d
AveragePool = nn.AvgPool2d | nn.AvgPool3d


class PlainBottleneck(nn.Module):
    """Convolutions of 1x1x1, `kernel_TYX` and 1x1x1, each with a batch norm, around them a shortcut (He et al. 2016).

    The last norm begins with zeros, so that a new block gives what its shortcut does.
    """

    def __init__(self, in_channels: int, channels: int, kernel_TYX: tuple[int, int, int]) -> None:
        super().__init__()
        inner_channels = max(1, channels // BOTTLENECK)
        frames, rows, columns = kernel_TYX
        padding = (frames // 2, rows // 2, columns // 2)
        self.reduce = nn.Conv3d(in_channels, inner_channels, kernel_size=1, bias=False)
        self.reduce_norm = nn.BatchNorm3d(inner_channels)
        self.conv = nn.Conv3d(inner_channels, inner_channels, kernel_TYX, padding=padding, bias=False)
        self.conv_norm = nn.BatchNorm3d(inner_channels)
        self.expand = nn.Conv3d(inner_channels, channels, kernel_size=1, bias=False)
        self.expand_norm = nn.BatchNorm3d(channels)
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != channels:
            self.shortcut = nn.Sequential(nn.Conv3d(in_channels, channels, kernel_size=1, bias=False), nn.BatchNorm3d(channels))
        begin_afresh(self)
        nn.init.zeros_(self.expand_norm.weight)

    def forward(self, features: Tensor) -> Tensor:
        """Turn (B, C, T, y, x) into (B, C out, T, y, x)."""
        inner = torch.relu(self.reduce_norm(self.reduce(features)))
        inner = torch.relu(self.conv_norm(self.conv(inner)))
        return torch.relu(self.expand_norm(self.expand(inner)) + self.shortcut(features))


def plain_blocks(in_channels: int, channels: int, kernel_TYX: tuple[int, int, int]) -> nn.Sequential:
    """Return three plain bottlenecks, for backbones that have no residual blocks of convolutions and batch norms of their own."""
    widths = [in_channels] + [channels] * (BRANCH_BLOCKS - 1)
    return nn.Sequential(*(PlainBottleneck(width, channels, kernel_TYX) for width in widths))


def stage_copies(stage: Sequence[nn.Module], *, is_next: bool, spare: nn.Module | None = None) -> nn.Sequential | None:
    """Copy three blocks at stride 1: the first of the stage behind the cut, or the last of the one before it.

    Of the one before it the first block is left out, as it changes channels. Where the blocks do not suffice, copies of the second
    one, or of `spare`, begin afresh in their place. None where there is neither, or a block steps by what is no convolution or pool.
    """
    filler = stage[1] if len(stage) > 1 else spare
    if filler is None or not can_keep_size(stage):
        return None
    sources = stage[:BRANCH_BLOCKS] if is_next else stage[1:][-BRANCH_BLOCKS:]
    blocks = [deepcopy(source) for source in sources]
    while len(blocks) < BRANCH_BLOCKS:
        blocks.append(deepcopy(filler))
        begin_afresh(blocks[-1])
    for block in blocks:
        take_strides_off(block)
    return nn.Sequential(*blocks)


def take_strides_off(block: nn.Module) -> None:
    """Let every convolution of a block step by 1, and leave out the pools before them; there is no parameter in a stride."""
    for path, module in list(block.named_modules()):
        if isinstance(module, Convolution):
            module.stride = (1,) * len(module.stride)
        elif isinstance(module, AveragePool):
            block.set_submodule(path, nn.Identity())


def can_keep_size(blocks: Sequence[nn.Module]) -> bool:
    """Say whether `take_strides_off` knows all layers of these blocks that step by more than 1."""
    layers = [module for block in blocks for module in block.modules() if not list(module.children())]
    others = [layer for layer in layers if hasattr(layer, "stride") and not isinstance(layer, Convolution | AveragePool)]
    return all(step == 1 for layer in others for step in (layer.stride if isinstance(layer.stride, tuple) else (layer.stride,)))


def begin_afresh(module: nn.Module) -> None:
    """Draw convolutions as He et al. 2015 do, by what leaves them, and put all else back to how PyTorch begins it."""
    for layer in module.modules():
        if isinstance(layer, Convolution):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif callable(reset := getattr(layer, "reset_parameters", None)):
            reset()
