"""Networks of timm for pictures as backbones for clips: each frame by itself, and the mean of the frames' scores."""

from functools import partial
from typing import Any, Literal

import timm
import torch
from timm.models.resnet import ResNet
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from objabn.models.backbone import Backbone, Features, check_cut, check_grid
from objabn.models.branch_blocks import begin_afresh, plain_blocks, stage_copies
from objabn.models.per_frame import PerFrame, fold_frames, unfold_frames
from objabn.models.timm_names import refuse_unknown
from objabn.models.timm_steps import Steps, find_steps
from objabn.models.timm_transformer import TimmTransformer

LAST_CUT = 5


class TimmNetwork(Backbone):
    """A network of timm that is a chain of modules; parameters are named as in timm, below `network`."""

    frame_stride = 1

    def __init__(self, network: Any, steps: Steps, *, cut: int) -> None:
        super().__init__()
        self.network = network
        self.steps = steps
        self.cut = cut
        self.mean, self.std = network.pretrained_cfg["mean"], network.pretrained_cfg["std"]
        self.stage_names = tuple(f"network.{name}" for name in steps.stage_names)
        self.stage_channels = steps.stage_channels
        self.stem_names = tuple(f"network.{name}" for name in steps.names[: steps.ends[cut]])
        self.classifier = f"network.{network.pretrained_cfg['classifier']}"

    def stem(self, clip: Tensor) -> Features:
        """Turn a normalised clip (B, 3, T, Y, X) into features (B, C, T, y, x)."""
        features = self.volume(self.run(fold_frames(clip), 0, self.steps.ends[self.cut]), clip.shape[0])
        check_grid(features.shape[-2:], clip.shape[-2:], self.cut)
        return (features,)

    def tail(self, features: Features) -> Tensor:
        """Turn features (B, C, T, y, x) into logits (B, K), the mean of those of the frames."""
        clips, _, frames = features[0].shape[:3]
        pictures = self.run(self.pictures(features[0]), self.steps.ends[self.cut], len(self.steps.names))
        logits: Tensor = self.network.forward_head(pictures).unflatten(0, (clips, frames)).mean(1)
        return logits

    def stages(self, features: Features) -> tuple[Tensor, ...]:
        """Return the stem's features and those behind each stage of the tail."""
        pictures, found = self.pictures(features[0]), [features[0]]
        for cut in range(self.cut, LAST_CUT):
            pictures = self.run(pictures, self.steps.ends[cut], self.steps.ends[cut + 1])
            found.append(self.volume(pictures, features[0].shape[0]))
        return tuple(found)

    def run(self, pictures: Tensor, start: int, end: int) -> Tensor:
        """Run the steps from `start` to before `end` on pictures as the network lays them out."""
        for name in self.steps.names[start:end]:
            pictures = self.network.get_submodule(name)(pictures)
        return pictures

    def pictures(self, features: Tensor) -> Tensor:
        """Turn features (B, C, T, y, x) into pictures as the network lays them out."""
        pictures = fold_frames(features)
        return pictures.movedim(1, -1) if self.steps.is_channels_last else pictures

    def volume(self, output: Any, clips: int) -> Tensor:
        """Return pictures as the network lays them out as (B, C, T, y, x)."""
        pictures = output.movedim(-1, 1) if self.steps.is_channels_last else output
        return unfold_frames(pictures, clips, pictures.shape[0] // clips)

    def remove_head(self) -> None:
        """Put nothing in the place of all modules behind the last stage."""
        kept = self.steps.names[: self.steps.ends[LAST_CUT]]
        for name, _ in list(self.network.named_children()):
            if not any(step == name or step.startswith(f"{name}.") for step in kept):
                setattr(self.network, name, nn.Identity())
        for name in self.steps.names[len(kept) :]:
            if "." in name:
                self.network.set_submodule(name, nn.Identity())
        self.classifier = ""

    def adapt_weights(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Put timm's tensors below `network`."""
        return {f"network.{name}": value for name, value in state.items()}

    def branch_blocks(self, shape: Literal["next", "same"], *, pretrained: bool) -> tuple[nn.Module, int]:
        """Return three residual blocks at stride 1, and their channels.

        On a ResNet they are copies of the stage's behind or before the cut, as in ABN (Fukui et al. 2019); other networks have
        none of convolutions and batch norms alone, and take plain bottlenecks.
        """
        is_next = shape == "next" and self.cut < LAST_CUT
        place = self.cut if is_next else self.cut - 1
        channels = self.stage_channels[place]
        stage = list(self.get_submodule(self.stage_names[place]).children())
        copies = stage_copies(stage, is_next=is_next) if isinstance(self.network, ResNet) else None
        if copies is None:
            return plain_blocks(self.channels, channels, (1, 3, 3)), channels
        if not pretrained:
            begin_afresh(copies)
        return PerFrame(*copies), channels


def build_timm(name: str, *, classes: int, cut: int, clip_frames: int, clip_size: int, dropout: float) -> Backbone:
    """Build timm's network of this name with random weights; ValueError for an unknown one, or one that cannot be cut here."""
    del clip_frames  # any number will do: every frame is by itself
    check_cut(cut)
    refuse_unknown(name)
    create = partial(create_network, name, classes=classes, clip_size=clip_size, dropout=dropout)
    with torch.device("meta"):
        model = create()
    if isinstance(model, VisionTransformer):
        return TimmTransformer(create(), create(), name, cut=cut, clip_size=clip_size)
    steps = find_steps(model, name, clip_size)
    check_grid(steps.grids[cut], (clip_size, clip_size), cut)
    return TimmNetwork(create(), steps, cut=cut)


def create_network(name: str, *, classes: int, clip_size: int, dropout: float) -> Any:
    """Create timm's network for pictures of `clip_size` pixels; ValueError for one that reads no such pictures or answers twice."""
    pretrained = timm.get_pretrained_cfg(name)
    is_fixed = pretrained is not None and pretrained.fixed_input_size and pretrained.input_size[-1] != clip_size
    settings: dict[str, Any] = {"img_size": clip_size} if is_fixed else {}
    try:
        network: Any = timm.create_model(name, num_classes=classes, drop_rate=dropout, **settings)
    except (TypeError, AssertionError) as error:
        raise ValueError(f"timm's {name} cannot be built for pictures of {clip_size} pixels ({error}); choose another size.") from error
    if not isinstance(network.pretrained_cfg["classifier"], str):
        raise ValueError(f"{name} has several classifiers, and so no one answer; choose another backbone.")
    return network
