"""What the networks of all systems share: a backbone, names for their maps, and the pixels they read."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from objabn.config import DataConfig, ModelConfig
from objabn.models.backbone import Backbone
from objabn.models.weights import WeightsReport
from objabn.types import Output


class AttentionNetwork(nn.Module, ABC):
    """A network that says where it looks: `net(clip)` is an `Output`, and `map_names` name its maps, of which `plain` has none."""

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(
        self,
        backbone: Backbone,
        *,
        config: ModelConfig,
        map_names: Sequence[str],
        classes: int,
        clip_frames: int,
        clip_size: int,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.config = config
        self.map_names = tuple(map_names)
        self.classes = classes
        self.clip_frames = clip_frames
        self.clip_size = clip_size
        self.class_names: tuple[str, ...] | None = None
        self.clip_config: DataConfig | None = None  # how the clips it learnt from were cut out of videos, where that is known
        self.weights_report: WeightsReport | None = None
        # Constants, not weights: they are in no checkpoint, and have their values even where weights are built without any.
        self.register_buffer("pixel_mean", on_channels(backbone.mean), persistent=False)
        self.register_buffer("pixel_std", on_channels(backbone.std), persistent=False)

    @abstractmethod
    def forward(self, clip: Tensor) -> Output:
        """Answer a clip (B, 3, T, Y, X) of uint8 RGB; explainers may pass floats on the same scale of 0 to 255."""

    @property
    @abstractmethod
    def feature_channels(self) -> int:
        """Channels of `Output.features`."""

    @property
    @abstractmethod
    def classifier(self) -> str:
        """Name of the layer that gives the answer."""

    @property
    @abstractmethod
    def class_layers(self) -> tuple[str, ...]:
        """Names of the layers whose shapes depend on the number of classes, the classifier among them."""

    @property
    def grid_size(self) -> int:
        """Side of the attention grid for clips of the network's own size; other clips have other grids."""
        return -(-self.clip_size // 2**self.config.cut)

    @property
    def feature_frames(self) -> int:
        """Frames of `Output.features` for clips of the network's own length."""
        return -(-self.clip_frames // self.backbone.frame_stride)

    def normalize(self, clip: Tensor) -> Tensor:
        """Turn RGB on a scale of 0 to 255, uint8 or floating, into what the backbone was trained with."""
        if clip.ndim != 5 or clip.shape[1] != 3:
            raise ValueError(f"A clip of shape {tuple(clip.shape)} cannot be read; it must be (B, 3, T, Y, X).")
        pixels = clip if clip.is_floating_point() else clip.to(self.pixel_mean.dtype)
        return (pixels - self.pixel_mean) / self.pixel_std


def on_channels(values: tuple[float, float, float]) -> Tensor:
    """Return a value for each of red, green and blue as (1, 3, 1, 1, 1), on a scale of 0 to 255."""
    return torch.tensor([255 * value for value in values], device="cpu").view(1, 3, 1, 1, 1)


def for_each_frame(values: Tensor, frames: int, *, axis: int) -> Tensor:
    """Give every frame of a clip the value of the feature frame that stands for it."""
    count = values.shape[axis]
    if count == frames:
        return values
    return values.index_select(axis, torch.arange(frames, device=values.device) * count // frames)


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Have the network evaluate, and give every module its own mode back, since frozen parts may differ from the rest."""
    modes = [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        yield
    finally:
        for module, was_training in modes:
            module.training = was_training


def channels_last(net: AttentionNetwork) -> AttentionNetwork:
    """Lay out weights with their channels last, as clips arrive: convolutions then take half the time on a CPU."""
    layouts = {4: torch.channels_last, 5: torch.channels_last_3d}
    for tensor in (*net.parameters(), *net.buffers()):
        if tensor.ndim in layouts:
            tensor.data = tensor.data.contiguous(memory_format=layouts[tensor.ndim])
    return net


def count_parameters(net: nn.Module) -> int:
    """Return the number of trainable values."""
    return sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad)
