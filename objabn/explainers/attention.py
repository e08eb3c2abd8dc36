"""The explanation that the network itself acts on: its own maps."""

import torch
from torch import Tensor

from objabn.explainers.explanation import Explanation, enlarge
from objabn.explainers.subject import Subject, chosen_classes
from objabn.models.network import AttentionNetwork, evaluating
from objabn.training.precision import as_float32


def attention(subject: Subject, clip_BCTYX: Tensor, classes_B: Tensor | None = None) -> Explanation:
    """Return the network's own maps at the resolution of the clip: the same for every class, and not stretched."""
    net = subject.net
    if not isinstance(net, AttentionNetwork) or not net.map_names:
        name = f"System {net.config.system}" if isinstance(net, AttentionNetwork) else type(net).__name__
        raise ValueError(f"{name} draws no maps of its own; take gradcam or another method for any network.")
    with torch.inference_mode(), evaluating(net):
        output = as_float32(net(clip_BCTYX))
    maps_BNTYX = enlarge(output.maps, size_TYX=tuple(clip_BCTYX.shape[2:]))
    return Explanation(maps_BNTYX, net.map_names, output.logits, chosen_classes(output.logits, classes_B))
