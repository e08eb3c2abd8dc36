"""Saliency Tubes: the class activation map of networks that pool their last features and classify by one linear layer."""

from typing import Any

import torch
from torch import Tensor, nn

from objabn.explainers.evidence import Activations, activations
from objabn.explainers.explanation import Explanation, class_map
from objabn.explainers.hooks import captured
from objabn.explainers.subject import Subject, chosen_classes
from objabn.models.network import AttentionNetwork, evaluating

TOLERANCE = 1e-3
"""Of scores that are computed again from the mean of the features, relative to the largest."""


def saliency_tubes(subject: Subject, clip_BCTYX: Tensor, classes_B: Tensor | None = None) -> Explanation:
    """Return sum_k w_k A_k: the last features weighed by the classifier's row for a class, without relu (Stergiou et al. 2019).

    The mean of this map over all places is the logit but for its bias, and that is checked: networks that answer in another way
    raise ValueError. X3D has a convolution and activations on both sides of its pool; what stands behind it is applied to every
    place instead, which is exact but for the last activation: the mean of a ReLU is not the ReLU of a mean, so that there the
    map adds up to the logit only as far as its channels have one sign everywhere.
    """
    pool = None if subject.layer else projecting_pool(subject.net)
    seen = activations(subject, clip_BCTYX, classes_B) if pool is None else projected(subject, pool, clip_BCTYX, classes_B)
    rows_KC, bias_K = find_classifier(subject.net, seen.scores.shape[1], channels=seen.features.shape[1])
    if pool is None:
        check_linear(subject.net, seen, rows_KC, bias_K)
    cam_Btyx = torch.einsum("bc,bctyx->btyx", rows_KC[seen.classes], seen.features)
    return class_map(cam_Btyx, clip_BCTYX, name="saliency_tubes", logits_BK=seen.scores, classes_B=seen.classes)


def projecting_pool(net: nn.Module) -> str | None:
    """Return the name of a pool between two convolutions, as X3D has it; None where there is none."""
    return next((name for name, module in net.named_modules() if getattr(module, "post_conv", None) is not None), None)


def projected(subject: Subject, name: str, clip_BCTYX: Tensor, classes_B: Tensor | None) -> Activations:
    """Return what such a pool would give at every place if it did not pool."""
    pool: Any = subject.net.get_submodule(name)
    last = next(part for part in ("pre_act", "pre_norm", "pre_conv") if getattr(pool, part) is not None)
    with torch.inference_mode(mode=False), torch.no_grad(), evaluating(subject.net):
        with captured(subject.net, [f"{name}.{last}"]) as outputs:
            scores_BK = subject.scores(clip_BCTYX)
        features = outputs[f"{name}.{last}"].detach()
        for module in (pool.post_conv, pool.post_norm, pool.post_act):
            features = features if module is None else module(features)
    return Activations(features.float(), scores_BK.float(), chosen_classes(scores_BK, classes_B))


def find_classifier(net: nn.Module, classes: int, *, channels: int) -> tuple[Tensor, Tensor]:
    """Return rows (K, C) and bias (K,) of the last linear layer, or convolution of one place, that gives a score for each class."""
    if isinstance(net, AttentionNetwork):
        found: Any = net.get_submodule(net.classifier)
    else:
        layers = [module for module in net.modules() if isinstance(module, nn.Linear | nn.Conv2d | nn.Conv3d)]
        found = next((layer for layer in reversed(layers) if len(layer.weight) == classes), None)
    if found is None or found.weight[0].numel() != channels:
        given = "there is none" if found is None else f"it reads {found.weight[0].numel()}"
        raise ValueError(
            f"saliency_tubes needs a linear classifier of the {channels} channels that are looked at in {type(net).__name__}, "
            f"and {given}; take gradcam, or name another layer."
        )
    bias = torch.zeros(classes, device=found.weight.device) if found.bias is None else found.bias
    return found.weight.detach().flatten(1).float(), bias.detach().float()


def check_linear(net: nn.Module, seen: Activations, rows_KC: Tensor, bias_K: Tensor) -> None:
    """Raise ValueError where the classifier's answer to the mean of the features is not the network's; logits may be moved together."""
    expected_BK = seen.features.mean((2, 3, 4)) @ rows_KC.T + bias_K
    expected_BK, scores_BK = (each - each.mean(1, keepdim=True) for each in (expected_BK, seen.scores))
    if (expected_BK - scores_BK).abs().max() > TOLERANCE * scores_BK.abs().max() + TOLERANCE**2:
        raise ValueError(
            f"saliency_tubes needs a network that answers from the mean of its last features by one linear layer, and {type(net).__name__} "
            "does something between; take gradcam, or name the layer before its pool."
        )
