"""3D ResNeXt: its published layers and tensors, both stems, cut anywhere."""

from pathlib import Path

import pytest
import torch
from literal_residual import TINY_RESNEXT, assert_same_gradients, enliven, leaves, resnext
from torch import Tensor

import objabn
from objabn.models.backbones import build_backbone
from objabn.models.resnext3d import ResNeXt3D
from objabn.models.weights import load_weights

STEMS = {"resnext3d_101": 128, "resnext3d_101_cvpr2018": 64}


def tiny(cut: int = 4) -> ResNeXt3D:
    torch.manual_seed(0)
    net = ResNeXt3D(TINY_RESNEXT, classes=5, cut=cut, dropout=0.0).eval()
    enliven(net)
    return net


def random_clip(frames: int, size: int) -> Tensor:
    return torch.randn(2, 3, frames, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("cut", "frames", "size", "feature_frames"), [(2, 16, 32, 8), (3, 13, 43, 4), (4, 16, 75, 2), (4, 17, 33, 3), (5, 16, 33, 1)]
)
def test_tail_of_stem_is_the_uncut_network_bit_for_bit(cut: int, frames: int, size: int, feature_frames: int) -> None:
    net, clip = tiny(cut), random_clip(frames, size)
    with torch.no_grad():
        (features,) = net.stem(clip)
        logits = net.tail((features,))
        assert torch.equal(logits, resnext(net.state_dict(), clip))
    assert logits.std() > 0
    assert features.shape == (2, net.channels, feature_frames, -(-size // 2**cut), -(-size // 2**cut))
    assert feature_frames == -(-frames // net.frame_stride)


def test_outputs_and_gradients_are_those_of_the_published_layers() -> None:
    net = tiny().double().train()
    clip, state = random_clip(9, 32).double(), leaves(net)
    assert_same_gradients(net, state, [net.tail(net.stem(clip))], [resnext(state, clip, training=True)])


def published_tensors(stem_channels: int, classes: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes by the rules of the authors' code: 3, 4, 23 and 3 bottlenecks, twice as wide at the end as within, 32 groups."""
    found = {"conv1.weight": (stem_channels, 3, 7, 7, 7), **norm("bn1", stem_channels)}
    channels = stem_channels
    for stage, (depth, inner) in enumerate(zip((3, 4, 23, 3), (128, 256, 512, 1024), strict=True), 1):
        for place in range(depth):
            name = f"layer{stage}.{place}"
            found |= {f"{name}.conv1.weight": (inner, channels, 1, 1, 1), **norm(f"{name}.bn1", inner)}
            found |= {f"{name}.conv2.weight": (inner, inner // 32, 3, 3, 3), **norm(f"{name}.bn2", inner)}
            found |= {f"{name}.conv3.weight": (2 * inner, inner, 1, 1, 1), **norm(f"{name}.bn3", 2 * inner)}
            if place == 0:
                found |= {f"{name}.downsample.0.weight": (2 * inner, channels, 1, 1, 1), **norm(f"{name}.downsample.1", 2 * inner)}
            channels = 2 * inner
    return found | {"fc.weight": (classes, channels), "fc.bias": (classes,)}


def norm(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    of_channels = {f"{name}.{tensor}": (channels,) for tensor in ("weight", "bias", "running_mean", "running_var")}
    return {**of_channels, f"{name}.num_batches_tracked": ()}


def published_parameters(stem_channels: int, classes: int) -> int:
    """Counted by stage: 1x1x1 in, 27 taps in 32 groups, 1x1x1 out, and two numbers for each channel of a norm."""
    total, channels = 3 * 7**3 * stem_channels + 2 * stem_channels, stem_channels
    for depth, inner in ((3, 128), (4, 256), (23, 512), (3, 1024)):
        behind_entry = 27 * inner * inner // 32 + 2 * inner * inner
        norms = 2 * (inner + inner + 2 * inner)
        shortcut = channels * 2 * inner + 2 * 2 * inner
        total += channels * inner + (depth - 1) * 2 * inner * inner + depth * (behind_entry + norms) + shortcut
        channels = 2 * inner
    return total + channels * classes + classes


@pytest.mark.parametrize(("name", "classes"), [("resnext3d_101", 700), ("resnext3d_101_cvpr2018", 400)])
def test_tensors_and_parameters_are_the_published_ones(name: str, classes: int) -> None:
    with torch.device("meta"):
        net = build_backbone(name, classes=classes, cut=4, clip_frames=16, clip_size=112, dropout=0.5)
    assert {key: tuple(value.shape) for key, value in net.state_dict().items()} == published_tensors(STEMS[name], classes)
    assert sum(value.numel() for value in net.parameters()) == published_parameters(STEMS[name], classes)


def published_file(path: Path, name: str, classes: int) -> dict[str, Tensor]:
    """A file as the authors write them: by DataParallel, in a dictionary with other things; of 2018 without counters of batches."""
    generator = torch.Generator().manual_seed(0)
    shapes = published_tensors(STEMS[name], classes)
    state = {key: torch.rand(shape, generator=generator) * 0.1 for key, shape in shapes.items() if shape}
    if name == "resnext3d_101":
        state |= {key: torch.tensor(7) for key, shape in shapes.items() if not shape}
    wrapped = {f"module.{key}": value for key, value in state.items()}
    torch.save({"epoch": 200, "arch": "resnext-101", "state_dict": wrapped}, path)
    return state


@pytest.mark.slow
@pytest.mark.parametrize("name", STEMS)
def test_published_files_load_into_the_network_of_their_stem(tmp_path: Path, name: str) -> None:
    state = published_file(tmp_path / "published.pth", name, 400)
    net = objabn.create_model(name, system="abn", weights=str(tmp_path / "published.pth"), classes=400, clip_size=112)
    assert net.weights_report.tensors == len(state)
    assert net.weights_report.replaced == ()
    assert all(torch.equal(value, state[key]) for key, value in net.backbone.state_dict().items() if key in state)
    other = next(another for another in STEMS if another != name)
    with pytest.raises(
        ValueError, match=rf"stem of {STEMS[name]} channels and the network one of {STEMS[other]}; take model.backbone={name},"
    ):
        objabn.create_model(other, system="abn", weights=str(tmp_path / "published.pth"), classes=400, clip_size=112)


def test_a_file_without_counters_of_batches_is_complete(tmp_path: Path) -> None:
    source, net = tiny(), ResNeXt3D(TINY_RESNEXT, classes=5)
    state = {f"module.{key}": value for key, value in source.state_dict().items() if not key.endswith("num_batches_tracked")}
    torch.save({"epoch": 3, "arch": "resnext-101", "state_dict": state}, tmp_path / "old.pth")
    report = load_weights(net, str(tmp_path / "old.pth"), kinetics400=None, classifier="fc", name="resnext3d_101")
    assert report.tensors == len(state)
    assert all(torch.equal(value, source.state_dict()[name]) for name, value in net.state_dict().items())


def test_a_stem_of_no_published_width_is_refused_as_another_architecture(tmp_path: Path) -> None:
    state = tiny().state_dict() | {"conv1.weight": torch.zeros(32, 3, 7, 7, 7)}
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"does not fit resnext3d_101: of its tensors 1 of another shape \(conv1.weight\)"):
        load_weights(tiny(), str(tmp_path / "other.pth"), kinetics400=None, classifier="fc", name="resnext3d_101")


def test_each_stem_reads_pixels_as_it_was_trained_to() -> None:
    """The newer code divides by the deviation of Kinetics; that of 2018 takes ActivityNet's mean off pixels of 0 to 255, and no more."""
    white = torch.full((1, 3, 1, 1, 1), 255, dtype=torch.uint8)
    for name, expected in (("resnext3d_101", (1 - 0.4345) / 0.2768), ("resnext3d_101_cvpr2018", 255 - 114.7748)):
        with torch.device("meta"):
            net = objabn.create_model(name, system="abn", weights=None, classes=5, clip_size=112)
        assert net.normalize(white)[0, 0].item() == pytest.approx(expected, rel=1e-5)


def test_branch_blocks_keep_the_grid_in_space_and_time() -> None:
    net = tiny(3)
    for shape, channels in (("next", 32), ("same", 16)):
        blocks, width = net.branch_blocks(shape, pretrained=True)
        (features,) = net.stem(random_clip(16, 32))
        assert blocks(features).shape == (2, channels, *features.shape[2:])
        assert width == channels


@pytest.mark.slow
@pytest.mark.parametrize("name", STEMS)
def test_at_full_width_every_parameter_of_a_gated_network_receives_gradient(name: str) -> None:
    torch.manual_seed(0)
    net = objabn.create_model(name, system="gated", cut=2, classes=51, clip_frames=16, clip_size=64)
    output = net(torch.randint(0, 256, (2, 3, 16, 64, 64), dtype=torch.uint8))
    assert output.maps.shape == (2, 4, 16, 16, 16)
    output.logits.square().sum().backward()
    assert [name for name, value in net.named_parameters() if value.grad is None or not value.grad.abs().sum() > 0] == []
