"""How much maps are alike: those of neighbouring frames, and those of two networks."""

import torch
from torch import Tensor
from torch.nn import functional

from objabn.metrics.frames import flat_frames, valid_mean
from objabn.metrics.ordering import shared_ranks

SSIM_WINDOW, SSIM_SIGMA = 11, 1.5


def temporal_consistency(maps: Tensor) -> Tensor:
    """Return how alike the maps of neighbouring frames are: (..., T, y, x) -> (...), in [-1, 1].

    Mean over neighbours of Pearson's correlation of their cells: CC, by which saliency maps are usually compared (Bylinskii et al.
    2019) and slices of them in time as well (TempSAL, Aydemir et al. 2023). It does not see scale or floor, so that
    stretched maps give the same. Of two frames with one flat the value is 0; two flat ones do not count, and without others, as
    with a single frame, it is NaN.
    """
    cells, is_flat = maps.flatten(-2), flat_frames(maps)
    likeness = pearson(cells[..., :-1, :], cells[..., 1:, :])
    is_either, is_both = is_flat[..., :-1] | is_flat[..., 1:], is_flat[..., :-1] & is_flat[..., 1:]
    return valid_mean(torch.where(is_either, 0, likeness), ~is_both)


def pearson(values: Tensor, others: Tensor) -> Tensor:
    """Return the correlation of (..., n) with others along the last axis, (...); NaN where either is the same everywhere."""
    centred, others_centred = centre(values), centre(others)
    product = (centred * others_centred).sum(-1)
    likeness = (product / (centred.norm(dim=-1) * others_centred.norm(dim=-1))).clamp(-1, 1)
    is_flat = [(each.amin(-1) == each.amax(-1)) for each in (values, others)]
    return likeness.masked_fill(is_flat[0] | is_flat[1], torch.nan)


def centre(values: Tensor) -> Tensor:
    """Return (..., n) in float64 with a mean of 0: in single precision, large sets lose digits that decide between 0.999 and 1."""
    values = values.double()
    return values - values.mean(-1, keepdim=True)


def spearman(values: Tensor, others: Tensor) -> Tensor:
    """Return the rank correlation of (..., n) with others along the last axis, (...); equal values share the mean of their ranks."""
    return pearson(shared_ranks(values), shared_ranks(others))


def structural_similarity(frames: Tensor, others: Tensor) -> Tensor:
    """Return the structural similarity of frames in [0, 1] and others: (..., y, x) -> (...), 1 for equal ones (SSIM, Wang et al. 2004).

    Mean over all places where a Gaussian window of 11 x 11 pixels and sigma 1.5 lies inside the frame, with the paper's constants
    0.01 and 0.03; smaller frames raise ValueError.
    """
    if min(frames.shape[-2:]) < SSIM_WINDOW:
        raise ValueError(f"Frames of {tuple(frames.shape[-2:])} are too small for windows of {SSIM_WINDOW} x {SSIM_WINDOW}; enlarge them.")
    mean, other_mean = local_mean(frames), local_mean(others)
    variance, other_variance = (local_mean(each.square()) - m.square() for each, m in ((frames, mean), (others, other_mean)))
    covariance = local_mean(frames * others) - mean * other_mean
    light = (2 * mean * other_mean + 0.01**2) / (mean.square() + other_mean.square() + 0.01**2)
    structure = (2 * covariance + 0.03**2) / (variance + other_variance + 0.03**2)
    return (light * structure).mean((-2, -1))


def local_mean(frames: Tensor) -> Tensor:
    """Return the mean around each pixel of (..., y, x) whose window lies inside, weighed by a Gaussian."""
    offsets = torch.arange(SSIM_WINDOW, device=frames.device, dtype=frames.dtype) - SSIM_WINDOW // 2
    weights = torch.exp(-offsets.square() / (2 * SSIM_SIGMA**2))
    weights = weights / weights.sum()
    lead, planes = frames.shape[:-2], frames.reshape(-1, 1, *frames.shape[-2:])
    planes = functional.conv2d(functional.conv2d(planes, weights[None, None, :, None]), weights[None, None, None])
    return planes.reshape(*lead, *planes.shape[-2:])
