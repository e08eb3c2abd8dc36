"""Object-ABN's ancestor: on timm's ResNets and single pictures `abn` is the attention branch network of CVPR 2019, layer by layer.

The reference below is written from the layer list of systems.md 1.1 with PyTorch alone, and takes its weights from the network.
"""

from typing import Any

import pytest
import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models import resnet as timm_resnet
from torch import Tensor, nn

import objabn
from objabn.models.network import AttentionNetwork, count_parameters

CLASSES = 6
default_cfgs = generate_default_cfgs({"narrow_resnet50": timm_resnet.default_cfgs["resnet50"].default.to_dict()})
"""Where timm looks for what it knows of the network below."""


@register_model
def narrow_resnet50(pretrained: bool = False, **settings: Any) -> nn.Module:
    """timm's ResNet-50 with an eighth of the channels in its stages."""
    shape = {"block": timm_resnet.Bottleneck, "layers": (3, 4, 6, 3), "channels": (8, 16, 32, 64)}
    return build_model_with_cfg(timm_resnet.ResNet, "narrow_resnet50", pretrained, **shape, **settings)


class Block(nn.Module):
    """A bottleneck of ResNet: 1x1, 3x3 with the stride, 1x1 to four times the channels."""

    def __init__(self, channels_in: int, inner: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels_in, inner, 1, bias=False), nn.BatchNorm2d(inner)
        self.conv2, self.bn2 = nn.Conv2d(inner, inner, 3, stride, 1, bias=False), nn.BatchNorm2d(inner)
        self.conv3, self.bn3 = nn.Conv2d(inner, 4 * inner, 1, bias=False), nn.BatchNorm2d(4 * inner)
        self.downsample = None
        if channels_in != 4 * inner:
            self.downsample = nn.Sequential(nn.Conv2d(channels_in, 4 * inner, 1, stride, bias=False), nn.BatchNorm2d(4 * inner))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn1(self.conv1(x)).relu()
        y = self.bn2(self.conv2(y)).relu()
        y = self.bn3(self.conv3(y))
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


def stage(channels_in: int, inner: int, depth: int, stride: int) -> nn.Sequential:
    return nn.Sequential(*(Block(4 * inner if place else channels_in, inner, 1 if place else stride) for place in range(depth)))


class Reference(nn.Module):
    """E up to layer3, A with a stride of 1, g' = (1 + M) g, P from layer4 on."""

    def __init__(self, depths: tuple[int, int, int, int], classes: int, width: int = 64) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        self.layer1, self.layer2 = stage(64, width, depths[0], 1), stage(4 * width, 2 * width, depths[1], 2)
        self.layer3, self.layer4 = stage(8 * width, 4 * width, depths[2], 2), stage(16 * width, 8 * width, depths[3], 2)
        self.fc = nn.Linear(32 * width, classes)
        self.att_layer4, self.bn_att = stage(16 * width, 8 * width, depths[3], 1), nn.BatchNorm2d(32 * width)
        self.att_conv, self.bn_att2 = nn.Conv2d(32 * width, classes, 1, bias=False), nn.BatchNorm2d(classes)
        self.map_conv, self.bn_map = nn.Conv2d(classes, 1, 3, padding=1, bias=False), nn.BatchNorm2d(1)
        self.class_conv = nn.Conv2d(classes, classes, 1, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = nn.functional.max_pool2d(self.bn1(self.conv1(x)).relu(), 3, 2, 1)
        g = self.layer3(self.layer2(self.layer1(x)))
        a = self.bn_att2(self.att_conv(self.bn_att(self.att_layer4(g)))).relu()
        attention_map = self.bn_map(self.map_conv(a)).sigmoid()
        attention_logits = self.class_conv(a).mean((2, 3))
        perception = self.layer4(g * attention_map + g)
        return attention_logits, self.fc(perception.mean((2, 3))), attention_map


PLACES = {
    "backbone.network.": "",
    "branch.blocks.": "att_layer4.",
    "branch.norm.": "bn_att.",
    "branch.shared_conv.": "att_conv.",
    "branch.shared_norm.": "bn_att2.",
    "branch.map_conv.": "map_conv.",
    "branch.map_norm.": "bn_map.",
    "branch.class_conv.": "class_conv.",
}


def place_of(name: str) -> str:
    """Where a value of the network stands in the reference."""
    prefix = next(prefix for prefix in PLACES if name.startswith(prefix))
    return PLACES[prefix] + name.removeprefix(prefix)


def original(backbone: str, classes: int = CLASSES) -> AttentionNetwork:
    """The network of CVPR 2019 in one call."""
    settings = {"system": "abn", "apply": "residual", "map_kernel": 3, "clip_frames": 1, "attention_init": "random", "dropout": 0.0}
    return objabn.create_model(backbone, classes=classes, **settings)


@pytest.mark.parametrize(("backbone", "width"), [("narrow_resnet50", 8), pytest.param("resnet50", 64, marks=pytest.mark.slow)])
def test_outputs_and_gradients_are_those_of_the_layer_list(backbone: str, width: int) -> None:
    torch.manual_seed(0)
    net = original(backbone).double()
    for value in net.parameters():
        if value.ndim == 1:
            nn.init.uniform_(value, 0.5, 1.5)
    reference = Reference((3, 4, 6, 3), CLASSES, width).double()
    shapes = {name: value.shape for name, value in reference.state_dict().items()}
    reference.load_state_dict({place_of(name): value.reshape(shapes[place_of(name)]) for name, value in net.state_dict().items()})

    clip = torch.randint(0, 256, (3, 3, 1, 64, 64), dtype=torch.uint8)
    label = torch.tensor([0, 3, 5])
    output, answered = net(clip), reference(net.normalize(clip)[:, :, 0])
    close = {"rtol": 1e-8, "atol": 1e-10}
    for ours, theirs in zip((output.branch_logits, output.logits, output.maps[:, 0]), answered, strict=True):
        torch.testing.assert_close(ours, theirs, **close)

    for answers in ((output.logits, output.branch_logits), answered[:2]):
        sum(nn.functional.cross_entropy(answer, label) for answer in answers).backward()
    gradients = {name: value.grad for name, value in reference.named_parameters()}
    for name, value in net.named_parameters():
        assert value.grad.abs().max() > 0
        torch.testing.assert_close(value.grad.flatten(), gradients[place_of(name)].flatten(), **close)


def test_pictures_are_normalised_as_imagenets() -> None:
    # (255 / 255 - 0.485) / 0.229 and so on, as in the official training.
    white = original("narrow_resnet50").normalize(torch.full((1, 3, 1, 1, 1), 255, dtype=torch.uint8)).flatten()
    torch.testing.assert_close(white, torch.tensor([0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225]))


@pytest.mark.parametrize(
    ("backbone", "depths", "published"),
    [("resnet50", (3, 4, 6, 3), 25_557_032), ("resnet101", (3, 4, 23, 3), 44_549_160), ("resnet152", (3, 8, 36, 3), 60_192_808)],
)
def test_parameters_are_those_of_the_published_networks_and_the_branch(backbone: str, depths: tuple[int, ...], published: int) -> None:
    with torch.device("meta"):
        net, reference = original(backbone, classes=1000), Reference(depths, 1000)
    # Three bottlenecks, BN(2048), 2048 -> K, BN(K), 3x3 K -> 1, BN(1), K -> K.
    branch = 14_964_736 + 2 * 2048 + 2048 * 1000 + 2 * 1000 + 9 * 1000 + 2 + 1000 * 1000
    assert count_parameters(net.backbone) == published
    assert count_parameters(net) == count_parameters(reference) == published + branch
    assert (net.grid_size, net.map_names) == (14, ("M_u",))
    assert {place_of(name) for name in net.state_dict()} == set(reference.state_dict())
