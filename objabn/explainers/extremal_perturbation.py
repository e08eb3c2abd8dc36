"""Extremal perturbations of clips: the part of a given size that alone still shows the class (EP-3D, ST-EP: Li et al. 2021, 2022)."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from objabn.data.progress import OnProgress
from objabn.explainers.explanation import Explanation, nonzero
from objabn.explainers.extremal_blur import blurred
from objabn.explainers.extremal_learning import ExtremalSettings, learn_masks
from objabn.explainers.frozen import frozen
from objabn.explainers.subject import Subject, chosen_classes
from objabn.models.network import evaluating


def extremal_perturbation(
    subject: Subject, clip_BCTYX: Tensor, classes_B: Tensor | None = None, *, on_progress: OnProgress | None = None, **options: Any
) -> Explanation:
    """Return the sum over areas of the masks that show the class best (EP-3D); `options` are those of `ExtremalSettings`.

    For each area a, a mask m is learnt that minimises -log p_c(Phi(x; m)) + lambda |sort(m) - r_a|^2, where Phi blurs each frame
    where m is 0 and r_a has a fraction a of ones. The sum over areas is smoothed and divided by its maximum over the clip. As in the
    authors' code and in TorchRay the area is that of the mask with its margin of sigma pixels around every frame, so that it gains
    nothing by lying at the border. Clips are learnt from together, but each as if alone; the same arguments give the same map.

    Needs a gradient with respect to the clip: as many passes forward and back as areas times iterations. ValueError for
    settings that are not possible.
    """
    settings = ExtremalSettings(**options)
    return explained(subject, clip_BCTYX, classes_B, settings, name="extremal_perturbation", on_progress=on_progress)


def st_extremal_perturbation(
    subject: Subject, clip_BCTYX: Tensor, classes_B: Tensor | None = None, *, on_progress: OnProgress | None = None, **options: Any
) -> Explanation:
    """Return what `extremal_perturbation` does, of masks that are made of ellipsoids in space and time (ST-EP).

    From iteration `core_start` on they also minimise 300 times `core_loss`. The ellipsoid has `core_frames` frames (5 to 14 in the
    paper's studies, here 8 as the authors' driver, and never more than the clip) and 11 x 11 pixels.
    """
    settings = ExtremalSettings(**{"core_frames": 8, **options})
    settings = replace(settings, core_frames=min(settings.core_frames, clip_BCTYX.shape[2]))
    return explained(subject, clip_BCTYX, classes_B, settings, name="st_extremal_perturbation", on_progress=on_progress)


def explained(
    subject: Subject, clip_BCTYX: Tensor, classes_B: Tensor | None, settings: ExtremalSettings, *, name: str, on_progress: OnProgress | None
) -> Explanation:
    """Return the explanation by masks learnt with some settings."""
    with torch.inference_mode(mode=False), evaluating(subject.net), frozen(subject.net):
        with torch.no_grad():
            logits_BK = subject.scores(clip_BCTYX).float()
        found_B = chosen_classes(logits_BK, classes_B)
        masks_ABTYX = learn_masks(subject, clip_BCTYX, found_B, settings, on_progress)
    total_BTYX = masks_ABTYX.sum(0)
    # The picture goes on beyond its border as it ends there, as in the authors' drawing.
    smooth_BTYX = blurred(total_BTYX.flatten(0, 1)[:, None], settings.smooth_pixels, padding="replicate")[:, 0].view_as(total_BTYX)
    maps_BTYX = smooth_BTYX / nonzero(smooth_BTYX.amax((1, 2, 3), keepdim=True))
    return Explanation(maps_BTYX[:, None], (name,), logits_BK, found_B)
