"""3DCAM: what every stage of a network says for one class, summed from the first to the last (Yudistira et al. 2020)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from objabn.models.network import AttentionNetwork, evaluating
from objabn.training.precision import as_float32
from objabn.types import Output

Stages = dict[str, Any]
"""What the modules of `stage_names` gave: a tensor, or several in a list or tuple, sizes among them."""


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
    with torch.inference_mode(mode=False), torch.enable_grad(), evaluating(net), captured(net) as stages:
        output = net(clip_BCTYX)
        score = output.logits.gather(1, chosen_classes(output.logits, classes_B)[:, None]).sum()
        tensors = [part for stage in stages.values() for part in parts(stage) if isinstance(part, Tensor)]
        # Clips do not meet in a network that evaluates, so the gradient of the sum is each clip's own.
        gradients = iter(torch.autograd.grad(score, tensors, allow_unused=True))
    total_BTYX = torch.zeros((len(clip_BCTYX), *clip_BCTYX.shape[2:]), device=clip_BCTYX.device)
    for stage in stages.values():
        slopes = with_tensors(stage, lambda part: zeros_for_none(next(gradients), part))
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


def chosen_classes(logits_BK: Tensor, classes_B: Tensor | None) -> Tensor:
    """Return the classes to be explained, (B,): those given, else the predicted ones."""
    if classes_B is None:
        return logits_BK.argmax(1)
    clips, count = logits_BK.shape
    if classes_B.shape != (clips,) or not ((classes_B >= 0) & (classes_B < count)).all():
        raise ValueError(
            f"classes_B={classes_B.tolist()} is not possible; it must be a class from 0 to {count - 1} for each of {clips} clips."
        )
    return classes_B.to(logits_BK.device)


def stretched(maps_BTYX: Tensor) -> Tensor:
    """Stretch each clip's map to [0, 1]; a flat one becomes zeros."""
    low, high = (extreme((1, 2, 3), keepdim=True) for extreme in (maps_BTYX.amin, maps_BTYX.amax))
    return (maps_BTYX - low) / nonzero(high - low)


def nonzero(divisor: Tensor) -> Tensor:
    """Put 1 in the place of 0, under a numerator that is 0 there as well."""
    return torch.where(divisor == 0, 1, divisor)


@contextmanager
def captured(net: AttentionNetwork) -> Iterator[Stages]:
    """Collect what the backbone's stages give, as tensors that a gradient can be taken at, even where all weights are frozen."""
    stages: Stages = {}
    handles = []
    try:
        for name in net.backbone.stage_names:
            handles.append(net.backbone.get_submodule(name).register_forward_hook(collector(stages, name)))
        yield stages
    finally:
        for handle in handles:
            handle.remove()


def collector(stages: Stages, name: str) -> Callable[[nn.Module, Any, Any], Any]:
    """Return a hook that keeps what a module gave and hands on a copy, which what follows may change in place."""

    def collect(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        stages[name] = with_tensors(output, lambda part: part if part.requires_grad else part.detach().requires_grad_())
        return with_tensors(stages[name], torch.clone)

    return collect


def parts(output: Any) -> list[Any]:
    """Return what a module gave, one by one."""
    return [output] if isinstance(output, Tensor) else list(output)


def with_tensors(output: Any, replace: Callable[[Tensor], Tensor]) -> Any:
    """Return what a module gave with other tensors in it."""
    replaced = [replace(part) if isinstance(part, Tensor) else part for part in parts(output)]
    return replaced[0] if isinstance(output, Tensor) else type(output)(replaced)


def zeros_for_none(gradient: Tensor | None, part: Tensor) -> Tensor:
    """Return the gradient, which torch does not give where the answer does not depend on a tensor."""
    return torch.zeros_like(part) if gradient is None else gradient
