"""From warped pixels to a Batch: the last step of every loader."""

import torch
from torch import Tensor
from torch.nn import functional

from objabn.data.sampling import ClipPlan
from objabn.types import Batch


def make_batch(clip_BTYXC: Tensor, mask_BTYX: Tensor, valid_BT: Tensor, plan: ClipPlan, grid_size: int) -> Batch:
    """Join decoded pixels with what the plan knows of them.

    Clip and mask stay where they were decoded; the small columns stay on the CPU until `Batch.to`, since copying
    each to a GPU here would wait for everything that still runs there.
    """
    return Batch(
        clip=clip_BTYXC.permute(0, 4, 1, 2, 3),
        mask=grid_coverage(mask_BTYX, grid_size),
        mask_valid=valid_BT,
        label=torch.from_numpy(plan.label),
        video=torch.from_numpy(plan.video),
        frames=torch.from_numpy(plan.frames),
        view=torch.from_numpy(plan.view),
        present=torch.from_numpy(plan.present),
    )


def grid_coverage(mask_BTYX: Tensor, grid_size: int) -> Tensor:
    """Return (B, T, y, x) float32: the covered part of each cell of a square attention grid, from a uint8 mask of 0 and 1.

    What is coverage already, as it is kept beside features, stays as it is.
    """
    if mask_BTYX.is_floating_point():
        return mask_BTYX
    height, width = mask_BTYX.shape[-2:]
    rows, columns = height // grid_size, width // grid_size
    if height % grid_size or width % grid_size or width % 8 or rows > 255:
        return functional.adaptive_avg_pool2d(mask_BTYX.float(), (grid_size, grid_size))
    # Eight pixels are added at once: sums of up to 255 ones stay within their bytes. As floats, all this takes thirty times as long.
    eights = mask_BTYX.contiguous().view(torch.int64).unflatten(2, (grid_size, rows)).sum(3)
    counts = eights.view(torch.uint8).unflatten(3, (grid_size, columns)).sum(4, dtype=torch.int32)
    return counts.float() / (rows * columns)
