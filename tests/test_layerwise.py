"""3DCAM: a network of two layers worked out by hand, a real one differentiated anew, and nothing of it left behind."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from toys import CLASSES, nano, toy_batch, toy_config

from objabn.explainers import explain
from objabn.explainers.layerwise import layerwise
from objabn.models.build import create_model
from objabn.models.network import AttentionNetwork
from objabn.models.systems import SYSTEMS
from objabn.types import Output

RED, GREEN = [1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]
CLIP = torch.tensor([[RED, RED], [GREEN, GREEN]])[None, :, None]
"""(1, 2, 1, 2, 4): one frame, the left half red, the last column green."""


class TwoLayers(nn.Module):
    """A_1 is the picture, A_2 red minus green, mean over 2 x 2 pixels; class 0 is 1.5 and 0.5 of A_2's cells, class 1 the opposite."""

    def __init__(self, before: nn.Module | None = None) -> None:
        super().__init__()
        self.first = nn.Identity()
        self.second = nn.Sequential(before or nn.Identity(), nn.AvgPool3d((1, 2, 2)), nn.Conv3d(2, 1, 1, bias=False))
        self.drop = nn.Dropout(0.9)
        self.second[2].weight.data = torch.tensor([1.0, -1.0]).view(1, 2, 1, 1, 1)
        self.backbone = SimpleNamespace(
            stage_names=("first", "second"), get_submodule=self.get_submodule, volume=lambda output, clips: output
        )

    def forward(self, clip: Tensor) -> Output:
        cells = self.second(self.first(clip))
        score = (self.drop(cells.flatten(1)) * torch.tensor([1.5, 0.5])).sum(1)
        return Output(torch.stack([score, -score], 1), None, cells.sigmoid(), None, None)


# For class 0, G_2 = (1.5, 0.5) with mean 1, so cam_2 = (1, -0.5), enlarged 1, 0.625, -0.125, -0.5. G_1 is a quarter of it at each
# pixel, mean 0.25, so cam_1 = 0.25 (red - green). Elementwise: cam_2 = (1.5, -0.25), enlarged 1.5, 1.0625, 0.1875, -0.25, and
# cam_1 = 0.375, 0.375, 0, -0.125.
@pytest.mark.parametrize(
    ("normalise_layers", "elementwise", "row"),
    [
        (False, False, [1.25, 0.875, 0.0, 0.0]),
        (True, False, [2.0, 1.625, 0.0, 0.0]),
        (False, True, [1.875, 1.4375, 0.1875, 0.0]),
        (True, True, [2.0, 1 + 1.0625 / 1.5, 0.125, 0.0]),
    ],
)
def test_two_layers_by_hand(*, normalise_layers: bool, elementwise: bool, row: list[float]) -> None:
    maps, names, output = layerwise(TwoLayers(), CLIP, normalise_layers=normalise_layers, elementwise=elementwise)
    assert output.logits.tolist() == [[1.25, -1.25]], "1.5 * 1 + 0.5 * -0.5"
    assert names == ("3dcam",)
    assert maps.shape == (1, 1, 1, 2, 4)
    for line in maps[0, 0, 0]:
        assert line.tolist() == pytest.approx([value / row[0] for value in row])


def test_another_class_is_the_opposite_here() -> None:
    maps, _, _ = layerwise(TwoLayers(), CLIP, classes_B=torch.tensor([1]))
    # -(1 + 1), -(1 + 0.625), 0.125, 1 + 0.5
    assert maps[0, 0, 0, 0].tolist() == pytest.approx([0, 0, 0.125 / 1.5, 1])
    with pytest.raises(ValueError, match=r"classes_B=\[2\] is not possible; it must be a class from 0 to 1 for each of 1 clips"):
        layerwise(TwoLayers(), CLIP, classes_B=torch.tensor([2]))
    with pytest.raises(ValueError, match="for each of 1 clips"):
        layerwise(TwoLayers(), CLIP, classes_B=torch.tensor([0, 1]))


def test_what_follows_may_change_its_input_in_place() -> None:
    clip = CLIP - 0.5
    expected, _, _ = layerwise(TwoLayers(nn.ReLU()), clip)
    found, _, _ = layerwise(TwoLayers(nn.ReLU(inplace=True)), clip)
    assert torch.equal(found, expected)
    assert clip.min() == -0.5, "the clip is as it was"


class Listed(nn.Module):
    """Gives its input in a list, with rows and columns beside it, as some stages do."""

    def forward(self, clip: Tensor) -> list:
        return [clip, [2, 4]]


class TwoLayersOfLists(TwoLayers):
    """The same network, whose first stage gives a list."""

    def __init__(self) -> None:
        super().__init__()
        self.first = Listed()
        self.second.register_forward_pre_hook(lambda module, inputs: inputs[0][0])
        self.backbone.volume = lambda output, clips: output[0] if isinstance(output, list) else output


def test_a_stage_may_give_more_than_a_tensor() -> None:
    assert torch.equal(layerwise(TwoLayersOfLists(), CLIP)[0], layerwise(TwoLayers(), CLIP)[0])


def test_a_stage_that_the_answer_does_not_depend_on_adds_nothing() -> None:
    net = TwoLayers()
    net.backbone.stage_names = ("second", "idle")
    net.idle = nn.Conv3d(2, 3, 1)

    def run_aside(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        net.idle(inputs[0])

    net.second.register_forward_pre_hook(run_aside)
    maps, _, _ = layerwise(net, CLIP)
    # The second layer alone: 1, 0.625, -0.125, -0.5.
    assert maps[0, 0, 0, 0].tolist() == pytest.approx([1, 0.625, 0, 0])


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_is_explained(system: str) -> None:
    torch.manual_seed(0)
    settings = {"hidden_channels": 8} if system == "saliency_lstm" else {}
    net = create_model("x3d_nano", classes=CLASSES, system=system, cut=5, clip_frames=4, clip_size=32, **settings)
    clip = toy_batch(0, clips=2).clip
    for classes_B in (torch.tensor([0, 1]), torch.tensor([1, 2])):
        maps, _, output = layerwise(net, clip, classes_B=classes_B)
        assert torch.equal(output.maps, net.eval()(clip).maps)
        assert (maps.shape, float(maps.min())) == ((2, 1, 4, 32, 32), 0)
    assert maps.amax() == 1
    alone = layerwise(net, clip[1:], classes_B=torch.tensor([2]))[0]
    torch.testing.assert_close(maps[1:], alone, rtol=1e-3, atol=1e-4)


def test_a_flat_map_is_zeros() -> None:
    maps, _, _ = layerwise(TwoLayers(), torch.zeros_like(CLIP))
    assert maps.abs().max() == 0


def differentiated(net: AttentionNetwork, clip: Tensor) -> Tensor:
    """Return the sum over stages of one clip, before the stretch, from blocks called by hand."""
    blocks, cut, stages = net.backbone.blocks, net.backbone.cut, []
    features = net.normalize(clip)
    for place in range(5):
        if place == cut:
            features = net.gate(features, net.branch(features).maps, None)
        features = blocks[place](features)
        stages.append(features)
    logits = blocks[5](features)
    total = torch.zeros(clip.shape[2:])
    for stage in stages:
        (gradient,) = torch.autograd.grad(logits[0].max(), stage, retain_graph=True)
        cam = torch.einsum("c,ctyx->tyx", gradient[0].mean((1, 2, 3)), stage[0])
        total += functional.interpolate((cam / cam.abs().max())[None, None], clip.shape[2:], mode="trilinear")[0, 0]
    return total.clamp(min=0).detach()


def test_a_real_network_differentiated_clip_by_clip() -> None:
    net, clip = nano(toy_config()).eval(), toy_batch(0, clips=3).clip
    found = explain(net, clip, method="3dcam")
    assert torch.equal(found.logits, net(clip).logits)
    assert not found.logits.requires_grad
    for row in range(3):
        total = differentiated(net, clip[row : row + 1])
        expected = (total - total.min()) / (total.max() - total.min())
        torch.testing.assert_close(found.maps[row, 0], expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("context", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_nothing_stays_behind(context: type) -> None:
    net, clip = nano(toy_config(dropout=0.9)), toy_batch(0, clips=2).clip
    net.train()
    net.backbone.blocks[0].eval().requires_grad_(False)
    before = [(module.training, len(module._forward_hooks)) for module in net.modules()]
    wanted = [parameter.requires_grad for parameter in net.parameters()]
    with context():
        first, second = (layerwise(net, clip)[0] for _ in range(2))
    assert torch.equal(first, second), "no dropout"
    with pytest.raises(RuntimeError):
        layerwise(net, clip[:, :, :, :1, :1].float().requires_grad_().expand(-1, 2, -1, -1, -1))
    assert [(module.training, len(module._forward_hooks)) for module in net.modules()] == before
    assert [parameter.requires_grad for parameter in net.parameters()] == wanted
    assert all(parameter.grad is None for parameter in net.parameters())


def test_frozen_networks_are_explained_alike() -> None:
    net, clip = nano(toy_config()), toy_batch(0, clips=2).clip
    expected = explain(net, clip, method="3dcam").maps
    net.requires_grad_(False)
    assert torch.equal(explain(net, clip, method="3dcam").maps, expected)
    assert expected.amax((1, 2, 3, 4)).tolist() == [1, 1]
    assert net.classes == CLASSES
