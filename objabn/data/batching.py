"""From warped pixels to a Batch: the last step of every loader."""

import torch
from torch import Tensor
from torch.nn import functional

from objabn.data.sampling import ClipPlan
from objabn.types import Batch


def make_batch(clip_BTYXC: Tensor, mask_BTYX: Tensor, valid_BT: Tensor, plan: ClipPlan, grid_size: int) -> Batch:
    """Join decoded pixels with what the plan knows of them; every tensor lands on the clip's device."""
    device = clip_BTYXC.device

    def column(values: object) -> Tensor:
        return torch.as_tensor(values, device=device)

    return Batch(
        clip=clip_BTYXC.permute(0, 4, 1, 2, 3),
        mask=grid_coverage(mask_BTYX, grid_size),
        mask_valid=valid_BT.to(device),
        label=column(plan.label),
        video=column(plan.video),
        frames=column(plan.frames),
        view=column(plan.view),
        present=column(plan.present),
    )


def grid_coverage(mask_BTYX: Tensor, grid_size: int) -> Tensor:
    """Return (B, T, y, x) float32: the covered part of each cell of a square attention grid, from a mask of 0 and 1."""
    return functional.adaptive_avg_pool2d(mask_BTYX.float(), (grid_size, grid_size))
