"""What a mask must look like: so large and no larger, and with a core of one shape (Li et al. 2021)."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

ELLIPSOID_SHARE = 0.5236
"""Share of a box that the ellipsoid in it fills, pi / 6 as the authors' code has it."""


def area_loss(masks_BV: Tensor, areas_B: Sequence[float], generator: torch.Generator) -> Tensor:
    """Return the mean squared distance, (B,), of masks sorted by value from a step vector whose last fraction `areas_B` is ones.

    Chance decides between equal values: those of a new mask are all equal, and in their own order the late frames would win.
    """
    volume = masks_BV.shape[1]
    order_V = torch.randperm(volume, generator=generator).to(masks_BV.device)
    losses = []
    for mask_V, area in zip(masks_BV, areas_B, strict=True):
        ones = volume - int(volume * (1 - area))
        # Stable, so that a GPU decides between equals as a CPU does.
        largest = mask_V[order_V].sort(descending=True, stable=True).values[:ones]
        # (m - 1)^2 = m^2 + (1 - 2 m) where a one is wanted.
        losses.append((mask_V.square().sum() + (1 - 2 * largest).sum()) / volume)
    return torch.stack(losses)


class Core(NamedTuple):
    """An ellipsoid in a box of frames, rows and columns."""

    frames: int
    pixels: int

    def kernel(self) -> Tensor:
        """Return ones in the ellipsoid that touches the centres of the outermost cells of the box, and zeros about it."""
        along = [torch.linspace(-1, 1, side) if side > 1 else torch.zeros(1) for side in (self.frames, self.pixels, self.pixels)]
        distances = torch.stack(torch.meshgrid(*along, indexing="ij")).norm(dim=0)
        # As far as float32 can tell; in a box of 2 x 2 x 2 no cell is inside, and all are as near.
        return (distances <= max(1.0, float(distances.min())) + 1e-6).float()

    def wanted(self, area: float, volume: int) -> int:
        """Return how many ellipsoids fill a fraction of a volume, rounded up."""
        return math.ceil(area * volume / int(ELLIPSOID_SHARE * self.frames * self.pixels**2))


def core_loss(masks_BTYX: Tensor, areas_B: Sequence[float], core: Core, generator: torch.Generator) -> Tensor:
    """Return how far masks are from so many filled ellipsoids and nothing else, (B,).

    The share of an ellipsoid that is seen is taken at every frame and at steps of its own width; the largest shares, as many as
    ellipsoids fill the area, should be 1 and the others 0: the mean squared distance of those plus that of these.
    """
    kernel = core.kernel().to(masks_BTYX)
    responses = functional.conv3d(masks_BTYX[:, None], kernel[None, None], stride=(1, core.pixels, core.pixels)) / kernel.sum()
    order = torch.randperm(responses[0].numel(), generator=generator).to(masks_BTYX.device)
    losses = []
    for shares, area in zip(responses.flatten(1), areas_B, strict=True):
        wanted = min(core.wanted(area, masks_BTYX[0].numel()), len(shares))
        descending = shares[order].sort(descending=True, stable=True).values
        losses.append((descending[:wanted] - 1).square().mean() + descending[wanted:].square().sum() / max(1, len(shares) - wanted))
    return torch.stack(losses)
