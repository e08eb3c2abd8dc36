"""Why a network answered as it did: maps over the pixels of a clip, drawn and written as pictures and films."""

from typing import Any

import torch
from torch import Tensor, nn

from objabn.explainers.attention import attention
from objabn.explainers.captum_adapter import captum_method
from objabn.explainers.explanation import Explanation, Method
from objabn.explainers.extremal_perturbation import extremal_perturbation, st_extremal_perturbation
from objabn.explainers.feature_pyramids import feature_pyramids
from objabn.explainers.gradcam import gradcam, gradcam_plus_plus, layercam
from objabn.explainers.intervention import answer_with_maps
from objabn.explainers.layerwise import layerwise_explanation
from objabn.explainers.relevance_cam import relevance_cam
from objabn.explainers.saliency_tubes import saliency_tubes
from objabn.explainers.scorecam import scorecam
from objabn.explainers.subject import Classes, EachFrame, Subject, Volume, class_numbers, subject_of

__all__ = [
    "METHODS",
    "Classes",
    "EachFrame",
    "Explanation",
    "Method",
    "Subject",
    "Volume",
    "answer_with_maps",
    "captum_method",
    "explain",
    "find_method",
    "subject_of",
]

FROM_CAPTUM = "captum:"
METHODS: dict[str, Method] = {
    "attention": attention,
    "gradcam": gradcam,
    "gradcam++": gradcam_plus_plus,
    "layercam": layercam,
    "scorecam": scorecam,
    "saliency_tubes": saliency_tubes,
    "3dcam": layerwise_explanation,
    "relevance_cam": relevance_cam,
    "feature_pyramids": feature_pyramids,
    "extremal_perturbation": extremal_perturbation,
    "st_extremal_perturbation": st_extremal_perturbation,
}


def explain(
    net: nn.Module,
    clip: Tensor,
    *,
    method: str | Method = "attention",
    classes: Classes | None = None,
    layer: str | None = None,
    volume: Volume | None = None,
    **options: Any,
) -> Explanation:
    """Explain a network's answer to clips (B, C, T, Y, X), which are taken to its device.

    A network of objabn reads uint8 RGB, or floats on the same scale; any other module what it was made for, as floats. `method`
    is a key of `METHODS` or a function like those; `options` are its own. `classes` are those to be explained, by number or name,
    one for all clips or one for each; otherwise each clip's predicted one. `layer` names the module whose features are looked at
    ("attended": behind the cut), and `volume` turns its output into (B, C, T', y, x); otherwise both are found.
    """
    subject = subject_of(net, layer=layer, volume=volume)
    if clip.ndim != 5 or not len(clip):
        raise ValueError(f"Clips of shape {tuple(clip.shape)} cannot be explained; they must be (B, C, T, Y, X), pictures with T = 1.")
    # What was made in inference mode may take part in no gradient; a copy made outside may.
    with torch.inference_mode(mode=False):
        clip_BCTYX = (clip.clone() if clip.is_inference() else clip).to(subject.baseline.device)
        return find_method(method)(subject, clip_BCTYX, class_numbers(net, classes, clips=len(clip)), **options)


def find_method(method: str | Method) -> Method:
    """Return the method of this name, or the one given; `captum:NAME` is an attribution of captum."""
    if not isinstance(method, str):
        return method
    if method.startswith(FROM_CAPTUM):
        return captum_method(method.removeprefix(FROM_CAPTUM))
    if method not in METHODS:
        raise ValueError(f"There is no method {method!r}; choose one of {', '.join(METHODS)}, or {FROM_CAPTUM}NAME of captum.attr.")
    return METHODS[method]
