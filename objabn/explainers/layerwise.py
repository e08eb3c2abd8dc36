"""3DCAM: what every stage of a network says for one class, summed from the first to the last (Yudistira et al. 2020)."""

import torch
from torch import Tensor
from torch.nn import functional

from objabn.explainers.explanation import Explanation, nonzero, stretched
from objabn.explainers.hooks import captured, gradients
from objabn.explainers.subject import Subject, chosen_classes
from objabn.models.network import AttentionNetwork, evaluating
from objabn.training.precision import as_float32
from objabn.types import Output


def layerwise_explanation(subject: Subject, clip_BCTYX: Tensor, classes_B: Tensor | None = None, **options: bool) -> Explanation:
    """Return `layerwise` of a network here as an explanation; ValueError for another network, whose stages are not known."""
    if not isinstance(subject.net, AttentionNetwork):
        raise ValueError(f"3dcam needs the stages of a network of objabn, and {type(subject.net).__name__} is none; take gradcam.")
    maps_B1TYX, names, output = layerwise(subject.net, clip_BCTYX, classes_B=classes_B, **options)
    return Explanation(maps_B1TYX, names, output.logits, chosen_classes(output.logits, classes_B))


def layerwise(
    net: AttentionNetwork, clip_BCTYX: Tensor, *, classes_B: Tensor | None = None, normalise_layers: bool = True, elementwise: bool = False
) -> tuple[Tensor, tuple[str, ...], Output]:
    """Return relu(sum over stages of sum_k alpha_k A_k) as (B, 1, T, Y, X) in [0, 1], its name, and the network's output.

    A are the features behind a stage of the backbone, G the gradient of a class's logit there, and alpha_k the mean of G over
    frames, rows and columns; `elementwise` takes G * A instead. Each stage is enlarged linearly to the clip's frames and pixels,
    and the sum is stretched to [0, 1] over each clip; a flat one becomes zeros. The class is the predicted one unless
    `classes_B` (B,) names others; one that is not there raises ValueError.

    `normalise_layers` divides each stage by its largest magnitude. Without, the plain sum is nearly the last stage alone, since alpha
    shrinks with the number of positions: that magnitude was 300 times as large behind X3D-M's last stage as behind its first convolutions
    (medians of 19 clips of UCF101). The authors' code sums plainly, and counts the last stage twice ("layer4" and "avgpool").
    """
    with torch.inference_mode(mode=False), torch.enable_grad(), evaluating(net), captured(net.backbone, net.backbone.stage_names) as stages:
        output = net(clip_BCTYX)
        score = output.logits.gather(1, chosen_classes(output.logits, classes_B)[:, None]).sum()
        # Clips do not meet in a network that evaluates, so the gradient of the sum is each clip's own.
        slopes_of_stages = gradients(score, list(stages.values()))
    total_BTYX = torch.zeros((len(clip_BCTYX), *clip_BCTYX.shape[2:]), device=clip_BCTYX.device)
    for stage, slopes in zip(stages.values(), slopes_of_stages, strict=True):
        volumes = (net.backbone.volume(each, len(clip_BCTYX)).detach().float() for each in (stage, slopes))
        cam_Btyx = class_activation(*volumes, elementwise=elementwise)
        if normalise_layers:
            cam_Btyx = cam_Btyx / nonzero(cam_Btyx.abs().amax((1, 2, 3), keepdim=True))
        total_BTYX += functional.interpolate(cam_Btyx[:, None], clip_BCTYX.shape[2:], mode="trilinear", align_corners=False)[:, 0]
    detached = Output._make(None if value is None else value.detach() for value in as_float32(output))
    return stretched(total_BTYX.relu())[:, None], ("3dcam",), detached


def class_activation(features_BCtyx: Tensor, gradient_BCtyx: Tensor, *, elementwise: bool) -> Tensor:
    """Return (B, T', y, x): the sum over channels of features times the mean of their gradient, or times the gradient itself."""
    weights = gradient_BCtyx if elementwise else gradient_BCtyx.mean((2, 3, 4), keepdim=True)
    return (weights * features_BCtyx).sum(1)
