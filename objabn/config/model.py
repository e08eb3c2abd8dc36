"""Settings of the network."""

from dataclasses import dataclass, fields
from typing import Literal

from objabn.config.checks import check, check_choices

SETTINGS_OF_SYSTEMS = {
    "attention_blocks": ("abn", "object_abn", "st_abn"),
    "class_head": ("abn", "object_abn"),
    "map_kernel": ("abn", "object_abn"),
    "map_gain": ("abn", "object_abn"),
    "apply": ("abn", "object_abn", "gated"),
    "merge_activation": ("st_abn",),
    "temporal": ("saliency_lstm",),
    "hidden_channels": ("saliency_lstm",),
}
"""What some systems alone have. How weights start is not here, as recipes say it whatever the system."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """The network. `objabn.create_model` takes the same names."""

    backbone: str = "x3d_m"
    """Name of the network that is cut in two; a wrong one is answered with all names."""
    system: Literal["abn", "object_abn", "st_abn", "saliency_lstm", "gated", "plain"] = "object_abn"
    """Which published attention system sits in the backbone, or `plain`: none."""
    heads: int = 1
    """Attention maps: 1 is M_o; 3 is M_u, M_o, M_b; further ones are free."""
    weights: str = "kinetics400"
    """`kinetics400` or `imagenet` (download, cached), a path (of backbone weights, or of a run or model of objabn), or `none`."""
    replace_classes: bool = False
    """Fine-tuning from a model of objabn with other classes: begin the layers that depend on them afresh."""
    cut: int = 4
    """The stem is the backbone's first convolutions and `cut` - 1 stages; 4 is after the third stage (Object-ABN section 4.2)."""
    attention_blocks: Literal["next", "same"] = "next"
    """Residual blocks of the branch shaped like the next stage (96 -> 192 channels) or like the stem's last one."""
    attention_init: Literal["pretrained", "random"] = "pretrained"
    """Start the branch's blocks from the backbone's own, or afresh."""
    class_head: Literal["conv", "gap"] = "conv"
    """Branch class scores by a further 1x1x1 convolution (ABN) or straight from the shared one."""
    map_kernel: Literal[1, 3] = 1
    """Spatial kernel of the map convolution."""
    map_gain: float = 1.0
    """Start of the weight of the batch norm before the maps' sigmoid: the deviation of what becomes a map, and so how near maps can come
    to 0 and 1. It is learnt, but no faster than its learning rate; see `optim.map_gain_factor`."""
    apply: Literal["product", "residual"] = "product"
    """A single map gates as h * M (Object-ABN eq. 1) or h * (1 + M) (ABN)."""
    merge_init: Literal["mean", "random"] = "mean"
    """Start of the convolution that merges several gated copies: their mean, or PyTorch's default."""
    merge_activation: Literal["relu", "none"] = "relu"
    """st_abn: behind the merge of what is gated in space and in time (the authors' first code), or none (their second one)."""
    temporal: Literal["paper", "fast"] = "paper"
    """saliency_lstm: soft attention over all frames at each step of the ConvLSTM (the equations), or once over its states."""
    hidden_channels: int = 512
    """saliency_lstm: channels of the ConvLSTM."""
    dropout: float = 0.5
    """Dropout before the classifier; saliency_lstm: of whole channels of the features that its mask is drawn from."""

    def __post_init__(self) -> None:
        """Refuse heads that there are not, cuts outside the stages, and settings that the system has not."""
        check_choices("model", self)
        for setting in fields(self):
            owners = SETTINGS_OF_SYSTEMS.get(setting.name, (self.system,))
            value, is_used = getattr(self, setting.name), self.system in owners
            allowed = f"{setting.default} with system {self.system}, as it belongs to {' and '.join(owners)} alone"
            check(f"model.{setting.name}", value, is_used or value == setting.default, allowed)
        check("model.heads", self.heads, self.heads >= 1, "at least 1 (3 gives the maps M_u, M_o, M_b)")
        check("model.heads", self.heads, self.heads != 2, "1, or 3 and more (M_u, M_o, M_b, M_3, ...)")
        several = self.system == "object_abn"
        check("model.heads", self.heads, several or self.heads == 1, f"1 with system {self.system}; several maps belong to object_abn")
        check("model.apply", self.apply, self.apply == "product" or self.heads == 1, "product with several maps, which gate by their merge")
        check("model.cut", self.cut, 2 <= self.cut <= 5, "2, 3, 4 or 5: after the first, second, third or last stage")
        has_own_tail = self.system == "saliency_lstm"
        check("model.cut", self.cut, not has_own_tail or self.cut == 5, "5 with system saliency_lstm, whose tail is its own")
        check("model.map_gain", self.map_gain, self.map_gain > 0, "above 0")
        check("model.hidden_channels", self.hidden_channels, self.hidden_channels >= 1, "at least 1")
        check("model.dropout", self.dropout, 0 <= self.dropout < 1, "a number in [0, 1)")
