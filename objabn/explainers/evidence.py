"""What class activation maps are made of: the features of a layer, and the gradient of a class's score there."""

from typing import NamedTuple

import torch
from torch import Tensor

from objabn.explainers.hooks import captured, gradients
from objabn.explainers.layers import find_layer
from objabn.explainers.subject import Subject, chosen_classes
from objabn.models.network import evaluating


class Activations(NamedTuple):
    """What a layer says of clips, and what the network makes of it."""

    features: Tensor
    """(B, C, T', y, x) of the layer."""
    scores: Tensor
    """(B, K)."""
    classes: Tensor
    """(B,) to be explained."""


class Evidence(NamedTuple):
    """What class activation maps are made of."""

    features: Tensor
    """(B, C, T', y, x) of the layer."""
    gradient: Tensor
    """(B, C, T', y, x) of the class's score there; zeros where it does not depend on them."""
    scores: Tensor
    """(B, K)."""
    classes: Tensor
    """(B,) that the scores are of."""


def activations(subject: Subject, clip_BCTYX: Tensor, classes_B: Tensor | None = None) -> Activations:
    """Return the features of the subject's layer for methods that need no gradient; the predicted class unless others are given."""
    layer = find_layer(subject, clip_BCTYX)
    with torch.inference_mode(mode=False), torch.no_grad(), evaluating(subject.net):
        with captured(subject.net, [layer.name]) as outputs:
            scores_BK = subject.scores(clip_BCTYX)
        features = layer.volume(outputs[layer.name], len(clip_BCTYX)).detach().float()
    return Activations(features, scores_BK.float(), chosen_classes(scores_BK, classes_B))


def evidence(subject: Subject, clip_BCTYX: Tensor, classes_B: Tensor | None = None) -> Evidence:
    """Return the features of the subject's layer and the gradient of a score there: that of the predicted class unless others are given.

    Nothing before the layer keeps what a backward pass would need. Clips do not meet in a network that evaluates, so that the
    gradient of the sum is each clip's own.
    """
    layer = find_layer(subject, clip_BCTYX)
    with torch.inference_mode(mode=False), torch.no_grad(), evaluating(subject.net):
        with captured(subject.net, [layer.name], starts_graph=True) as outputs:
            scores_BK = subject.scores(clip_BCTYX)
        found_B = chosen_classes(scores_BK, classes_B)
        output = outputs[layer.name]
        with torch.enable_grad():
            score = scores_BK.gather(1, found_B[:, None]).sum()
        slopes = gradients(score, [output])[0]
        volumes = [layer.volume(each, len(clip_BCTYX)).detach().float() for each in (output, slopes)]
    return Evidence(volumes[0], volumes[1], scores_BK.detach().float(), found_B)
