"""Attention gates on every stage (Yudistira et al. 2020): global features decide where each stage is listened to."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from objabn.config import ModelConfig
from objabn.models.backbone import Backbone
from objabn.models.gating import SingleGate
from objabn.models.network import AttentionNetwork, for_each_frame
from objabn.types import Output


class StageGate(nn.Module):
    """One map over a stage's features x, drawn in the light of a global signal g: sigmoid(psi(relu(W_x x + W_g g))).

    The inner channels are half of the stage's.
    """

    def __init__(self, channels: int, signal_channels: int) -> None:
        super().__init__()
        inner_channels = max(1, channels // 2)
        self.from_features = nn.Conv3d(channels, inner_channels, kernel_size=1, bias=False)
        self.from_signal = nn.Conv3d(signal_channels, inner_channels, kernel_size=1)
        self.to_map = nn.Conv3d(inner_channels, 1, kernel_size=1)

    def forward(self, features: Tensor, signal: Tensor) -> Tensor:
        """Draw a map (B, 1, T', y, x) from features (B, C, T', y, x) and a signal (B, D, 1, 1, 1)."""
        inner = torch.relu(self.from_features(features) + self.from_signal(signal))
        # Half precision has few numbers near 1, where maps live.
        with torch.autocast(inner.device.type, enabled=False):
            return torch.sigmoid(self.to_map(inner.to(self.to_map.weight.dtype)))


class GatedNetwork(AttentionNetwork):
    """Each stage from the cut on is gated by a map of its own and pooled; all pools together give the answer.

    The paper's text has "each layer", so the last stage, from which the signal comes, is gated like the others; its pool without a gate
    stands beside the gated ones, as what the network without attention answers from. Maps M_1 to M_4 are named by their stages
    and brought to the grid of the first. `Output.features` are those of the last stage, on its own coarser grid and with its own
    frames, so the PC loss pools them by their mean. Of two pathways the attended one is gated, and the other one's last stage unused.
    """

    classifier = "tail.linear"
    class_layers = ("tail.linear",)

    def __init__(self, backbone: Backbone, *, config: ModelConfig, classes: int, clip_frames: int, clip_size: int) -> None:
        channels = backbone.stage_channels[backbone.cut - 1 :]
        names = tuple(f"M_{stage}" for stage in range(backbone.cut - 1, len(backbone.stage_channels)))
        backbone.remove_head()
        super().__init__(backbone, config=config, map_names=names, classes=classes, clip_frames=clip_frames, clip_size=clip_size)
        self.gating = SingleGate(config.apply)
        self.gate = nn.ModuleList(StageGate(width, channels[-1]) for width in channels)
        linear = nn.Linear(sum(channels) + channels[-1], classes)
        self.tail = nn.Sequential()
        self.tail.add_module("dropout", nn.Dropout(config.dropout))
        self.tail.add_module("linear", linear)

    @property
    def feature_channels(self) -> int:
        """Channels of `Output.features`."""
        return self.backbone.stage_channels[-1]

    def forward(self, clip: Tensor) -> Output:
        """Answer a clip (B, 3, T, Y, X) of uint8 RGB; explainers may pass floats on the same scale of 0 to 255."""
        stages = self.backbone.stages(self.backbone.stem(self.normalize(clip)))
        return self.answer_by(stages, self.draw(stages), frames=clip.shape[2])

    def draw(self, stages: Sequence[Tensor]) -> list[Tensor]:
        """Draw the map of each stage on the stage's own grid, (B, 1, T', y, x)."""
        signal = stages[-1].mean((2, 3, 4), keepdim=True)
        return [gate(features, signal) for gate, features in zip(self.gate, stages, strict=True)]

    def answer_by(self, stages: Sequence[Tensor], maps: Sequence[Tensor], *, frames: int) -> Output:
        """Answer what the stages made of a clip of so many frames by these maps, whoever drew them."""
        signal = stages[-1].mean((2, 3, 4))
        pools = [self.gating(features, drawn).mean((2, 3, 4)) for features, drawn in zip(stages, maps, strict=True)]
        logits = self.tail(torch.cat([*pools, signal], 1))
        grid = (stages[0].shape[3], stages[0].shape[4])
        shown = torch.cat([resample(drawn, frames=frames, grid=grid) for drawn in maps], 1)
        return Output(logits, None, shown, stages[-1], None)


def resample(drawn: Tensor, *, frames: int, grid: tuple[int, int]) -> Tensor:
    """Bring a map (B, 1, T', y, x) to a clip's frames, each that of the feature frame that stands for it, and linearly to a grid."""
    enlarged = functional.interpolate(drawn.squeeze(1), grid, mode="bilinear", align_corners=False)
    return for_each_frame(enlarged.unsqueeze(1), frames, axis=2)
