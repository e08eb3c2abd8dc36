"""The attention systems by name: each a function from a backbone and settings to a network."""

from collections.abc import Callable
from typing import NamedTuple

from torch import nn

from objabn.config import ModelConfig
from objabn.models.backbone import Backbone
from objabn.models.branch_network import BranchNetwork
from objabn.models.branches import AttentionBranch
from objabn.models.gated_network import GatedNetwork
from objabn.models.gating import MergingGate, SingleGate
from objabn.models.network import AttentionNetwork
from objabn.models.plain import NoBranch, OpenGate
from objabn.models.saliency import SaliencyNetwork
from objabn.models.spatio_temporal import SpatioTemporalBranch, SpatioTemporalGate


class Sizes(NamedTuple):
    """What a network is built for."""

    classes: int
    clip_frames: int
    clip_size: int


def object_map_names(heads: int) -> tuple[str, ...]:
    """Name the maps: M_o alone, or M_u, M_o, M_b and further free ones M_3, M_4, ... (Object-ABN section 3.3)."""
    if heads == 1:
        return ("M_o",)
    return ("M_u", "M_o", "M_b", *(f"M_{place}" for place in range(3, heads)))


def attention_branch_network(backbone: Backbone, config: ModelConfig, sizes: Sizes) -> AttentionNetwork:
    """Build ABN (Fukui et al. 2019) or Object-ABN (Nitta et al. 2022)."""
    blocks, channels = backbone.branch_blocks(config.attention_blocks, pretrained=config.attention_init == "pretrained")
    branch = AttentionBranch(
        blocks,
        channels,
        classes=sizes.classes,
        heads=config.heads,
        class_head=config.class_head,
        map_kernel=config.map_kernel,
        map_gain=config.map_gain,
    )
    names = ("M_u",) if config.system == "abn" else object_map_names(config.heads)
    gate, *side_gates = (build_gate(config, channels) for channels in (backbone.channels, *backbone.side_channels))
    return BranchNetwork(backbone, branch, gate, side_gates=side_gates, config=config, map_names=names, **sizes._asdict())


def build_gate(config: ModelConfig, channels: int) -> nn.Module:
    """Build what applies the maps to `channels` features."""
    if config.heads == 1:
        return SingleGate(config.apply)
    return MergingGate(channels, config.heads, merge_init=config.merge_init)


def spatio_temporal_network(backbone: Backbone, config: ModelConfig, sizes: Sizes) -> AttentionNetwork:
    """Build ST-ABN (Mitsuhara et al. 2021)."""
    blocks, channels = backbone.branch_blocks(config.attention_blocks, pretrained=config.attention_init == "pretrained")
    feature_frames = -(-sizes.clip_frames // backbone.frame_stride)
    branch = SpatioTemporalBranch(blocks, channels, classes=sizes.classes, frames=feature_frames, dropout=config.dropout)
    gate = SpatioTemporalGate(backbone.channels, merge_init=config.merge_init, activation=config.merge_activation)
    side_gates = [SingleGate("residual") for _ in backbone.side_channels]
    return BranchNetwork(backbone, branch, gate, side_gates=side_gates, config=config, map_names=("M_s",), **sizes._asdict())


def gated_network(backbone: Backbone, config: ModelConfig, sizes: Sizes) -> AttentionNetwork:
    """Build the gated network (Yudistira et al. 2020)."""
    return GatedNetwork(backbone, config=config, **sizes._asdict())


def saliency_network(backbone: Backbone, config: ModelConfig, sizes: Sizes) -> AttentionNetwork:
    """Build the saliency mask with temporal attention (Meng et al. 2019); ValueError for a backbone of several pathways."""
    if backbone.side_channels:
        raise ValueError(f"System saliency_lstm answers from one pathway and {config.backbone} has several; take another backbone.")
    return SaliencyNetwork(backbone, config, **sizes._asdict())


def plain_network(backbone: Backbone, config: ModelConfig, sizes: Sizes) -> AttentionNetwork:
    """Build the backbone without attention."""
    sides = [OpenGate() for _ in backbone.side_channels]
    return BranchNetwork(backbone, NoBranch(), OpenGate(), side_gates=sides, config=config, map_names=(), **sizes._asdict())


SYSTEMS: dict[str, Callable[[Backbone, ModelConfig, Sizes], AttentionNetwork]] = {
    "abn": attention_branch_network,
    "object_abn": attention_branch_network,
    "st_abn": spatio_temporal_network,
    "gated": gated_network,
    "saliency_lstm": saliency_network,
    "plain": plain_network,
}
