"""A depthwise convolution that computes each shape it knows in the ways chosen for it, and all others as PyTorch does."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from objabn.kernels.depthwise import Ways, depthwise

SUPPORTED_STRIDES = (1, 2)


class Met(NamedTuple):
    """What a convolution is given, apart from the number of clips; that hardly changes which way is best."""

    device: str
    dtype: torch.dtype
    is_channels_last: bool
    frames: int
    height: int
    width: int


class DepthwiseConv3d(nn.Conv3d):
    """An `nn.Conv3d` with chosen ways; an existing one becomes it by its class alone, and keeps its parameters and hooks."""

    ways: dict[Met, Ways]

    def forward(self, clip_BCTYX: Tensor) -> Tensor:
        """Convolve (B, C, T, Y, X)."""
        met = met_with(clip_BCTYX)
        ways = self.ways.get(met)
        if ways is None or torch.compiler.is_exporting() or (ways.forward == "stock" and not torch.is_grad_enabled()):
            return super().forward(clip_BCTYX)
        return depthwise(clip_BCTYX.to(met.dtype), self.weight.to(met.dtype), self.stride[1], ways)


def met_with(clip_BCTYX: Tensor) -> Met:
    """Describe a clip as a convolution is given it, in the number format that autocast would bring it to."""
    device, dtype = clip_BCTYX.device.type, clip_BCTYX.dtype
    if torch.is_autocast_enabled(device) and dtype != torch.float64:
        dtype = torch.get_autocast_dtype(device)
    is_channels_last = clip_BCTYX.is_contiguous(memory_format=torch.channels_last_3d)
    return Met(device, dtype, is_channels_last, *clip_BCTYX.shape[2:])


def is_supported(module: nn.Module) -> bool:
    """Say whether a module is a depthwise convolution of the kind that has more than one way."""
    # Subclasses do something else in `forward`, which would be lost.
    if type(module) not in (nn.Conv3d, DepthwiseConv3d):
        return False
    assert isinstance(module, nn.Conv3d)
    frames_stride, *strides = module.stride
    return (
        1 < module.groups == module.in_channels == module.out_channels
        and module.bias is None
        and module.padding_mode == "zeros"
        and module.padding == tuple(taps // 2 for taps in module.kernel_size)
        and all(taps % 2 == 1 for taps in module.kernel_size)
        and module.dilation == (1, 1, 1)
        and frames_stride == 1
        and strides[0] == strides[1]
        and strides[0] in SUPPORTED_STRIDES
    )


def shape_key(module: nn.Conv3d, met: Met) -> str:
    """Name a convolution with what it is given, as choices are written down."""
    layout = "channels_last" if met.is_channels_last else "contiguous"
    kernel = "x".join(map(str, module.kernel_size))
    given = f"{met.device} {str(met.dtype).removeprefix('torch.')} {layout} {module.in_channels}x{met.frames}x{met.height}x{met.width}"
    return f"{given}, kernel {kernel}, stride {module.stride[1]}"
