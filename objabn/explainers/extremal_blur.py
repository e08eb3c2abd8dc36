"""Clips that fade into a blur: a Gaussian for every frame, and a pyramid of them that a mask chooses from, pixel by pixel."""

import math

import torch
from torch import Tensor
from torch.nn import functional


def blurred(frames_NCYX: Tensor, sigma: float, *, padding: str = "constant") -> Tensor:
    """Return pictures under a Gaussian of this many pixels, cut off at four sigma; `padding` as in `functional.pad`."""
    if sigma <= 0:
        return frames_NCYX
    radius, channels = math.ceil(4 * sigma), frames_NCYX.shape[1]
    offsets = torch.arange(-radius, radius + 1, dtype=frames_NCYX.dtype, device=frames_NCYX.device)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = (kernel / kernel.sum()).expand(channels, 1, -1)
    padded = functional.pad(frames_NCYX, (radius,) * 4, mode=padding)
    rows = functional.conv2d(padded, kernel[..., None], groups=channels)
    return functional.conv2d(rows, kernel[..., None, :], groups=channels)


def blur_pyramid(clip_BCTYX: Tensor, *, levels: int = 8, largest_sigma: float = 20.0) -> Tensor:
    """Return the clip from its largest blur to itself as (levels, B, C, T, Y, X), each frame blurred alone, with sigma falling evenly.

    Beyond its border a picture is zero, as in TorchRay, so a clip should have its baseline there.
    """
    frames = clip_BCTYX.movedim(2, 1).flatten(0, 1)
    pictures = [blurred(frames, largest_sigma * (1 - level / (levels - 1))) for level in range(levels)]
    return torch.stack(pictures).unflatten(1, (len(clip_BCTYX), -1)).movedim(3, 2)


def perturbed(pyramid_LBCTYX: Tensor, masks_BTYX: Tensor) -> Tensor:
    """Return clips (B, C, T, Y, X) that a mask of 1 leaves as they are, one of 0 blurs most, and others interpolate between levels."""
    last = len(pyramid_LBCTYX) - 1
    height_BTYX = masks_BTYX * last
    level_BTYX = height_BTYX.detach().floor().clamp(0, last)
    index = level_BTYX.long()[None, :, None].expand(1, *pyramid_LBCTYX.shape[1:])
    low, high = (pyramid_LBCTYX.gather(0, each)[0] for each in (index, (index + 1).clamp(max=last)))
    return low + (height_BTYX - level_BTYX)[:, None] * (high - low)
