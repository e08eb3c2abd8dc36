"""What every explainer returns, and how a map of any grid becomes one over the pixels of a clip."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


class Explanation(NamedTuple):
    """Maps of clips by name, and the answer that they explain."""

    maps: Tensor
    """(B, N, T, Y, X) in [0, 1], at the clip's resolution, a map for each frame."""
    names: tuple[str, ...]
    """Of the N maps."""
    logits: Tensor
    """(B, K)."""
    classes: Tensor
    """(B,) numbers of the classes that are explained."""


Method = Callable[..., Explanation]
"""An explainer: `method(subject, clip_BCTYX, classes_B, **options)`, where no classes means those predicted. See `Subject`."""


def class_map(map_Btyx: Tensor, clip_BCTYX: Tensor, *, name: str, logits_BK: Tensor, classes_B: Tensor) -> Explanation:
    """Return the explanation whose one map is enlarged linearly to the clip and then stretched to [0, 1] over each clip."""
    enlarged_BTYX = enlarge(map_Btyx.detach().float()[:, None], size_TYX=tuple(clip_BCTYX.shape[2:]))[:, 0]
    return Explanation(stretched(enlarged_BTYX)[:, None], (name,), logits_BK.detach().float(), classes_B)


def enlarge(maps_BNTYX: Tensor, *, size_TYX: tuple[int, ...]) -> Tensor:
    """Enlarge maps bilinearly to frames of a size; maps with fewer frames than the clip are interpolated in time too."""
    if not maps_BNTYX.shape[1]:
        return maps_BNTYX.new_empty(*maps_BNTYX.shape[:2], *size_TYX)
    return functional.interpolate(maps_BNTYX, size_TYX, mode="trilinear", align_corners=False)


def stretched(maps_BTYX: Tensor) -> Tensor:
    """Stretch each clip's map to [0, 1]; a flat one becomes zeros."""
    low, high = (extreme((1, 2, 3), keepdim=True) for extreme in (maps_BTYX.amin, maps_BTYX.amax))
    return (maps_BTYX - low) / nonzero(high - low)


def nonzero(divisor: Tensor) -> Tensor:
    """Put 1 in the place of 0, under a numerator that is 0 there as well."""
    return torch.where(divisor == 0, 1, divisor)
