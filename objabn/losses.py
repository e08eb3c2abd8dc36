"""The losses of Object-ABN: maps towards masks, and features towards prototypes. All compute in float32 or better."""

from typing import Literal

import torch
from torch import Tensor, nn

MASK_THRESHOLD = 0.5
DICE_CELLS = 1e-3
OBJECT_MAP = 1
BACKGROUND_MAP = 2


def mask_loss(
    map_BTYX: Tensor, coverage_BTYX: Tensor, valid_BT: Tensor | None = None, *, target: Literal["hard", "soft"] = "hard"
) -> Tensor:
    """Return the mean squared distance of a map from the objects' mask (Object-ABN eq. 3).

    `coverage` in [0, 1] becomes {0, 1} at 0.5 with `hard` and is the target itself with `soft`. Only frames with
    `valid` count, None counts all, and without any the loss is zero. Images do without T.
    """
    wanted = mask_target(coverage_BTYX, target)
    return frame_mean((map_BTYX.to(wanted.dtype) - wanted).square(), valid_BT)


def multi_head_mask_loss(
    maps_BNTYX: Tensor,
    coverage_BTYX: Tensor,
    valid_BT: Tensor | None = None,
    *,
    background_weight: float = 1.0,
    target: Literal["hard", "soft"] = "hard",
) -> Tensor:
    """Return the mask loss of M_o plus `background_weight` times that of M_b towards the complement (Object-ABN eq. 7).

    The maps are M_u, M_o, M_b and any further ones, which stay free like M_u.
    """
    if maps_BNTYX.shape[1] < 3:
        raise ValueError(f"{maps_BNTYX.shape[1]} maps were given, but the multi-head mask loss needs M_u, M_o and M_b; use mask_loss.")
    wanted = mask_target(coverage_BTYX, target)
    object_error = (maps_BNTYX[:, OBJECT_MAP].to(wanted.dtype) - wanted).square()
    background_error = (maps_BNTYX[:, BACKGROUND_MAP].to(wanted.dtype) - (1 - wanted)).square()
    return frame_mean(object_error + background_weight * background_error, valid_BT)


def dice_loss(
    map_BTYX: Tensor, coverage_BTYX: Tensor, valid_BT: Tensor | None = None, *, target: Literal["hard", "soft"] = "hard"
) -> Tensor:
    """Return 1 - 2 |M t| / (|M| + |t|), sums over the cells of a frame, averaged over `valid` frames (Milletari et al. 2016, not squared).

    A frame whose map and mask are both empty is as good as it can be: each sum has one thousandth of a cell more.
    """
    wanted = mask_target(coverage_BTYX, target)
    drawn = map_BTYX.to(wanted.dtype)
    overlap, total = (drawn * wanted).sum((-2, -1)), (drawn + wanted).sum((-2, -1))
    return frame_mean((1 - (2 * overlap + DICE_CELLS) / (total + DICE_CELLS))[..., None, None], valid_BT)


def mask_target(coverage: Tensor, target: Literal["hard", "soft"]) -> Tensor:
    """Turn coverage into what a map is compared with."""
    if target not in ("hard", "soft"):
        raise ValueError(f"target={target!r} is not possible; it must be hard or soft.")
    coverage = coverage.to(at_least_float32(coverage))
    return (coverage >= MASK_THRESHOLD).to(coverage.dtype) if target == "hard" else coverage


def frame_mean(error: Tensor, valid: Tensor | None) -> Tensor:
    """Average (..., y, x) over the cells of all frames that are `valid` (...); zero, with a gradient of zero, where none is."""
    if valid is None:
        return error.mean()
    kept = valid.to(error.dtype)
    return (error.mean((-2, -1)) * kept).sum() / kept.sum().clamp(min=1)


def at_least_float32(tensor: Tensor) -> torch.dtype:
    """Return float32 for half precision and the tensor's own type for double."""
    return torch.promote_types(tensor.dtype, torch.float32)


class PrototypeConformityLoss(nn.Module):
    """Pull features to their class's prototype, push them from the others (Mustafa et al. 2019; Object-ABN eq. 8).

    pull |f - w_y| - push / (K - 1) sum over j != y of (|f - w_j| + |w_y - w_j|), mean over the batch. The defaults are
    the printed form; the authors' own code is `squared=True, center_term=False, shared_centers=False`: squared
    distances, a second set of prototypes to be pushed from, and no distance between prototypes.
    """

    def __init__(
        self,
        classes: int,
        dim: int,
        *,
        pull: float = 1.0,
        push: float = 1e-3,
        squared: bool = False,
        center_term: bool = True,
        shared_centers: bool = True,
        pool: Literal["gap", "flatten"] = "gap",
    ) -> None:
        super().__init__()
        self.pull = pull
        self.push = push
        self.squared = squared
        self.center_term = center_term
        self.pool = pool
        self.prototypes = nn.Parameter(torch.randn(classes, dim))
        self.push_prototypes = None if shared_centers else nn.Parameter(torch.randn(classes, dim))

    def forward(self, features: Tensor, labels_B: Tensor) -> Tensor:
        """Return the loss of features (B, D), or (B, D, T, y, x) to be pooled, with labels (B,)."""
        vectors_BD = self.pooled(features)
        with torch.autocast(features.device.type, enabled=False):
            # one_hot would wait for the device to see whether there are classes enough.
            own_BK = labels_B[:, None] == torch.arange(len(self.prototypes), device=labels_B.device)
            others = self.prototypes if self.push_prototypes is None else self.push_prototypes
            distances_BK = self.distances(vectors_BD, self.prototypes)
            away_BK = distances_BK if self.push_prototypes is None else self.distances(vectors_BD, others)
            if self.center_term:
                away_BK = away_BK + self.distances(self.prototypes[labels_B], others)
            # One class has no others; the sum is then empty and the divisor must not be zero.
            push_B = away_BK.masked_fill(own_BK, 0).sum(1) / max(len(self.prototypes) - 1, 1)
            pull_B = distances_BK.gather(1, labels_B[:, None])[:, 0]
            return (self.pull * pull_B - self.push * push_B).mean()

    def pooled(self, features: Tensor) -> Tensor:
        """Turn features into one vector for each sample, in float32 or better."""
        features = features.to(at_least_float32(features))
        vectors_BD = features.flatten(2).mean(2) if self.pool == "gap" and features.ndim > 2 else features.flatten(1)
        if vectors_BD.shape[1] != self.prototypes.shape[1]:
            raise ValueError(
                f"Features of shape {tuple(features.shape)} give vectors of {vectors_BD.shape[1]} values with pool={self.pool!r}, "
                f"but the prototypes have {self.prototypes.shape[1]}; build the loss with dim={vectors_BD.shape[1]}."
            )
        return vectors_BD

    def distances(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Return the distance of each row from each column, with a gradient of zero where they coincide.

        Never by |x|^2 + |y|^2 - 2xy, which in float32 is wrong by hundreds in high dimensions.
        """
        distances = torch.cdist(rows, columns.to(rows.dtype), compute_mode="donot_use_mm_for_euclid_dist")
        return distances.square() if self.squared else distances
