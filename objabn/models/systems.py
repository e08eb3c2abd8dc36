"""The attention systems by name: each a function from a backbone and settings to a network."""

from collections.abc import Callable
from typing import NamedTuple

from torch import nn

from objabn.config import ModelConfig
from objabn.models.backbone import Backbone
from objabn.models.branch_network import BranchNetwork
from objabn.models.branches import AttentionBranch
from objabn.models.gating import MergingGate, SingleGate
from objabn.models.network import AttentionNetwork


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
        blocks, channels, classes=sizes.classes, heads=config.heads, class_head=config.class_head, map_kernel=config.map_kernel
    )
    names = ("M_u",) if config.system == "abn" else object_map_names(config.heads)
    return BranchNetwork(backbone, branch, build_gate(config, backbone.channels), config=config, map_names=names, **sizes._asdict())


def build_gate(config: ModelConfig, channels: int) -> nn.Module:
    """Build what applies the maps to `channels` features."""
    if config.heads == 1:
        return SingleGate(config.apply)
    return MergingGate(channels, config.heads, merge_init=config.merge_init)


SYSTEMS: dict[str, Callable[[Backbone, ModelConfig, Sizes], AttentionNetwork]] = {
    "abn": attention_branch_network,
    "object_abn": attention_branch_network,
}
