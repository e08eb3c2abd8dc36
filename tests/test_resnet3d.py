"""The inflated ResNet: its published layers, cut anywhere, with the weights of the 2-D network."""

from pathlib import Path

import pytest
import timm
import torch
from literal_residual import TINY_RESNET, assert_same_gradients, enliven, leaves, resnet
from torch import Tensor

import objabn
from objabn.models.backbones import build_backbone
from objabn.models.max_pool import HalvingMaxPool
from objabn.models.resnet3d import ResNet3D
from objabn.models.sizes import RESNET3D_SIZES, ResidualSize
from objabn.models.weights import load_weights
from objabn.training.precision import algorithms

SHALLOW = ResidualSize(clip_frames=5, clip_size=48, blocks=(1, 1, 1, 1), imagenet="resnet50")
"""One block a stage, at the channels of the published networks."""


def tiny(cut: int = 4, **settings: float) -> ResNet3D:
    torch.manual_seed(0)
    net = ResNet3D(TINY_RESNET, **{"classes": 5, "cut": cut, "dropout": 0.0, **settings}).eval()
    enliven(net)
    return net


def random_clip(frames: int, size: int) -> Tensor:
    return torch.randn(2, 3, frames, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("cut", "frames", "size"), [(2, 4, 32), (3, 5, 43), (4, 3, 75), (5, 4, 33)])
def test_tail_of_stem_is_the_uncut_network_bit_for_bit(cut: int, frames: int, size: int) -> None:
    net, clip = tiny(cut), random_clip(frames, size)
    with torch.no_grad():
        features = net.stem(clip)
        logits = net.tail(features)
        assert torch.equal(logits, resnet(net.state_dict(), clip))
    assert logits.std() > 0
    assert features[0].shape == (2, net.channels, frames, -(-size // 2**cut), -(-size // 2**cut))


def test_outputs_and_gradients_are_those_of_the_published_layers() -> None:
    net = tiny().double().train()
    clip, state = random_clip(4, 32).double(), leaves(net)
    assert_same_gradients(net, state, [net.tail(net.stem(clip))], [resnet(state, clip, training=True)])


def test_features_behind_each_stage_are_those_of_the_named_modules() -> None:
    net, found = tiny(3), {}
    for name in net.stage_names:
        net.get_submodule(name).register_forward_hook(lambda _module, _inputs, output, name=name: found.update({name: output}))
    with torch.no_grad():
        stages = net.stages(net.stem(random_clip(4, 32)))
    assert [found[name].shape[1] for name in net.stage_names] == list(net.stage_channels) == [8, 16, 32, 64, 128]
    assert len(stages) == 3
    assert all(torch.equal(value, found[f"layer{number}"]) for number, value in enumerate(stages, 2))


@pytest.mark.parametrize(("name", "flat_name", "depths"), [("resnet3d_50", "resnet50", (6, 3)), ("resnet3d_101", "resnet101", (23, 3))])
def test_tensors_are_those_of_the_2d_network_with_a_time_axis(name: str, flat_name: str, depths: tuple[int, int]) -> None:
    with torch.device("meta"):
        net = build_backbone(name, classes=1000, cut=4, clip_frames=32, clip_size=224, dropout=0.5)
        flat = timm.create_model(flat_name)
    ours, theirs = net.state_dict(), flat.state_dict()
    assert list(ours) == list(theirs)
    for key, value in ours.items():
        spans_three = key.startswith(("layer3", "layer4")) and key.endswith("conv1.weight")
        assert value.shape == (theirs[key].shape if value.ndim < 5 else (*value.shape[:2], 3 if spans_three else 1, *theirs[key].shape[2:]))
    # The 1x1 convolutions that begin the blocks of stages 3 and 4 have three times their weights.
    added = 2 * (512 * 256 + (depths[0] - 1) * 1024 * 256 + 1024 * 512 + (depths[1] - 1) * 2048 * 512)
    flat_parameters = {"resnet50": 25_557_032, "resnet101": 44_549_160}[flat_name]
    assert sum(value.numel() for value in net.parameters()) == flat_parameters + added


@pytest.fixture
def flat() -> timm.models.ResNet:
    torch.manual_seed(0)
    net = timm.models.resnet.ResNet(timm.models.resnet.Bottleneck, [1, 1, 1, 1], num_classes=7).eval()
    enliven(net)
    return net


def test_a_still_clip_gives_the_pictures_features_but_for_its_ends(flat: timm.models.ResNet, tmp_path: Path) -> None:
    """Behind two purely spatial stages in every frame; behind stages 3 and 4, of one block each, from the third frame to the third last."""
    torch.save(flat.double().state_dict(), tmp_path / "resnet.pth")
    picture = torch.randn(1, 3, 48, 48, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    clip = picture.unsqueeze(2).expand(-1, -1, 5, -1, -1)
    net = ResNet3D(SHALLOW, classes=5, cut=3).eval().double()
    report = load_weights(net, str(tmp_path / "resnet.pth"), kinetics400=None, classifier="fc", name="resnet3d_50")
    assert report.replaced == ("fc",)
    assert report.tensors == len(flat.state_dict()) - 2
    with torch.no_grad():
        second, third, fourth = net.stages(net.stem(clip))
        stem = flat.maxpool(flat.act1(flat.bn1(flat.conv1(picture))))
        flat_second = flat.layer2(flat.layer1(stem))
        flat_third = flat.layer3(flat_second)
        flat_fourth = flat.layer4(flat_third)
    for frame in range(5):
        torch.testing.assert_close(second[:, :, frame], flat_second)
    for frame in (1, 2, 3):
        torch.testing.assert_close(third[:, :, frame], flat_third)
    torch.testing.assert_close(fourth[:, :, 2], flat_fourth)
    assert not torch.allclose(third[:, :, 0], flat_third, rtol=1e-2)
    assert not torch.allclose(fourth[:, :, 1], flat_fourth, rtol=1e-2)


def test_a_kernel_of_three_frames_is_a_third_of_the_flat_one_in_each() -> None:
    net = tiny()
    flat_kernel = torch.arange(16 * 32 * 1.0).view(16, 32, 1, 1)
    adapted = net.adapt_weights(
        {"layer3.0.conv1.weight": flat_kernel, "layer1.0.bn1.weight": torch.ones(4), "other": torch.ones(1, 1, 1, 1)}
    )
    assert adapted["layer3.0.conv1.weight"].shape == net.layer3[0].conv1.weight.shape == (16, 32, 3, 1, 1)
    assert torch.equal(adapted["layer3.0.conv1.weight"][:, :, 2], flat_kernel / 3)
    assert adapted["other"].shape == (1, 1, 1, 1), "what is not of this network is left for the complaint about it"


def test_imagenet_weights_come_from_timm(flat: timm.models.ResNet, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("timm.create_model", lambda name, *, pretrained: asked.append((name, pretrained)) or flat)
    monkeypatch.setitem(RESNET3D_SIZES, "resnet3d_50", SHALLOW)
    net = objabn.create_model("resnet3d_50", system="abn", classes=5, weights="imagenet", clip_frames=4, clip_size=32)
    assert asked == [("resnet50", True)]
    report = f"{len(flat.state_dict()) - 2} tensors from resnet50 of timm; the layers of its 7 classes begin afresh for 5 new ones: fc."
    assert str(net.weights_report) == report
    assert torch.equal(net.backbone.layer2[0].conv2.weight[:, :, 0], flat.layer2[0].conv2.weight)
    assert torch.equal(net.branch.blocks[0].conv1.weight[:, :, 2], flat.layer4[0].conv1.weight / 3), "the branch starts from them too"


def test_without_a_network_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(_name: str, *, pretrained: bool) -> None:
        raise FileNotFoundError(f"no connection, pretrained={pretrained}")

    monkeypatch.setattr("timm.create_model", offline)
    with pytest.raises(RuntimeError, match=r"could not download the weights of resnet50 .* and give --weights PATH\|none"):
        load_weights(tiny(), "imagenet", kinetics400=None, imagenet="resnet50", classifier="fc", name="resnet3d_50")
    with pytest.raises(
        ValueError, match=r"no Kinetics-400 weights of resnet3d_50; give --weights imagenet, --weights PATH or --weights none"
    ):
        load_weights(tiny(), "kinetics400", kinetics400=None, imagenet="resnet50", classifier="fc", name="resnet3d_50")
    with pytest.raises(ValueError, match=r"no ImageNet weights of x3d_m; give --weights PATH or"):
        load_weights(tiny(), "imagenet", kinetics400=None, imagenet=None, classifier="fc", name="x3d_m")


def test_weights_of_another_2d_network_are_refused(flat: timm.models.ResNet, tmp_path: Path) -> None:
    torch.save(flat.state_dict(), tmp_path / "resnet.pth")
    with pytest.raises(ValueError, match=r"does not fit resnet3d_50: of its tensors .* missing \(layer2.1.bn1.bias, .* of another shape"):
        load_weights(tiny(), str(tmp_path / "resnet.pth"), kinetics400=None, classifier="fc", name="resnet3d_50")


@pytest.mark.parametrize(
    ("shape", "cut", "channels", "copied"),
    [("next", 4, 128, {0, 1}), ("same", 4, 64, set()), ("next", 3, 64, {0}), ("same", 3, 32, {0}), ("next", 5, 128, {0})],
)
def test_branch_blocks_keep_the_grid_and_start_as_the_backbones_own(shape: str, cut: int, channels: int, copied: set[int]) -> None:
    net = tiny(cut)
    blocks, width = net.branch_blocks(shape, pretrained=True)
    (features,) = net.stem(random_clip(4, 32))
    assert blocks(features).shape == (2, width, *features.shape[2:])
    assert width == channels
    stage = net.get_submodule(f"layer{cut if shape == 'next' and cut < 5 else cut - 1}")
    sources = [block.conv2.weight for block in stage]
    begun = {place for place, block in enumerate(blocks) if any(torch.equal(block.conv2.weight, weight) for weight in sources)}
    assert begun == copied
    fresh, _ = net.branch_blocks(shape, pretrained=False)
    assert not any(torch.equal(block.conv2.weight, weight) for block in fresh for weight in sources)


def test_a_removed_head_leaves_the_stages() -> None:
    net, clip = tiny(2), random_clip(4, 32)
    expected = net.stages(net.stem(clip))
    net.remove_head()
    assert net.classifier == ""
    assert not any(name.startswith("fc") for name in net.state_dict())
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(net.stages(net.stem(clip)), expected, strict=True))


@pytest.mark.parametrize(("halves_frames", "settings"), [(True, (3, 2, 1)), (False, ((1, 3, 3), (1, 2, 2), (0, 1, 1)))])
def test_the_repeatable_pool_is_the_other_with_its_gradient(halves_frames: bool, settings: tuple) -> None:
    for shape in ((2, 3, 5, 6, 7), (1, 2, 1, 1, 2), (1, 2, 4, 9, 8)):
        features = torch.randn(shape, generator=torch.Generator().manual_seed(0)).requires_grad_()
        expected = torch.nn.MaxPool3d(*settings)(features)
        (expected_gradient,) = torch.autograd.grad(expected.square().sum(), features)
        with algorithms(deterministic=True):
            found = HalvingMaxPool(halves_frames=halves_frames)(features)
            (gradient,) = torch.autograd.grad(found.square().sum(), features)
        assert torch.equal(found, expected)
        torch.testing.assert_close(gradient, expected_gradient)


def test_cuts_outside_the_stages_are_refused() -> None:
    with pytest.raises(ValueError, match="cut=1 is not possible; it must be 2, 3, 4 or 5"):
        tiny(1)
