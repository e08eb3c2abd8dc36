"""Average drop and increase: what the answer loses where a map fades the clip (Chattopadhay et al. 2018)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from objabn.explainers.explanation import nonzero, stretched
from objabn.explainers.subject import Classes, Subject
from objabn.faithfulness.asking import as_subject, ask_whole, clips_of, fitted, flat_maps, probabilities
from objabn.models.network import evaluating


class Drop(NamedTuple):
    """What the probability of one class of each clip becomes where only its map lets the clip through."""

    drop: Tensor
    """(B,) percent of the probability that is lost, 0 where it grows; its mean over clips is the average drop: less is better."""
    is_increase: Tensor
    """(B,) the probability grows; 100 times the share of these clips is the average increase: more is better."""
    is_flat: Tensor
    """(B,) the map is the same everywhere, which hides the whole clip."""


def average_drop(net: nn.Module | Subject, clip: Tensor, maps: Tensor, *, classes: Classes | None = None, batch_clips: int = 8) -> Drop:
    """Return what clips (B, C, T, Y, X) lose where they fade to the network's baseline as their maps (B, t, y, x) say.

    Each clip's map is enlarged linearly and stretched to [0, 1], so that a pale one does not lose for being pale: 1 keeps a voxel, 0
    hides it. Clips are clipped at 0 one by one, before any mean. The class is the one predicted for the whole clip unless given.
    """
    subject = as_subject(net)
    with torch.inference_mode(), evaluating(subject.net):
        clip_BCTYX = clips_of(subject, clip)
        visible_BTYX = stretched(fitted(maps, clip_BCTYX))
        asked = ask_whole(subject, clip_BCTYX, classes, batch_clips=batch_clips)

        def faded(numbers: Tensor) -> Tensor:
            return subject.fade(clip_BCTYX[numbers], visible_BTYX[numbers])

        left_B = probabilities(subject, asked.classes, faded, batch_clips=batch_clips)
        drop_B = 100 * (asked.probabilities - left_B).relu() / nonzero(asked.probabilities)
    return Drop(drop_B, left_B > asked.probabilities, flat_maps(visible_BTYX))
