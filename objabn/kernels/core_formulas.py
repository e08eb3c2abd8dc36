"""The parts between stem and tail as they are printed, in plain PyTorch: what tests and tables compare the network's own with."""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


class Weights(NamedTuple):
    """The weights and batch-norm factors of what follows the branch's blocks; convolutions are 1x1x1."""

    norm: tuple[Tensor, Tensor]
    """Factor and shift, (D,) each."""
    shared: Tensor
    """(K, D)."""
    shared_norm: tuple[Tensor, Tensor]
    draw: Tensor
    """(N, K)."""
    draw_norm: tuple[Tensor, Tensor]
    score: Tensor
    """(K, K)."""


def heads_of_branch(features: Tensor, weights: Weights) -> tuple[Tensor, Tensor]:
    """Return maps (B, N, ...) and class scores (B, K) of features (B, D, ...), with batch statistics (Object-ABN sections 3.1, 3.3)."""
    scores = torch.relu(normalized(pointwise(normalized(features, weights.norm), weights.shared), weights.shared_norm))
    maps = torch.sigmoid(normalized(pointwise(scores, weights.draw), weights.draw_norm))
    return maps, pointwise(scores, weights.score).flatten(2).mean(2)


def normalized(features: Tensor, factors: tuple[Tensor, Tensor]) -> Tensor:
    """Normalise by the statistics of the batch."""
    return functional.batch_norm(features, None, None, *factors, training=True)


def pointwise(features: Tensor, weight: Tensor) -> Tensor:
    """Convolve (B, C, ...) with a kernel of one position, given as (C out, C in)."""
    convolve = functional.conv3d if features.ndim == 5 else functional.conv2d
    return convolve(features, weight.reshape(*weight.shape, *(1,) * (features.ndim - 2)))


def gate_and_merge(features: Tensor, maps: Tensor, weight_NCC: Tensor) -> Tensor:
    """Gate by each map, concatenate and convolve: conv(concat(h M_1, ..., h M_N)) (Object-ABN eq. 4-6); weights are (N, C out, C in)."""
    copies = [features * maps[:, head : head + 1] for head in range(maps.shape[1])]
    return pointwise(torch.cat(copies, 1), torch.cat(list(weight_NCC), 1))


def mask_target(coverage: Tensor) -> Tensor:
    """Return where objects cover at least half of a cell (Object-ABN eq. 2, on the grid of the maps)."""
    return torch.where(coverage >= 0.5, 1.0, 0.0)


def multi_head_mask_loss(maps_BNTYX: Tensor, coverage_BTYX: Tensor, valid_BT: Tensor) -> Tensor:
    """MSE(M_o, M'_gt) + MSE(M_b, 1 - M'_gt) over the cells of valid frames (Object-ABN eq. 7)."""
    target = mask_target(coverage_BTYX)
    counts = valid_BT[:, :, None, None].expand_as(target)
    cells = counts.sum().clamp(min=1)
    errors = ((maps_BNTYX[:, 1] - target) ** 2, (maps_BNTYX[:, 2] - (1 - target)) ** 2)
    terms = [torch.where(counts, error, 0.0).sum() / cells for error in errors]
    return terms[0] + terms[1]


def prototype_loss(features: Tensor, prototypes_KD: Tensor, labels_B: Tensor, *, pull: float = 1.0, push: float = 1e-3) -> Tensor:
    """pull |f - w_y| - push / (K - 1) sum over j != y of (|f - w_j| + |w_y - w_j|) (Object-ABN eq. 8), f the mean over positions."""
    vectors_BD = features.float().flatten(2).mean(2)
    own_BD = prototypes_KD[labels_B]
    classes = len(prototypes_KD)
    is_other_BK = torch.arange(classes, device=labels_B.device) != labels_B[:, None]
    away_BK = distance(vectors_BD[:, None], prototypes_KD) + distance(own_BD[:, None], prototypes_KD)
    pushed_B = torch.where(is_other_BK, away_BK, 0.0).sum(1)
    return (pull * distance(vectors_BD, own_BD) - push / (classes - 1) * pushed_B).mean()


def distance(first: Tensor, second: Tensor) -> Tensor:
    """Return Euclidean distances along the last axis; the gradient is finite where they are zero."""
    return ((first - second).square().sum(-1) + 1e-12).sqrt()


def entropy(maps: Tensor, bins: int = 10) -> Tensor:
    """Return the entropy in bits of the histogram of each frame (..., y, x), stretched to [0, 1] (Object-ABN eq. 11)."""
    cells = maps.float().flatten(-2)
    low, high = cells.amin(-1, keepdim=True), cells.amax(-1, keepdim=True)
    stretched = torch.where(high > low, (cells - low) / (high - low), 0.0)
    places = (stretched * bins).long().clamp(max=bins - 1)
    shares = (places[..., None] == torch.arange(bins, device=maps.device)).float().mean(-2)
    return -torch.where(shares > 0, shares * shares.clamp(min=1e-30).log(), 0.0).sum(-1) / math.log(2)
