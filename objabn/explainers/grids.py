"""Features on a grid, whatever the layout: convolutions in 2-D and 3-D, channels last, rows of tokens."""

from math import prod
from typing import Any

from torch import Tensor

from objabn.models.per_frame import unfold_frames

MOST_PREFIX_TOKENS = 16
"""Class and register tokens that may stand before those of places."""


def volume_of(output: Any, clips: int, *, size_TYX: tuple[int, int, int], patches_TYX: tuple[int, ...] | None = None) -> Tensor | None:
    """Return what a module gave for clips of a size as (B, C, T', y, x), or None where it has no places.

    Rows of tokens lie on the grid beside them in a tuple, else on `patches_TYX`, that of the first convolution. Pictures in
    the place of clips are frames folded into the batch.
    """
    if isinstance(output, tuple | list):
        parts = [part for part in output if part is not None]
        if len(parts) > 1 and is_grid(parts[1]):
            return on_grid(parts[0], clips, tuple(int(side) for side in parts[1]))
        output = parts[0] if parts else None
    if not isinstance(output, Tensor) or not len(output) or len(output) % clips:
        return None
    if output.ndim == 5 and len(output) == clips:
        return channels_first(output, size_TYX)
    if output.ndim == 4:
        return unfold_frames(channels_first(output, size_TYX), clips, len(output) // clips)
    if output.ndim == 3 and patches_TYX is not None:
        return on_grid(output, clips, patches_TYX)
    return None


def is_grid(value: Any) -> bool:
    """Tell whether something is frames, rows and columns, as MViT hands them on beside its tokens."""
    return (
        not isinstance(value, Tensor)
        and isinstance(value, tuple | list)
        and len(value) == 3
        and all(isinstance(side, int) for side in value)
    )


def channels_first(features: Tensor, size_TYX: tuple[int, ...]) -> Tensor:
    """Put channels before rows and columns, where the picture's shape shows that they stand behind."""
    height, width = size_TYX[-2:]

    def is_picture(rows: int, columns: int) -> bool:
        return abs(rows * width - columns * height) <= max(height, width)

    rows, columns, last = features.shape[-3:]
    return features.movedim(-1, 1) if is_picture(rows, columns) and not is_picture(columns, last) else features


def on_grid(tokens: Tensor, clips: int, grid_TYX: tuple[int, ...]) -> Tensor | None:
    """Put rows of tokens (B, prefix + t * y * x, C), or one row a frame, on their grid (B, C, T', y, x)."""
    pictures = len(tokens) // clips
    grid = (1, *grid_TYX[-2:]) if pictures > 1 else grid_TYX
    prefix = tokens.shape[1] - prod(grid)
    if tokens.ndim != 3 or not 0 <= prefix <= MOST_PREFIX_TOKENS:
        return None
    # A copy: with the strides of a view of one picture the backward pass of PyTorch 2.15's batch norm goes wrong.
    volume = tokens[:, prefix:].transpose(1, 2).unflatten(2, grid).contiguous()
    return unfold_frames(volume[:, :, 0], clips, pictures) if pictures > 1 else volume
