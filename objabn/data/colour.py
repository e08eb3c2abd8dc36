"""From decoded video planes to RGB, as DALI's decoder does it: swscale's default repeats chroma and is off by several levels at edges."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

LUMA_BLACK = 16
LUMA_SCALE = 255 / 219
CHROMA_CENTRE = 128
RED_FROM_V, GREEN_FROM_U, GREEN_FROM_V, BLUE_FROM_U = 1.596027, -0.391762, -0.812968, 2.017232
"""BT.601, limited range, for chroma already counted from its centre."""


def yuv420p_to_rgb(planes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return (Y, X, 3) RGB of one yuv420p picture whose planes lie below each other, (Y * 3 / 2, X); chroma is interpolated linearly."""
    height, width = planes.shape[0] * 2 // 3, planes.shape[1]
    luma_YX = (torch.from_numpy(planes[:height]).float() - LUMA_BLACK) * LUMA_SCALE
    chroma_2yx = torch.from_numpy(planes[height:].reshape(1, 2, height // 2, width // 2)).float() - CHROMA_CENTRE
    u_YX, v_YX = functional.interpolate(chroma_2yx, size=(height, width), mode="bilinear", align_corners=False)[0]
    red = luma_YX + RED_FROM_V * v_YX
    green = luma_YX + GREEN_FROM_U * u_YX + GREEN_FROM_V * v_YX
    blue = luma_YX + BLUE_FROM_U * u_YX
    return torch.stack([red, green, blue], -1).round_().clamp_(0, 255).to(torch.uint8).numpy()
