"""Whether maps depend on what a network has learnt: its weights are drawn anew from the top down (Adebayo et al. 2018)."""

import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from objabn.explainers import explain
from objabn.explainers.explanation import Method
from objabn.explainers.subject import Classes, subject_of
from objabn.faithfulness.forgetting import forget, stages_from_top
from objabn.metrics import flat_frames, normalize_frames, spearman, structural_similarity


class Randomisation(NamedTuple):
    """How much of a map is left after each stage: 1 is all of it, and then the map does not show what was learnt there."""

    stages: tuple[str, ...]
    """Of the S stages, from the answer down to the clip, the part of the network that forgot."""
    names: tuple[str, ...]
    """Of the N maps."""
    spearman: Tensor
    """(S, B, N) rank correlation over a clip's voxels; 0 where the map became flat, NaN where it was from the beginning."""
    ssim: Tensor
    """(S, B, N) structural similarity of the stretched frames (Wang et al. 2004), mean over a clip."""


def randomisation_check(
    net: nn.Module,
    clip: Tensor,
    method: str | Method = "attention",
    *,
    classes: Classes | None = None,
    cascade: bool = True,
    seed: int = 0,
    **options: Any,
) -> Randomisation:
    """Compare the maps of clips (B, C, T, Y, X) with those of copies of the network that forgot what they learnt.

    With `cascade` each stage forgets besides those above it, otherwise by itself. The network itself stays as it is, and maps are
    always of the class that it predicts unless others are given. `options` are those of `objabn.explain`; name a `layer` where it should
    not be looked for again in each copy. A method whose map does not change does not explain this network, an edge detector for one;
    but a map that a stage does not enter has nothing to forget there: attention maps change from the branch down.
    """
    original = explain(net, clip, method=method, classes=classes, **options)
    stages = stages_from_top(subject_of(net), clip[:1])
    if not stages:
        raise ValueError(f"{type(net).__name__} has no weights that it could forget.")
    changed = copy.deepcopy(net)
    rows = []
    for number, stage in enumerate(stages):
        if not cascade:
            changed = copy.deepcopy(net)
        forget(changed, stage, seed=seed + number)
        found = explain(changed, clip, method=method, classes=original.classes, **options)
        frames, others = normalize_frames(original.maps), normalize_frames(found.maps)
        rows.append((rank_likeness(original.maps, found.maps), structural_similarity(frames, others).mean(-1)))
    return Randomisation(tuple(stage.name for stage in stages), original.names, *(torch.stack(each) for each in zip(*rows, strict=True)))


def rank_likeness(maps_BNTYX: Tensor, others_BNTYX: Tensor) -> Tensor:
    """Return (B, N) rank correlations over all voxels, 0 where only the other map is flat."""
    volumes = [each.flatten(2) for each in (maps_BNTYX, others_BNTYX)]
    was_flat, is_flat = (flat_frames(each[:, :, None]) for each in volumes)
    return spearman(*volumes).masked_fill(is_flat & ~was_flat, 0)
