"""Smooth masks from coarse grids (Fong et al. 2019, as in TorchRay), for every frame of a clip alone."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

COLDNESS = 20.0
"""How much larger values outweigh smaller ones in the smooth maximum."""
ELEMENTS_ON_CPU, ELEMENTS_ON_GPU = 2**20, 2**26
"""What is worked on at once: little enough for the cache of a core, or for a fraction of a GPU's memory."""


class MaskGrid:
    """Masks of frames of Y x X pixels by grids of one value for `step` pixels, with a margin of `sigma` pixels around every frame.

    A pixel is the smooth maximum of the values around it, v_k = kernel(distance / sigma) p_k with kernel(z) = exp(-2 max(0, z - 1/2)^2):
    sum_k v_k e^(20 v_k) / sum_k e^(20 v_k), over the same number of neighbours everywhere.
    """

    def __init__(self, size_YX: tuple[int, int], *, step: int = 7, sigma: float = 11.0) -> None:
        self.size_YX = size_YX
        self.step = step
        self.margin = round(sigma)
        self.padding = 1 + math.ceil(2 * sigma / step)
        self.radius = 1 + math.ceil(sigma / step)
        self.grid_YX = (math.ceil(size_YX[0] / step), math.ceil(size_YX[1] / step))
        self.weights = kernel_weights(step=step, sigma=sigma, padding=self.padding, radius=self.radius)

    def padded(self, grids_Nyx: Tensor) -> Tensor:
        """Return masks (N, Y', X') in [0, 1] of grids (N, y, x), with their margins."""
        edges = torch.nn.functional.pad(grids_Nyx, (self.padding,) * 4)
        cells: Tensor = SmoothMaximum.apply(edges, self.weights.to(grids_Nyx).flatten(1)).unflatten(3, (self.step, self.step))
        masks = cells.permute(0, 1, 3, 2, 4).flatten(3, 4).flatten(1, 2)
        # The last cell's pixels but the first lie beyond the reach of the grid.
        return masks[:, : masks.shape[1] - self.step + 1, : masks.shape[2] - self.step + 1].clamp(0, 1)

    def without_margin(self, masks: Tensor) -> Tensor:
        """Return the pixels of masks (..., Y', X') that lie on the frame, (..., Y, X)."""
        height, width = self.size_YX
        return masks[..., self.margin : self.margin + height, self.margin : self.margin + width]


def kernel_weights(*, step: int, sigma: float, padding: int, radius: int) -> Tensor:
    """Return how much each of (2 radius + 1)^2 neighbours counts at each of step x step pixels of a cell, (neighbours, step, step)."""
    pixels = torch.arange(step, dtype=torch.float32)
    neighbours = torch.arange(2 * radius + 1, dtype=torch.float32) - padding
    along = pixels[None, :] - sigma - step * neighbours[:, None]
    distance = torch.hypot(along[:, None, :, None], along[None, :, None, :]).flatten(0, 1)
    return torch.exp(-2 * (distance / sigma - 0.5).clamp(min=0) ** 2)


class SmoothMaximum(torch.autograd.Function):
    """The smooth maximum of weighted neighbours, one neighbour after the other: all products at once would be a hundred times the masks."""

    @staticmethod
    def forward(ctx: Any, edges_Nyx: Tensor, weights_Kp: Tensor) -> Tensor:
        """Return (N, cells, cells, pixels) of padded grids and the weights of the neighbours at each pixel of a cell."""
        parts = [smooth_maximum(part, weights_Kp) for part in edges_Nyx.split(rows_at_a_time(edges_Nyx, weights_Kp))]
        maximum, total = (torch.cat(each) for each in zip(*parts, strict=True))
        ctx.save_for_backward(edges_Nyx, weights_Kp, maximum, total)
        return maximum

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Return the gradient of the grids."""
        edges_Nyx, weights_Kp, maximum, total = ctx.saved_tensors
        rows = rows_at_a_time(edges_Nyx, weights_Kp)
        parts = zip(edges_Nyx.split(rows), (gradients[0] / total).split(rows), maximum.split(rows), strict=True)
        return torch.cat([slope(edges, share, highest, weights_Kp) for edges, share, highest in parts]), None


def rows_at_a_time(edges_Nyx: Tensor, weights_Kp: Tensor) -> int:
    """Return how many masks are made at once."""
    pixels = edges_Nyx[0].numel() * weights_Kp.shape[1]
    return max(1, (ELEMENTS_ON_CPU if edges_Nyx.device.type == "cpu" else ELEMENTS_ON_GPU) // pixels)


def neighbours(edges_Nyx: Tensor, weights_Kp: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield for each neighbour its values for all cells, (N, cells, cells, 1) as a view, and its weights."""
    side = round(len(weights_Kp) ** 0.5)
    height, width = (length - side + 1 for length in edges_Nyx.shape[1:])
    for number, weights_p in enumerate(weights_Kp):
        y, x = divmod(number, side)
        yield edges_Nyx[:, y : y + height, x : x + width, None], weights_p


def smooth_maximum(edges_Nyx: Tensor, weights_Kp: Tensor) -> tuple[Tensor, Tensor]:
    """Return the smooth maximum, and the sum of e^(20 v) under it."""
    total, weighted = torch.zeros((), device=edges_Nyx.device), torch.zeros((), device=edges_Nyx.device)
    for values, weights_p in neighbours(edges_Nyx, weights_Kp):
        exponents = values * (COLDNESS * weights_p)
        powers = exponents.exp()
        weighted = weighted + exponents.mul_(powers)
        total = total + powers
    return weighted / (COLDNESS * total), total


def slope(edges_Nyx: Tensor, share: Tensor, maximum: Tensor, weights_Kp: Tensor) -> Tensor:
    """Return the gradient of padded grids: sum over pixels of w_k e^(20 v_k) (1 + 20 (v_k - maximum)) g / sum of e^(20 v)."""
    found = torch.zeros_like(edges_Nyx)
    constant = share * (1 - COLDNESS * maximum)
    for (values, weights_p), (gradient, _) in zip(neighbours(edges_Nyx, weights_Kp), neighbours(found, weights_Kp), strict=True):
        exponents = values * (COLDNESS * weights_p)
        powers = exponents.exp()
        gradient[..., 0] += exponents.mul_(share).add_(constant).mul_(powers) @ weights_p
    return found
