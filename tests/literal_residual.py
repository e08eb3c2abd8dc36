"""Residual networks of bottlenecks written down once more, from their published layer lists, as plain functions of named tensors."""

import torch
from torch import Tensor
from torch.nn import functional

from objabn.models.sizes import ResidualSize

TINY = {"clip_frames": 4, "clip_size": 32, "blocks": (1, 2, 1, 2), "stem_channels": 8, "inner_channels": 4}
TINY_RESNET = ResidualSize(**TINY)
TINY_RESNEXT = ResidualSize(**TINY, expansion=2, groups=2, mean=(0.4, 0.4, 0.4), std=(0.2, 0.3, 0.2))


class Literal:
    """Layers by the names of their tensors; batch norms use the statistics of the batch in training, else their own."""

    def __init__(self, state: dict[str, Tensor], *, training: bool) -> None:
        self.state = state
        self.training = training

    def conv(self, name: str, values: Tensor, **settings: object) -> Tensor:
        return functional.conv3d(values, self.state[f"{name}.weight"], **settings)

    def norm(self, name: str, values: Tensor) -> Tensor:
        mean, var = self.state[f"{name}.running_mean"].clone(), self.state[f"{name}.running_var"].clone()
        return functional.batch_norm(values, mean, var, self.state[f"{name}.weight"], self.state[f"{name}.bias"], self.training)

    def linear(self, name: str, values: Tensor) -> Tensor:
        return functional.linear(values, self.state[f"{name}.weight"], self.state[f"{name}.bias"])

    def bottleneck(self, name: str, values: Tensor, *, first: dict, second: dict) -> Tensor:
        inner = functional.relu(self.norm(f"{name}.bn1", self.conv(f"{name}.conv1", values, **first)))
        inner = functional.relu(self.norm(f"{name}.bn2", self.conv(f"{name}.conv2", inner, **second)))
        inner = self.norm(f"{name}.bn3", self.conv(f"{name}.conv3", inner))
        if f"{name}.downsample.0.weight" in self.state:
            values = self.norm(f"{name}.downsample.1", self.conv(f"{name}.downsample.0", values, stride=second["stride"]))
        return functional.relu(inner + values)

    def resnet_stem(self, clip: Tensor) -> Tensor:
        """Convolution 1x7x7 with stride (1, 2, 2), pool 1x3x3."""
        values = functional.relu(self.norm("bn1", self.conv("conv1", clip, stride=(1, 2, 2), padding=(0, 3, 3))))
        return functional.max_pool3d(values, (1, 3, 3), (1, 2, 2), (0, 1, 1))

    def resnet_stage(self, values: Tensor, stage: int, *, name: str = "", depth: int, stride: int | None = None) -> Tensor:
        """Spatial bottlenecks, which begin with three frames in stages 3 and 4; the first of stages 2 to 4 halves the picture."""
        for place in range(depth):
            step = (1 if place or stage == 1 else 2) if stride is None else stride
            first = {"padding": (1, 0, 0) if stage >= 3 else 0}
            second = {"stride": (1, step, step), "padding": (0, 1, 1)}
            values = self.bottleneck(f"{name or f'layer{stage}'}.{place}", values, first=first, second=second)
        return values

    def resnext_stem(self, clip: Tensor) -> Tensor:
        """Convolution 7x7x7 with stride (1, 2, 2), pool 3x3x3 with stride 2."""
        values = functional.relu(self.norm("bn1", self.conv("conv1", clip, stride=(1, 2, 2), padding=3)))
        return functional.max_pool3d(values, 3, 2, 1)

    def resnext_stage(self, values: Tensor, stage: int, *, depth: int, groups: int) -> Tensor:
        """Bottlenecks with grouped 3x3x3 convolutions; the first of stages 2 to 4 halves frames and picture."""
        for place in range(depth):
            second = {"stride": 1 if place or stage == 1 else 2, "padding": 1, "groups": groups}
            values = self.bottleneck(f"layer{stage}.{place}", values, first={}, second=second)
        return values

    def head(self, values: Tensor) -> Tensor:
        return self.linear("fc", functional.adaptive_avg_pool3d(values, 1).flatten(1))


def resnet(state: dict[str, Tensor], clip: Tensor, *, training: bool = False) -> Tensor:
    """The inflated ResNet with the blocks of `TINY`."""
    net = Literal(state, training=training)
    values = net.resnet_stem(clip)
    for stage, depth in enumerate(TINY["blocks"], 1):
        values = net.resnet_stage(values, stage, depth=depth)
    return net.head(values)


def resnext(state: dict[str, Tensor], clip: Tensor, *, training: bool = False) -> Tensor:
    """The 3D ResNeXt with the blocks of `TINY` and two groups."""
    net = Literal(state, training=training)
    values = net.resnext_stem(clip)
    for stage, depth in enumerate(TINY["blocks"], 1):
        values = net.resnext_stage(values, stage, depth=depth, groups=2)
    return net.head(values)


def enliven(net: torch.nn.Module) -> None:
    """Give norms statistics and scales that are not those of a new network, which would hide mistakes."""
    generator = torch.Generator().manual_seed(0)
    for name, value in net.state_dict().items():
        if name.endswith(("weight", "bias", "running_mean", "running_var")) and value.ndim == 1:
            value.copy_(torch.rand(value.shape, generator=generator) + 0.5)


def leaves(net: torch.nn.Module) -> dict[str, Tensor]:
    """A copy of a network's tensors, its parameters with gradients of their own."""
    state = {name: value.detach().clone() for name, value in net.state_dict().items()}
    for name, _ in net.named_parameters():
        state[name].requires_grad_()
    return state


def assert_same_gradients(net: torch.nn.Module, state: dict[str, Tensor], ours: list[Tensor], theirs: list[Tensor]) -> None:
    """Outputs are equal, and so are the gradients of all parameters for a weighted sum of all outputs."""
    for values in (ours, theirs):
        scales = [torch.linspace(-1, 1, value.numel(), dtype=value.dtype).view_as(value) for value in values]
        sum((value * scale).sum() for value, scale in zip(values, scales, strict=True)).backward()
    for mine, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, expected)
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
        torch.testing.assert_close(parameter.grad, state[name].grad, msg=lambda text, name=name: f"{name}: {text}")
