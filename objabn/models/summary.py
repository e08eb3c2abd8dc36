"""How large networks are, counted on clips without values: parameters, multiply-adds of a clip, and the grid of the maps."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from objabn.config import ModelConfig
from objabn.models.backbone import Backbone
from objabn.models.backbones import build_backbone
from objabn.models.build import build_model
from objabn.models.network import count_parameters
from objabn.models.sizes import published

KINETICS400_CLASSES = 400


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSummary:
    """A network at one size of clip."""

    backbone: str
    """Name of the network that is cut in two."""
    system: str | None
    """Attention system; None for the backbone alone."""
    map_names: tuple[str, ...]
    """One for each map; () for the backbone alone."""
    clip_frames: int
    """Frames of the clip."""
    clip_size: int
    """Side of its pictures in pixels."""
    parameters: int
    """Trainable values, with a classifier of 400 classes."""
    multiply_adds: int
    """Multiplications, each with its addition, in the convolutions and matrix products of one clip: what papers call FLOPs."""
    grid: tuple[int, int]
    """Rows and columns of the features behind the stem, and so of the maps."""
    kinetics400: str | None
    """Address of the backbone's published weights from Kinetics-400."""
    imagenet: str | None
    """Name in timm of the network whose weights from ImageNet the backbone can take."""


def summarize_backbone(name: str, *, clip_frames: int | None = None, clip_size: int | None = None, cut: int = 4) -> ModelSummary:
    """Count a backbone alone; without sizes, at the clip it was published with."""
    frames, size = clip_shape(name, clip_frames, clip_size)
    net = build_backbone(name, classes=KINETICS400_CLASSES, cut=cut, clip_frames=frames, clip_size=size, dropout=0.0).eval()
    multiply_adds, grid = count(partial(features_of, net), frames, size)
    return ModelSummary(
        backbone=name,
        system=None,
        map_names=(),
        clip_frames=frames,
        clip_size=size,
        parameters=count_parameters(net),
        multiply_adds=multiply_adds,
        grid=grid,
        kinetics400=published(name).kinetics400,
        imagenet=published(name).imagenet,
    )


def summarize_system(model: ModelConfig, *, clip_frames: int | None = None, clip_size: int | None = None) -> ModelSummary:
    """Count a backbone with its attention system; without sizes, at the clip the backbone was published with."""
    frames, size = clip_shape(model.backbone, clip_frames, clip_size)
    net = build_model(replace(model, weights="none"), classes=KINETICS400_CLASSES, clip_frames=frames, clip_size=size).eval()
    multiply_adds, grid = count(lambda clip: net(clip).maps, frames, size)
    return ModelSummary(
        backbone=model.backbone,
        system=model.system,
        map_names=net.map_names,
        clip_frames=frames,
        clip_size=size,
        parameters=count_parameters(net),
        multiply_adds=multiply_adds,
        grid=grid,
        kinetics400=published(model.backbone).kinetics400,
        imagenet=published(model.backbone).imagenet,
    )


def clip_shape(backbone: str, clip_frames: int | None, clip_size: int | None) -> tuple[int, int]:
    """Return frames and side of a clip, those of the publication where nothing else is asked for."""
    setting = published(backbone)
    return setting.clip_frames if clip_frames is None else clip_frames, setting.clip_size if clip_size is None else clip_size


def features_of(net: Backbone, clip: Tensor) -> Tensor:
    """Run all of a backbone and return the features behind its stem."""
    features = net.stem(clip)
    net.tail(features)
    return features[0]


def count(run: Callable[[Tensor], Tensor], frames: int, size: int) -> tuple[int, tuple[int, int]]:
    """Run a network on one clip without values; return its multiply-adds, and rows and columns of the tensor it returns."""
    # Clips on the device `meta` would do, but autocast does not know it.
    with FakeTensorMode(allow_non_fake_inputs=True), FlopCounterMode(display=False) as counter, torch.no_grad():
        drawn = run(torch.empty(1, 3, frames, size, size))
    # PyTorch counts a multiplication and its addition as two operations.
    return counter.get_total_flops() // 2, (drawn.shape[-2], drawn.shape[-1])
