"""Relevance-CAM (Lee et al. 2021): the channels of a layer weighed by the relevance that the answer hands down to them."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from objabn.explainers.explanation import Explanation, class_map
from objabn.explainers.frozen import frozen
from objabn.explainers.hooks import captured, gradients
from objabn.explainers.layers import find_layer
from objabn.explainers.relevance import RULES, RULES_BEHIND_SOFTMAX, Propagation, unruled
from objabn.explainers.subject import Subject, chosen_classes
from objabn.models.network import evaluating


def relevance_cam(subject: Subject, clip_BCTYX: Tensor, classes_B: Tensor | None = None) -> Explanation:
    """Return sum_k w_k A_k, with w_k the mean over places of the relevance of channel k of the subject's layer, not rectified.

    Relevance starts as 1 at the class and -1/K at the others (contrastive) and is propagated down to the layer by the z+ rule; one pass
    forward, one back. ValueError where an operation behind the layer has no rule, or where nothing but gates reaches the layer.

    As in the authors' code (Relevance-CAM, modules/layers.py) batch norms hand relevance on as it is, and pools share it by what they
    average. Four things differ: their z+ rule of convolutions counts the bias twice in what is divided by, here no bias takes part, so
    that nothing is lost to it; their residual addition shares in plain proportion, where two opposite terms get a multiple of the whole
    with opposite signs, here only terms with the sign of the sum get a share; gates (sigmoid, softmax) are constants; SiLU and the
    like hand on relevance as ReLU does.
    """
    layer = find_layer(subject, clip_BCTYX)
    with torch.inference_mode(mode=False), torch.no_grad(), evaluating(subject.net), frozen(subject.net), plain_activations(subject.net):
        for rules in (RULES, RULES_BEHIND_SOFTMAX):
            with captured(subject.net, [layer.name], starts_graph=True) as outputs, Propagation(rules):
                scores_BK = subject.scores(clip_BCTYX)
            if scores_BK.requires_grad:
                break
        found_B = chosen_classes(scores_BK, classes_B)
        check_rules(scores_BK, layer.name)
        start_BK = functional.one_hot(found_B, scores_BK.shape[1]) * (1 + 1 / scores_BK.shape[1]) - 1 / scores_BK.shape[1]
        with torch.enable_grad():
            score = (scores_BK * start_BK).sum()
        relevance = gradients(score, [outputs[layer.name]])[0]
        features_BCtyx, relevance_BCtyx = (layer.volume(each, len(clip_BCTYX)).float() for each in (outputs[layer.name], relevance))
    map_Btyx = (relevance_BCtyx.mean((2, 3, 4), keepdim=True) * features_BCtyx).sum(1)
    return class_map(map_Btyx, clip_BCTYX, name="relevance_cam", logits_BK=scores_BK, classes_B=found_B)


def check_rules(scores_BK: Tensor, layer: str) -> None:
    """Raise ValueError where relevance cannot be followed from scores down to a layer."""
    if not scores_BK.requires_grad:
        raise ValueError(
            f"No relevance of the answer reaches {layer}: gates, which sigmoid and softmax make, hand none on; name a layer that "
            "the answer depends on otherwise, or take gradcam."
        )
    unknown = unruled(scores_BK)
    if unknown:
        raise ValueError(
            f"relevance_cam has no rule for {', '.join(unknown)} (as autograd names it) between {layer} and the answer; "
            "name a layer behind it, or take gradcam."
        )


@contextmanager
def plain_activations(net: nn.Module) -> Iterator[None]:
    """Have pytorchvideo's own Swish compute as PyTorch's SiLU, since operations inside an autograd function cannot be seen."""

    def activate(_module: nn.Module, inputs: tuple[Tensor, ...], _output: Tensor) -> Tensor:
        return functional.silu(inputs[0])

    handles = [module.register_forward_hook(activate) for module in net.modules() if type(module).__name__ == "Swish"]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
