"""Class Feature Pyramids (Stergiou et al. 2019): from a class back to the channels that made it, and theirs, layer by layer."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from objabn.explainers.explanation import Explanation, class_map, enlarge, nonzero, stretched
from objabn.explainers.feature_pyramids_chain import Link, find_chain
from objabn.explainers.layers import find_layer
from objabn.explainers.subject import Subject, chosen_classes
from objabn.models.network import evaluating
from objabn.models.per_frame import unfold_frames


def feature_pyramids(
    subject: Subject, clip_BCTYX: Tensor, classes_B: Tensor | None = None, *, theta: float = 0.6, depth: int = 3, own_group: bool = False
) -> Explanation:
    """Return the sum over `depth` layers of the features of the channels that a class goes back to, each layer counted alike.

    From the class, kernel c of the classifier, and then from every kernel i that was kept, the channels j before it are weighed by
    r_j = mean(kernel_ij) mean(A_j); r is divided by its sum and stretched to [0, 1], and those with r_j >= `theta` are kept. Each layer's
    kept channels, taken once, are added up, enlarged and stretched to [0, 1] over the clip; layers behind the last pool are gone through
    but draw nothing. Where the classifier reads the pooled features of the subject's layer, these are drawn too, beside the `depth`
    layers. Kernels of grouped convolutions are repeated to all channels, as the authors' code does; with `own_group` they weigh
    those of their group alone, so that a depthwise convolution hands on the very channels that it got.

    Dividing by the sum turns the order round where it is negative. The authors' code keeps the classifier's channels by its weights
    alone, and shows every kernel as a film of its own; here the features count from the first step on, and one map is returned. The code
    is given a list of layers for each architecture; here they are found (`find_chain`). Two passes; ValueError where they are not.
    """
    if not 0 <= theta <= 1 or depth < 1:
        raise ValueError(f"theta={theta}, depth={depth} is not possible; theta must be from 0 to 1 and depth at least 1.")
    chain = drawn_links(find_chain(subject, clip_BCTYX), depth)
    inputs, scores_BK = read_inputs(subject, clip_BCTYX, chain)
    found_B = chosen_classes(scores_BK, classes_B)
    kept_BI = nn.functional.one_hot(found_B, chain[0].outputs).bool()
    total_BTYX = torch.zeros((len(clip_BCTYX), *clip_BCTYX.shape[2:]), device=clip_BCTYX.device)
    for link, features_BJtyx in zip(chain, inputs, strict=True):
        kernels_IJ, counts_IJ = pooled_kernels(subject.net.get_submodule(link.name), own_group=own_group)
        pooled_BJ = features_BJtyx.mean((2, 3, 4))
        kept_BI = torch.stack(
            [keep(kernels_IJ[kept], counts_IJ[kept], pooled_J, theta) for kept, pooled_J in zip(kept_BI, pooled_BJ, strict=True)]
        )
        if features_BJtyx.shape[-1] * features_BJtyx.shape[-2] > 1:
            map_B1tyx = torch.einsum("bj,bjtyx->btyx", kept_BI.to(features_BJtyx.dtype), features_BJtyx)[:, None]
            total_BTYX += stretched(enlarge(map_B1tyx, size_TYX=tuple(clip_BCTYX.shape[2:]))[:, 0])
    return class_map(total_BTYX, clip_BCTYX, name="feature_pyramids", logits_BK=scores_BK, classes_B=found_B)


def drawn_links(chain: list[Link], depth: int) -> list[Link]:
    """Return the chain down to the last of `depth` links that read features with places."""
    with_places = [number for number, link in enumerate(chain) if link.places_in]
    return chain[: with_places[:depth][-1] + 1] if with_places else chain


def read_inputs(subject: Subject, clip_BCTYX: Tensor, chain: list[Link]) -> tuple[list[Tensor], Tensor]:
    """Return what each link reads as (B, J, t, y, x), the classifier the subject's layer where it pools that, and the scores."""
    layer = find_layer(subject, clip_BCTYX)
    inputs: dict[str, Tensor] = {}
    output: dict[str, Tensor] = {}
    clips = len(clip_BCTYX)

    def note_input(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda module, given: inputs.update({name: with_axes(given[0], clips, is_linear=isinstance(module, nn.Linear))})

    handles = [subject.net.get_submodule(link.name).register_forward_pre_hook(note_input(link.name)) for link in chain]
    handles.append(subject.net.get_submodule(layer.name).register_forward_hook(lambda _module, _given, gave: output.update(layer=gave)))
    try:
        with torch.inference_mode(), evaluating(subject.net):
            scores_BK = subject.scores(clip_BCTYX)
    finally:
        for handle in handles:
            handle.remove()
    features = [inputs[link.name].float() for link in chain]
    last = layer.volume(output["layer"], clips).float()
    if not chain[0].places_in and last.shape[1] == chain[0].inputs:
        features[0] = last
    return features, scores_BK


def with_axes(features: Tensor, clips: int, *, is_linear: bool) -> Tensor:
    """Return what a layer reads as (B, J, t, y, x), frames that stand for themselves in the batch put in their places."""
    if is_linear:
        features = features[:, None, None] if features.ndim == 2 else features
        features = features.movedim(-1, 1)
    return features if features.ndim == 5 else unfold_frames(features, clips, len(features) // clips)


def pooled_kernels(layer: nn.Module, *, own_group: bool) -> tuple[Tensor, Tensor]:
    """Return the mean of each kernel over its places for all channels (I, J), and which of these count."""
    assert isinstance(layer, nn.Conv2d | nn.Conv3d | nn.Linear)
    groups = 1 if isinstance(layer, nn.Linear) else layer.groups
    kernels_Ij = layer.weight.detach().float().reshape(*layer.weight.shape[:2], -1).mean(2)
    if own_group and groups > 1:
        return kernels_Ij.repeat(1, groups), torch.block_diag(*torch.ones_like(kernels_Ij).chunk(groups)).bool()
    # As the authors' code lays them out: each value `groups` times in a row.
    repeated_IJ = kernels_Ij.repeat_interleave(groups, 1)
    return repeated_IJ, torch.ones_like(repeated_IJ, dtype=torch.bool)


def keep(kernels_IJ: Tensor, counts_IJ: Tensor, pooled_J: Tensor, theta: float) -> Tensor:
    """Return which channels J at least one of the kernels I keeps; where a kernel has one channel to choose from, it keeps that."""
    weights = kernels_IJ * pooled_J * counts_IJ
    weights = weights / nonzero(weights.sum(1, keepdim=True))
    low = weights.masked_fill(~counts_IJ, torch.inf).amin(1, keepdim=True)
    high = weights.masked_fill(~counts_IJ, -torch.inf).amax(1, keepdim=True)
    is_only = counts_IJ.sum(1, keepdim=True) == 1
    is_high = (weights - low) / nonzero(high - low) >= theta
    return (counts_IJ & (is_high | is_only)).any(0)
