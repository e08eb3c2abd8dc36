"""Score-CAM: each channel of a layer is a mask over the clip, weighed by what the network makes of what it leaves visible."""

from typing import Literal

import torch
from torch import Tensor

from objabn.explainers.evidence import Activations, activations
from objabn.explainers.explanation import Explanation, class_map, enlarge, stretched
from objabn.explainers.subject import Subject
from objabn.models.network import evaluating

MOST_CLIPS = 16
CPU_PIXELS = 200_000
"""X3D-M's seconds a clip: at 16 frames of 112 pixels least in batches of 1, at 64 pixels of 2 to 4, at 4 frames of 32 of 16 or more."""


def scorecam(
    subject: Subject,
    clip_BCTYX: Tensor,
    classes_B: Tensor | None = None,
    *,
    softmax: Literal["channels", "classes"] = "channels",
    channels: int | None = None,
    batch_clips: int | None = None,
) -> Explanation:
    """Return relu(sum_k w_k A_k), w_k from the class's score of the clip with channel k, stretched to [0, 1], as a mask over it.

    What a mask hides fades to the subject's baseline, the mean colour. `softmax="channels"` is as printed (Wang et al. 2020, algorithm 1):
    w is the softmax of the scores over channels, from which the score of the baseline that is subtracted there drops out.
    "classes" is the authors' code: w_k is the class's probability. Flat channels hide nothing in particular and weigh nothing.

    One pass of the network for each channel: `channels` takes only as many of each clip, those with the largest standard deviation, which
    is another and coarser method, not a faster way to the same map. `batch_clips` is the number of masked clips in one pass: 16 unless
    given, and fewer on a CPU, where features that leave its caches cost more than passes.
    """
    for name, value in (("channels", channels), ("batch_clips", batch_clips)):
        if value is not None and value < 1:
            raise ValueError(f"{name}={value} is not possible; it must be 1 or more.")
    if softmax not in ("channels", "classes"):
        raise ValueError(f"softmax={softmax!r} is not possible; it must be channels (the paper) or classes (the authors' code).")
    seen = activations(subject, clip_BCTYX, classes_B)
    is_used_BC = used_channels(seen.features, channels)
    scores_BCK = masked_scores(subject, clip_BCTYX, seen, is_used_BC, batch_clips=batch_clips or usual_batch(clip_BCTYX))
    weights_BC = channel_weights(scores_BCK, seen.classes, is_used_BC, softmax)
    cam_Btyx = torch.einsum("bc,bctyx->btyx", weights_BC, seen.features).relu()
    return class_map(cam_Btyx, clip_BCTYX, name="scorecam", logits_BK=seen.scores, classes_B=seen.classes)


def usual_batch(clip_BCTYX: Tensor) -> int:
    """Return how many masked clips go through the network at once: `MOST_CLIPS`, and on a CPU no more than have `CPU_PIXELS`."""
    if clip_BCTYX.device.type != "cpu":
        return MOST_CLIPS
    return min(MOST_CLIPS, max(1, CPU_PIXELS // clip_BCTYX[0, 0].numel()))


def used_channels(features_BCtyx: Tensor, channels: int | None) -> Tensor:
    """Tell of each clip's channels (B, C) whether they are masks: those that are not flat, at most `channels` of them."""
    flat_BCn = features_BCtyx.flatten(2)
    is_used_BC = flat_BCn.amax(2) > flat_BCn.amin(2)
    if channels is not None and channels < is_used_BC.shape[1]:
        chosen = flat_BCn.std(2).topk(channels, dim=1).indices
        is_used_BC &= torch.zeros_like(is_used_BC).scatter(1, chosen, value=True)
    return is_used_BC


def masked_scores(subject: Subject, clip_BCTYX: Tensor, seen: Activations, is_used_BC: Tensor, *, batch_clips: int) -> Tensor:
    """Return the scores (B, C, K) of each clip behind each of its used channels; elsewhere zeros."""
    pairs = is_used_BC.nonzero()
    with torch.inference_mode(mode=False), torch.no_grad(), evaluating(subject.net):
        found = seen.scores.new_zeros((*is_used_BC.shape, seen.scores.shape[1]))
        for start in range(0, len(pairs), batch_clips):
            rows, places = pairs[start : start + batch_clips].unbind(1)
            masks_NTYX = enlarge(seen.features[rows, places][:, None], size_TYX=tuple(clip_BCTYX.shape[2:]))[:, 0]
            found[rows, places] = subject.scores(subject.fade(clip_BCTYX[rows], stretched(masks_NTYX))).float()
    return found


def channel_weights(scores_BCK: Tensor, classes_B: Tensor, is_used_BC: Tensor, softmax: str) -> Tensor:
    """Return the weights (B, C) of channels, 0 for those that are not used."""
    if softmax == "classes":
        scores_BCK = scores_BCK.softmax(2)
    own_BC = scores_BCK.gather(2, classes_B[:, None, None].expand(*is_used_BC.shape, 1))[..., 0]
    if softmax == "channels":
        # Where a clip has no used channel, the softmax over nothing is not a number.
        own_BC = own_BC.masked_fill(~is_used_BC, -torch.inf).softmax(1).nan_to_num()
    return own_BC * is_used_BC
