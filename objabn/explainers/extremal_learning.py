"""Masks of clips learnt by gradient descent: the smallest part that still shows a class (Fong et al. 2019; Li et al. 2021)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from objabn.data.progress import Counter, OnProgress
from objabn.explainers.extremal_blur import blur_pyramid, perturbed
from objabn.explainers.extremal_losses import Core, area_loss, core_loss
from objabn.explainers.extremal_mask import MaskGrid
from objabn.explainers.subject import Subject

LEARNING_RATE, MOMENTUM, DAMPENING = 0.05, 0.9, 0.9
AREA_WEIGHT, AREA_WEIGHT_GROWTH = 300.0, 1.0008668
"""Of the area loss at the first iteration, and its factor from one to the next."""
CORE_WEIGHT = 300.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ExtremalSettings:
    """How masks are learnt; the defaults are those of the authors' code."""

    areas: Sequence[float] = (0.05, 0.1, 0.15, 0.5)
    """Fractions of the clip that masks may show, one mask each."""
    iterations: int = 1200
    """Steps of gradient descent; the authors take 1000 to 2000."""
    grid_step: int = 7
    """Pixels for which there is one value to be learnt."""
    sigma: float | None = None
    """Pixels over which such a value spreads; None is 11 at 112 pixels and 23 at 224, linear in the shorter side, and at least a step."""
    smooth_pixels: float = 10.0
    """Sigma of the Gaussian over each frame of the sum of the masks."""
    core_frames: int = 0
    """Frames of the ellipsoid that masks are made of; 0 is none."""
    core_pixels: int = 11
    """Rows and columns of the ellipsoid."""
    core_start: int = 100
    """The iteration behind which the ellipsoid counts."""
    batch_clips: int | None = None
    """Clips that go through the network at once, where each counts once for every area; None is all."""
    seed: int = 0
    """Of the order in which equal values of a mask give way."""

    def __post_init__(self) -> None:
        if not self.areas or not all(0 < area < 1 for area in self.areas):
            raise ValueError(f"areas={tuple(self.areas)} is not possible; each must be a fraction of the clip between 0 and 1.")
        for name in ("iterations", "grid_step", "core_pixels"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} is not possible; it must be at least 1.")
        if self.sigma is not None and self.sigma <= self.grid_step / 2:
            raise ValueError(
                f"sigma={self.sigma} is not possible; it must be more than half of grid_step={self.grid_step}, or no mask is whole."
            )
        if self.batch_clips is not None and self.batch_clips < 1:
            raise ValueError(f"batch_clips={self.batch_clips} is not possible; it must be at least 1, or None for all.")

    def spread(self, size_YX: tuple[int, int]) -> float:
        """Return the pixels over which a value spreads in pictures of a size."""
        return max(self.grid_step, 11 + (min(size_YX) - 112) * 12 / 112) if self.sigma is None else self.sigma


def learn_masks(
    subject: Subject, clip_BCTYX: Tensor, classes_B: Tensor, settings: ExtremalSettings, on_progress: OnProgress | None = None
) -> Tensor:
    """Return a mask (A, B, T, Y, X) in [0, 1] for each area and clip."""
    energy = Energy(subject, clip_BCTYX.float(), classes_B, settings)
    grids = torch.ones(energy.shape, device=clip_BCTYX.device, requires_grad=True)
    optimizer = torch.optim.SGD([grids], lr=LEARNING_RATE, momentum=MOMENTUM, dampening=DAMPENING)
    parts = torch.arange(len(grids)).split(settings.batch_clips or len(grids))
    counter = Counter(on_progress, settings.iterations)
    for iteration in range(settings.iterations):
        grids.grad = torch.cat([energy.gradient(grids.detach()[rows], rows, iteration) for rows in parts])
        optimizer.step()
        with torch.no_grad():
            grids.clamp_(0, 1)
        counter.add(1)
    with torch.no_grad():
        masks = energy.grid.without_margin(energy.grid.padded(grids.detach().flatten(0, 1)))
    return masks.unflatten(0, (len(settings.areas), len(clip_BCTYX), -1))


class Energy:
    """What masks minimise, a row for each area and clip, areas outermost; rows do not meet."""

    def __init__(self, subject: Subject, clip_BCTYX: Tensor, classes_B: Tensor, settings: ExtremalSettings) -> None:
        clips, _, frames, height, width = clip_BCTYX.shape
        self.subject, self.settings, self.clips = subject, settings, clips
        self.grid = MaskGrid((height, width), step=settings.grid_step, sigma=settings.spread((height, width)))
        # Blurred pictures run out into what the network sees as zero.
        self.pyramid_LBCTYX = blur_pyramid(clip_BCTYX - subject.baseline).add_(subject.baseline)
        self.classes_R = classes_B.repeat(len(settings.areas))
        self.shape = (len(self.classes_R), frames, *self.grid.grid_YX)

    def gradient(self, grids_RTyx: Tensor, rows: Tensor, iteration: int) -> Tensor:
        """Return the gradient of some rows' energy at an iteration."""
        with torch.enable_grad():
            leaf = grids_RTyx.requires_grad_()
            total = self.of_rows(leaf, rows, iteration).sum()
        return torch.autograd.grad(total, leaf)[0]

    def of_rows(self, grids_RTyx: Tensor, rows: Tensor, iteration: int) -> Tensor:
        """Return -log p of the class for what masks show, plus the weighted losses of their size and shape, (R,)."""
        padded_RTYX = self.grid.padded(grids_RTyx.flatten(0, 1)).unflatten(0, grids_RTyx.shape[:2])
        visible_RTYX = self.grid.without_margin(padded_RTYX)
        pyramids = [self.pyramid_LBCTYX[:, clip : clip + 1] for clip in (rows % self.clips).tolist()]
        shown = torch.cat([perturbed(pyramid, mask[None]) for pyramid, mask in zip(pyramids, visible_RTYX, strict=True)])
        log_probabilities_RK = self.subject.scores(shown).float().log_softmax(1)
        energy_R = -log_probabilities_RK.gather(1, self.classes_R[rows, None])[:, 0]
        # The same order for all rows, however they are divided into parts.
        generator = torch.Generator().manual_seed(self.settings.seed * 1_000_003 + iteration)
        areas_R = [self.settings.areas[row // self.clips] for row in rows.tolist()]
        energy_R = energy_R + AREA_WEIGHT * AREA_WEIGHT_GROWTH**iteration * area_loss(padded_RTYX.flatten(1), areas_R, generator)
        if self.settings.core_frames and iteration > self.settings.core_start:
            core = Core(self.settings.core_frames, self.settings.core_pixels)
            energy_R = energy_R + CORE_WEIGHT * core_loss(padded_RTYX, areas_R, core, generator)
        return energy_R
