"""The entropy of maps in one Triton kernel: a program holds a frame, and writes one number."""

import math

import torch
from torch import Tensor
from torch.library import custom_op

MAXIMUM_CELLS = 16384
"""A program holds all cells of its frame."""


def attention_entropy(maps: Tensor, bins: int = 10) -> Tensor:
    """Return what `objabn.metrics.attention_entropy` does for float32 maps; ValueError for frames of more than 16384 cells."""
    cells = maps.shape[-1] * maps.shape[-2]
    if cells > MAXIMUM_CELLS:
        raise ValueError(f"Frames of {cells} cells were given, and a program holds at most {MAXIMUM_CELLS}; use objabn.metrics.")
    entropies: Tensor = entropy(maps.float().flatten(-2), bins)
    return entropies


@custom_op("objabn::attention_entropy", mutates_args=())
def entropy(cells: Tensor, bins: int) -> Tensor:
    """Return the entropy in bits of frames (..., cells)."""
    from objabn.kernels.core_entropy_triton import entropy_kernel  # noqa: PLC0415  (Triton is there with a GPU only)

    cells = cells.contiguous()
    entropies = cells.new_empty(cells.shape[:-1])
    count = cells.shape[-1]
    width = 1 << (count - 1).bit_length()
    entropy_kernel[(entropies.numel(),)](
        cells, entropies, count, 1 / math.log(2), BINS=bins, WIDTH=width, num_warps=4 if width > 512 else 1
    )
    return entropies


@entropy.register_fake
def _(cells: Tensor, bins: int) -> Tensor:
    del bins
    return torch.empty(cells.shape[:-1], dtype=cells.dtype, device=cells.device)
