"""The explanation that the network itself acts on: its own maps."""

import torch
from torch import Tensor
from torch.nn import functional

from objabn.models.network import AttentionNetwork, evaluating
from objabn.training.precision import as_float32
from objabn.types import Output


def attention(net: AttentionNetwork, clip_BCTYX: Tensor) -> tuple[Tensor, tuple[str, ...], Output]:
    """Return the attention maps at the resolution of the clip, their names, and the network's output."""
    with torch.inference_mode(), evaluating(net):
        output = as_float32(net(clip_BCTYX))
    return enlarge(output.maps, size_TYX=tuple(clip_BCTYX.shape[2:])), net.map_names, output


def enlarge(maps_BNTYX: Tensor, *, size_TYX: tuple[int, ...]) -> Tensor:
    """Enlarge maps bilinearly to frames of a size; maps with fewer frames than the clip are interpolated in time too."""
    return functional.interpolate(maps_BNTYX, size_TYX, mode="trilinear", align_corners=False)
