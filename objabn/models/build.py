"""From settings to a network: the only place that reads `ModelConfig`."""

from pathlib import Path
from typing import Literal

from objabn.config import ModelConfig
from objabn.models.backbone import Backbone
from objabn.models.backbones import build_backbone
from objabn.models.finetuning import is_of_other_system, load_backbone_of, load_complete
from objabn.models.model_files import is_complete_model, model_file
from objabn.models.network import AttentionNetwork, channels_last
from objabn.models.sizes import published
from objabn.models.systems import SYSTEMS, Sizes
from objabn.models.weights import WeightsReport, load_weights


def create_model(
    backbone: str,
    *,
    classes: int,
    system: Literal["abn", "object_abn", "st_abn", "saliency_lstm", "gated", "plain"] = "object_abn",
    heads: int = 1,
    weights: str | None = None,
    clip_frames: int = 16,
    clip_size: int = 224,
    cut: int = 4,
    attention_blocks: Literal["next", "same"] = "next",
    attention_init: Literal["pretrained", "random"] = "pretrained",
    class_head: Literal["conv", "gap"] = "conv",
    map_kernel: Literal[1, 3] = 1,
    map_gain: float = 1.0,
    apply: Literal["product", "residual"] = "product",
    merge_init: Literal["mean", "random"] = "mean",
    merge_activation: Literal["relu", "none"] = "relu",
    temporal: Literal["paper", "fast"] = "paper",
    hidden_channels: int = 512,
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
        map_gain=map_gain,
        apply=apply,
        merge_init=merge_init,
        merge_activation=merge_activation,
        temporal=temporal,
        hidden_channels=hidden_channels,
        dropout=dropout,
        replace_classes=replace_classes,
    )
    return build_model(config, classes=classes, clip_frames=clip_frames, clip_size=clip_size)


def build_model(
    config: ModelConfig, *, classes: int, clip_frames: int, clip_size: int, class_names: tuple[str, ...] | None = None
) -> AttentionNetwork:
    """Build the network of `config` and load its weights; `weights_report` says what was loaded.

    These are a backbone's, or a complete network's: all of one of the same system, the backbone of one of another.
    """
    if classes < 1:
        raise ValueError(f"classes={classes} is not possible; a network needs at least one class.")
    sizes = Sizes(classes, clip_frames, clip_size)
    backbone = build_backbone(config.backbone, cut=config.cut, dropout=config.dropout, **sizes._asdict())
    start = complete_start(config.weights)
    is_whole = start is not None and not is_of_other_system(config, start)
    report = None if is_whole else load_backbone(backbone, config, start)
    # The branch may start from the backbone's own blocks, so it comes after the weights.
    net = SYSTEMS[config.system](backbone, config, sizes)
    net.class_names = class_names
    net.weights_report = load_complete(net, start, replace_classes=config.replace_classes) if is_whole and start else report
    return channels_last(net)


def load_backbone(backbone: Backbone, config: ModelConfig, start: Path | None) -> WeightsReport:
    """Load the weights of `config` into a backbone; `start` is the network of another system that they mean, if they do."""
    if start is not None:
        return load_backbone_of(backbone, start)
    setting = published(config.backbone)
    return load_weights(
        backbone,
        config.weights,
        kinetics400=setting.kinetics400,
        imagenet=setting.imagenet,
        classifier=backbone.classifier,
        name=config.backbone,
    )


def complete_start(weights: str) -> Path | None:
    """Return the file of the complete network that `weights` means: a run, an exported folder or a file; None if it means anything else."""
    path = None if weights in ("kinetics400", "imagenet", "none") else model_file(weights)
    return path if path is not None and is_complete_model(path) else None
