"""One network measured on one batch: its answer, its own maps, and those of explainers, every map on the network's own grid."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from objabn.comparison.quantities import ANSWER, chosen_measures
from objabn.explainers import explain, find_method
from objabn.explainers.explanation import enlarge, stretched
from objabn.faithfulness import average_drop, deletion, insertion
from objabn.metrics import attention_entropy, energy_pointing, flat_frames, mask_iou, pointing, soft_iou, temporal_consistency
from objabn.models.network import AttentionNetwork, evaluating
from objabn.training.precision import as_float32
from objabn.types import Batch, Output

OWN = "attention"
"""The method that is the network's own maps; its table holds the network's answer too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measuring:
    """What is measured, and how."""

    methods: tuple[str, ...] = (OWN,)
    """Names of `objabn.explainers.METHODS`; the network's own maps are always among them."""
    explained: Literal["predicted", "true"] = "predicted"
    """The class that explainers explain, and that insertion, deletion, drop and increase ask about."""
    layer: str | None = None
    """Of the explainers, as `objabn.explain` has it."""
    measures: tuple[str, ...] = ()
    """Names of `quantities.MEASURES`; none means all."""
    steps: int = 16
    """Parts in which a clip appears and vanishes."""
    tolerance: float = 0.0
    """Cells by which objects are enlarged for pointing."""

    def __post_init__(self) -> None:
        """Put names in their own order; refuse those that are not known."""
        for name in self.methods:
            find_method(name)
        object.__setattr__(self, "methods", tuple(dict.fromkeys((OWN, *self.methods))))
        object.__setattr__(self, "measures", chosen_measures(self.measures))
        if self.steps < 1 or self.tolerance < 0:
            raise ValueError(f"steps={self.steps}, tolerance={self.tolerance} is not possible; they must be at least 1 and at least 0.")


class Drawn(NamedTuple):
    """Maps of the clips of a batch that are present."""

    names: tuple[str, ...]
    """Of the N rows."""
    on_grid: Tensor
    """(B, N, T, y, x) on the network's own grid, where their place is measured."""
    on_clip: Tensor
    """(B, N, T, Y, X) at the clip's resolution, where the network is asked again."""
    classes: Tensor
    """(B,) that the network is asked about."""
    seconds: float
    """For a clip."""


def draw_own(net: AttentionNetwork, batch: Batch, settings: Measuring) -> tuple[Drawn, Output]:
    """Return the network's own maps, and its answer to the whole batch, as `objabn.evaluate` asks for it: padding changes the rounding."""
    with evaluating(net), torch.inference_mode():
        begin = now(batch.clip)
        output = as_float32(net(batch.clip))
        seconds = (now(batch.clip) - begin) / len(batch.clip)
        maps_BNTYX = output.maps[batch.present]
        on_clip = enlarge(maps_BNTYX, size_TYX=tuple(batch.clip.shape[2:]))
    classes_B = batch.label if settings.explained == "true" else output.logits.argmax(1)
    return Drawn(net.map_names, maps_BNTYX, on_clip, classes_B[batch.present], seconds), output


def draw(net: AttentionNetwork, batch: Batch, method: str, settings: Measuring) -> Drawn:
    """Return the maps of an explainer for a batch without padding; on the grid, a cell has the mean of its pixels."""
    begin = now(batch.clip)
    classes_B = batch.label if settings.explained == "true" else None
    found = explain(net, batch.clip, method=method, classes=classes_B, layer=settings.layer)
    seconds = (now(batch.clip) - begin) / len(batch.clip)
    on_grid = functional.adaptive_avg_pool3d(found.maps, (found.maps.shape[2], batch.mask.shape[-2], batch.mask.shape[-1]))
    names = (method,) if len(found.names) == 1 else tuple(f"{method} {name}" for name in found.names)
    return Drawn(names, on_grid, found.maps, found.classes, seconds)


def now(tensor: Tensor) -> float:
    """Return the time in seconds once all work on the tensor's device is done."""
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)
    return time.perf_counter()


def measured(net: AttentionNetwork, batch: Batch, drawn: Drawn, settings: Measuring) -> dict[str, Tensor]:
    """Return each quantity of the maps of a batch without padding as (B, N)."""
    found = place_of(drawn, batch, settings) | {"seconds": torch.full(drawn.on_grid.shape[:2], drawn.seconds)}
    asked = [name for name in settings.measures if name in ANSWER]
    columns = [meaning_of(net, batch.clip, maps_BTYX, drawn.classes, asked, settings.steps) for maps_BTYX in drawn.on_clip.unbind(1)]
    return found | {name: torch.stack([column[name] for column in columns], 1) for name in asked}


def place_of(drawn: Drawn, batch: Batch, settings: Measuring) -> dict[str, Tensor]:
    """Return what maps on the grid are worth, each quantity as (B, N); M_b is compared with what is no object."""
    maps_BNTYX = drawn.on_grid
    coverage_BNTYX = batch.mask[:, None].expand_as(maps_BNTYX)
    valid_BNT = batch.mask_valid[:, None].expand(maps_BNTYX.shape[:3])
    # Explainers stretch a clip's map; those of a network, which have a floor, would be worse for that alone.
    even_BNTYX = stretched(maps_BNTYX.flatten(0, 1)).view_as(maps_BNTYX)
    measures = {
        "entropy": lambda: attention_entropy(maps_BNTYX).mean(-1),
        "entropy_pixels": lambda: attention_entropy(drawn.on_clip).mean(-1),
        "mask_iou": lambda: by_map(mask_iou, drawn, batch),
        "soft_iou": lambda: by_map(soft_iou, drawn, batch),
        "pointing": lambda: pointing(maps_BNTYX, coverage_BNTYX, valid_BNT, tolerance=settings.tolerance),
        "energy_pointing": lambda: energy_pointing(even_BNTYX, coverage_BNTYX, valid_BNT),
        "temporal_consistency": lambda: temporal_consistency(maps_BNTYX),
    }
    wanted = {name: measure() for name, measure in measures.items() if name in settings.measures}
    return wanted | {"flat_frames": flat_frames(maps_BNTYX).sum(-1)}


def by_map(measure: Callable[..., Tensor], drawn: Drawn, batch: Batch) -> Tensor:
    """Return an overlap of each map as (B, N)."""
    columns = [
        measure(drawn.on_grid[:, place], batch.mask, batch.mask_valid, complement=name == "M_b") for place, name in enumerate(drawn.names)
    ]
    return torch.stack(columns, 1)


def meaning_of(
    net: AttentionNetwork, clip_BCTYX: Tensor, maps_BTYX: Tensor, classes_B: Tensor, names: Sequence[str], steps: int
) -> dict[str, Tensor]:
    """Return what the network says of clips that are changed by a map, each quantity as (B,)."""
    clips, found = len(clip_BCTYX), {}
    for name, curve in (("insertion", insertion), ("deletion", deletion)):
        if name in names:
            found[name] = curve(net, clip_BCTYX, maps_BTYX, classes=classes_B, steps=steps, batch_clips=clips).auc
    if "average_drop" in names or "average_increase" in names:
        lost = average_drop(net, clip_BCTYX, maps_BTYX, classes=classes_B, batch_clips=clips)
        found |= {"average_drop": lost.drop, "average_increase": lost.is_increase.float()}
    return found


def without_padding(batch: Batch) -> Batch:
    """Return the batch of the clips that are present."""
    return batch if bool(batch.present.all()) else Batch(*(column[batch.present] for column in batch))
