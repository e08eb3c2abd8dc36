"""The network of all systems here: stem, attention branch, gate, tail."""

from collections.abc import Sequence

from torch import Tensor, nn

from objabn.config import DataConfig, ModelConfig
from objabn.models.backbone import Backbone
from objabn.models.branches import AttentionBranch
from objabn.models.weights import WeightsReport
from objabn.types import Output


class AttentionNetwork(nn.Module):
    """Stem -> branch -> gate -> tail: the maps that explain the answer also decide what the tail sees (Object-ABN section 3)."""

    def __init__(
        self,
        backbone: Backbone,
        branch: AttentionBranch,
        gate: nn.Module,
        *,
        config: ModelConfig,
        map_names: Sequence[str],
        classes: int,
        clip_frames: int,
        clip_size: int,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.branch = branch
        self.gate = gate
        self.config = config
        self.map_names = tuple(map_names)
        self.classes = classes
        self.clip_frames = clip_frames
        self.clip_size = clip_size
        self.class_names: tuple[str, ...] | None = None
        self.clip_config: DataConfig | None = None  # how the clips it learnt from were cut out of videos, where that is known
        self.weights_report: WeightsReport | None = None

    @property
    def feature_channels(self) -> int:
        """Channels of `Output.features`."""
        return self.branch.norm.num_features

    @property
    def class_layers(self) -> tuple[str, ...]:
        """Names of the layers whose shapes depend on the number of classes."""
        return (f"backbone.{self.backbone.classifier}", *(f"branch.{name}" for name in self.branch.class_layers))

    @property
    def grid_size(self) -> int:
        """Side of the attention grid for clips of the network's own size; other clips have other grids."""
        return -(-self.clip_size // 2**self.config.cut)

    def normalize(self, clip: Tensor) -> Tensor:
        """Turn RGB on a scale of 0 to 255, uint8 or floating, into what the backbone was trained with."""
        if clip.ndim != 5 or clip.shape[1] != 3:
            raise ValueError(f"A clip of shape {tuple(clip.shape)} cannot be read; it must be (B, 3, T, Y, X).")
        pixels = clip if clip.is_floating_point() else clip.to(self.branch.norm.weight.dtype)
        return (pixels - 255 * self.backbone.mean) / (255 * self.backbone.std)

    def forward(self, clip: Tensor) -> Output:
        """Answer a clip (B, 3, T, Y, X) of uint8 RGB; explainers may pass floats on the same scale of 0 to 255."""
        features = self.backbone.stem(self.normalize(clip))
        attention = self.branch(features)
        logits = self.backbone.tail(self.gate(features, attention.maps))
        return Output(logits, attention.logits, attention.maps, attention.features, None)


def count_parameters(net: nn.Module) -> int:
    """Return the number of trainable values."""
    return sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad)
