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
    """Return (B, T, y, x) float32: the covered part of each cell of a square attention grid, from a mask of 0 and 1."""
    return functional.adaptive_avg_pool2d(mask_BTYX.float(), (grid_size, grid_size))
