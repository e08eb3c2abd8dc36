"""The network of the systems whose attention sits in the middle: stem, branch, gate, tail."""

from collections.abc import Sequence

from torch import Tensor, nn

from objabn.config import ModelConfig
from objabn.models.backbone import Backbone
from objabn.models.branches import Attention, Branch
from objabn.models.network import AttentionNetwork, for_each_frame
from objabn.models.tails import Tail
from objabn.types import Output


class BranchNetwork(AttentionNetwork):
    """Stem -> branch -> gate -> tail: the maps that explain the answer also decide what the tail sees (Object-ABN section 3).

    `tail` replaces the backbone's own, whose head must then be removed, and sees the attended features alone. `gate` gates these,
    and `side_gates` those of further pathways, each of which is 5-D.
    """

    def __init__(
        self,
        backbone: Backbone,
        branch: Branch,
        gate: nn.Module,
        *,
        tail: Tail | None = None,
        side_gates: Sequence[nn.Module] = (),
        config: ModelConfig,
        map_names: Sequence[str],
        classes: int,
        clip_frames: int,
        clip_size: int,
    ) -> None:
        super().__init__(backbone, config=config, map_names=map_names, classes=classes, clip_frames=clip_frames, clip_size=clip_size)
        self.branch = branch
        self.gate = gate
        self.side_gates = nn.ModuleList(side_gates)
        self.tail = tail

    @property
    def feature_channels(self) -> int:
        """Channels of `Output.features`."""
        return self.branch.feature_channels

    @property
    def classifier(self) -> str:
        """Name of the layer that gives the answer."""
        return f"backbone.{self.backbone.classifier}" if self.tail is None else f"tail.{self.tail.classifier}"

    @property
    def class_layers(self) -> tuple[str, ...]:
        """Names of the layers whose shapes depend on the number of classes."""
        return (self.classifier, *(f"branch.{name}" for name in self.branch.class_layers))

    def forward(self, clip: Tensor) -> Output:
        """Answer a clip (B, 3, T, Y, X) of uint8 RGB; explainers may pass floats on the same scale of 0 to 255."""
        return self.answer(self.backbone.stem(self.normalize(clip)), frames=clip.shape[2])

    def answer(self, features: tuple[Tensor, ...], *, frames: int) -> Output:
        """Answer what the stem made of a clip of so many frames."""
        return self.answer_by(features, self.branch(features[0]), frames=frames)

    def answer_by(self, features: tuple[Tensor, ...], attention: Attention, *, frames: int) -> Output:
        """Answer what the stem made of a clip of so many frames by these maps, whoever drew them."""
        gated = self.gate(features[0], attention.maps, attention.frame_weights)
        if self.tail is None:
            logits = self.backbone.tail((gated, *self.gate_sides(features[1:], attention.maps)))
            frame_weights = attention.frame_weights
        else:
            logits, frame_weights = self.tail(gated)
        maps = for_each_frame(attention.maps, frames, axis=2)
        weights = None if frame_weights is None else for_each_frame(frame_weights, frames, axis=1)
        return Output(logits, attention.logits, maps, attention.features, weights)

    def gate_sides(self, sides: tuple[Tensor, ...], maps: Tensor) -> list[Tensor]:
        """Gate what runs beside the attended features, where it has frames, rows and columns."""
        gates = iter(self.side_gates)
        return [next(gates)(side, for_each_frame(maps, side.shape[2], axis=2), None) if side.ndim == 5 else side for side in sides]


class BehindStem(nn.Module):
    """A network that is given what its stem made of clips of its own length, instead of the clips."""

    def __init__(self, net: BranchNetwork) -> None:
        super().__init__()
        self.net = net

    def forward(self, features: Tensor) -> Output:
        """Answer features (B, C, T', y, x) in any floating format."""
        if not features.is_floating_point() or features.shape[1] != self.net.backbone.channels:
            raise ValueError(
                f"With run.cache_features the batches hold features of {self.net.backbone.channels} channels, and these hold "
                f"{tuple(features.shape)}; give `fit` loaders of objabn.feature_cache.cached_loader, or set it off."
            )
        return self.net.answer((features.to(self.net.pixel_mean.dtype),), frames=self.net.clip_frames)
