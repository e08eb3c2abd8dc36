"""From settings to a network: the only place that reads `ModelConfig`."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from objabn.config import ModelConfig
from objabn.models.branches import AttentionBranch
from objabn.models.finetuning import load_complete
from objabn.models.gating import MergingGate, SingleGate
from objabn.models.model_files import is_complete_model, model_file
from objabn.models.network import AttentionNetwork
from objabn.models.sizes import BACKBONES
from objabn.models.weights import WeightsReport, load_weights
from objabn.models.x3d import X3D, build_x3d


def object_map_names(heads: int) -> tuple[str, ...]:
    """Name the maps: M_o alone, or M_u, M_o, M_b and further free ones M_3, M_4, ... (Object-ABN section 3.3)."""
    if heads == 1:
        return ("M_o",)
    return ("M_u", "M_o", "M_b", *(f"M_{place}" for place in range(3, heads)))


SYSTEMS: dict[str, Callable[[int], tuple[str, ...]]] = {
    "abn": lambda _heads: ("M_u",),
    "object_abn": object_map_names,
}


def create_model(
    backbone: str,
    *,
    classes: int,
    system: Literal["abn", "object_abn"] = "object_abn",
    heads: int = 1,
    weights: str | None = None,
    clip_frames: int = 16,
    clip_size: int = 224,
    cut: int = 4,
    attention_blocks: Literal["next", "same"] = "next",
    attention_init: Literal["pretrained", "random"] = "pretrained",
    class_head: Literal["conv", "gap"] = "conv",
    map_kernel: Literal[1, 3] = 1,
    apply: Literal["product", "residual"] = "product",
    merge_init: Literal["mean", "random"] = "mean",
    dropout: float = 0.5,
    replace_classes: bool = False,
) -> AttentionNetwork:
    """Build a network by name; the arguments are those of `ModelConfig`, and without `weights` it starts at random."""
    config = ModelConfig(
        backbone=backbone,
        system=system,
        heads=heads,
        weights="none" if weights is None else weights,
        cut=cut,
        attention_blocks=attention_blocks,
        attention_init=attention_init,
        class_head=class_head,
        map_kernel=map_kernel,
        apply=apply,
        merge_init=merge_init,
        dropout=dropout,
        replace_classes=replace_classes,
    )
    return build_model(config, classes=classes, clip_frames=clip_frames, clip_size=clip_size)


def build_model(
    config: ModelConfig, *, classes: int, clip_frames: int, clip_size: int, class_names: tuple[str, ...] | None = None
) -> AttentionNetwork:
    """Build the network of `config` and load its weights, a backbone's or a complete network's; `weights_report` says what was loaded."""
    if classes < 1:
        raise ValueError(f"classes={classes} is not possible; a network needs at least one class.")
    backbone = build_x3d(
        config.backbone,
        classes=classes,
        cut=config.cut,
        clip_frames=clip_frames,
        clip_size=clip_size,
        dropout=config.dropout,
    )
    start = complete_start(config.weights)
    report = load_backbone(backbone, config) if start is None else None
    # The branch may start from the backbone's own blocks, so it comes after the weights.
    blocks, channels = backbone.branch_blocks(config.attention_blocks, pretrained=config.attention_init == "pretrained")
    branch = AttentionBranch(
        blocks, channels, classes=classes, heads=config.heads, class_head=config.class_head, map_kernel=config.map_kernel
    )
    net = AttentionNetwork(
        backbone,
        branch,
        build_gate(config, backbone.channels),
        config=config,
        map_names=SYSTEMS[config.system](config.heads),
        classes=classes,
        clip_frames=clip_frames,
        clip_size=clip_size,
    )
    net.class_names = class_names
    net.weights_report = report if start is None else load_complete(net, start, replace_classes=config.replace_classes)
    # Clips arrive with their channels last; convolutions that keep them there take half the time on a CPU.
    return net.to(memory_format=torch.channels_last_3d)


def load_backbone(backbone: X3D, config: ModelConfig) -> WeightsReport:
    """Load the weights of `config` into a backbone."""
    kinetics400 = BACKBONES[config.backbone].kinetics400
    return load_weights(backbone, config.weights, kinetics400=kinetics400, classifier=backbone.classifier, name=config.backbone)


def complete_start(weights: str) -> Path | None:
    """Return the file of the complete network that `weights` means: a run, an exported folder or a file; None if it means anything else."""
    path = None if weights in ("kinetics400", "none") else model_file(weights)
    return path if path is not None and is_complete_model(path) else None


def build_gate(config: ModelConfig, channels: int) -> nn.Module:
    """Build what applies the maps to `channels` features."""
    if config.heads == 1:
        return SingleGate(config.apply)
    return MergingGate(channels, config.heads, merge_init=config.merge_init)
