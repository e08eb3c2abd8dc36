"""What a comparison will cost, told before it begins: passes of the network for a clip, and the time of one here."""

import torch

from objabn.comparison.measuring import OWN, Measuring, now
from objabn.models.network import AttentionNetwork, evaluating

EXPLANATION = {OWN: 1, "scorecam": 1, "saliency_tubes": 1, "feature_pyramids": 1, "extremal_perturbation": 3 * 4 * 1200}
"""Passes of methods for a clip, one back counted as two; others take one forwards and one back, and scorecam one a channel besides."""
OF_MAP = {"insertion": 2, "deletion": 2, "average_drop": 2, "average_increase": 0}
"""Passes for a map beside one for each step; drop and increase share theirs."""


PASSES_TIMED = 4


def passes_of_clip(net: AttentionNetwork, method: str, settings: Measuring) -> int:
    """Return about how many passes of the network a clip takes with a method and what is measured of its maps."""
    channels = net.backbone.channels if settings.layer == "attended" else net.backbone.stage_channels[-1]
    explanation = EXPLANATION.get(method, 3) + (channels if method == "scorecam" else 0)
    asked = sum(OF_MAP[name] for name in settings.measures if name in OF_MAP)
    if "average_increase" in settings.measures and "average_drop" not in settings.measures:
        asked += OF_MAP["average_drop"]
    steps = settings.steps * sum(name in settings.measures for name in ("insertion", "deletion"))
    return explanation + (asked + steps) * (len(net.map_names) if method == OWN else 1)


def seconds_of_pass(net: AttentionNetwork) -> float:
    """Return how long one clip takes here, at best: the first pass is slow, and who else computes here will not always do so."""
    place, size = next(net.parameters()).device, net.clip_size
    # As loaders lay it out: channels last.
    clip_BCTYX = torch.zeros(1, net.clip_frames, size, size, 3, dtype=torch.uint8, device=place).permute(0, 4, 1, 2, 3)
    seconds = []
    with evaluating(net), torch.inference_mode():
        for _ in range(PASSES_TIMED):
            begin = now(clip_BCTYX)
            net(clip_BCTYX)
            seconds.append(now(clip_BCTYX) - begin)
    return min(seconds)
