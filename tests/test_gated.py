"""The gated network: each stage gated in the light of the last one, all pools together, on any backbone."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from literal_residual import TINY, Literal, assert_same_gradients, enliven, leaves
from small_backbones import FAMILIES, shrink
from torch import Tensor
from torch.nn import functional
from toys import toy_batch, toy_config, trained_losses

import objabn
from objabn.config import ModelConfig, OptimConfig
from objabn.models.build import build_model
from objabn.models.gated_network import StageGate, resample
from objabn.models.network import AttentionNetwork
from objabn.training.parts import frozen_modules, part_of

CLASSES = 3


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch)


def build(
    backbone: str = "resnext3d_101", *, clip_frames: int = 8, clip_size: int = 32, classes: int = CLASSES, **settings: object
) -> AttentionNetwork:
    torch.manual_seed(0)
    config = ModelConfig(**{"backbone": backbone, "system": "gated", "cut": 2, "weights": "none", "dropout": 0.0, **settings})
    net = build_model(config, classes=classes, clip_frames=clip_frames, clip_size=clip_size)
    enliven(net)
    return net


def random_clip(frames: int = 8, size: int = 32, clips: int = 3) -> Tensor:
    return torch.randint(0, 256, (clips, 3, frames, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def literal(state: dict[str, Tensor], clip: Tensor, *, cut: int, has_residual: bool) -> list[Tensor]:
    """On the 3D ResNeXt: logits, and the map of each stage on the stage's own grid."""
    net = Literal({name.removeprefix("backbone."): value for name, value in state.items()}, training=True)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1, 1).double() for values in ((102.0, 102.0, 102.0), (51.0, 76.5, 51.0)))
    x, outputs = net.resnext_stem((clip - mean) / std), []
    for stage, depth in enumerate(TINY["blocks"], 1):
        x = net.resnext_stage(x, stage, depth=depth, groups=2)
        outputs.append(x)
    g = functional.adaptive_avg_pool3d(x, 1)
    maps, pools = [], []
    for place, values in enumerate(outputs[cut - 2 :]):
        signal = functional.conv3d(g, state[f"gate.{place}.from_signal.weight"], state[f"gate.{place}.from_signal.bias"])
        inner = functional.relu(functional.conv3d(values, state[f"gate.{place}.from_features.weight"]) + signal)
        gate = torch.sigmoid(functional.conv3d(inner, state[f"gate.{place}.to_map.weight"], state[f"gate.{place}.to_map.bias"]))
        gated = values * gate + values if has_residual else values * gate
        maps.append(gate)
        pools.append(functional.adaptive_avg_pool3d(gated, 1).flatten(1))
    return [net.linear("tail.linear", torch.cat([*pools, g.flatten(1)], 1)), *maps]


@pytest.mark.parametrize(("apply", "cut"), [("product", 2), ("residual", 3), ("product", 5)])
def test_outputs_and_gradients_are_those_of_the_description(apply: str, cut: int) -> None:
    net = build(apply=apply, cut=cut).double().train()
    state, clip, found = leaves(net), random_clip().double(), []
    for gate in net.gate:
        gate.register_forward_hook(lambda _module, _inputs, output: found.append(output))
    logits = net(clip).logits
    assert_same_gradients(net, state, [logits, *found], literal(state, clip, cut=cut, has_residual=apply == "residual"))


def test_a_gate_is_the_number_worked_out_by_hand() -> None:
    gate = StageGate(2, 1)
    with torch.no_grad():
        gate.from_features.weight.copy_(torch.tensor([1.0, -1.0]).view(1, 2, 1, 1, 1))
        gate.from_signal.weight.fill_(2)
        gate.from_signal.bias.fill_(-1)
        gate.to_map.weight.fill_(0.5)
        gate.to_map.bias.fill_(1)
    features = torch.tensor([[5.0, 0.0], [1.0, 9.0]]).view(1, 2, 1, 1, 2)
    drawn = gate(features, torch.full((1, 1, 1, 1, 1), 1.5))
    # (5 - 1) + 2 * 1.5 - 1 = 6 and sigmoid(6 / 2 + 1); (0 - 9) + 2 is below zero, and sigmoid(1) is left.
    assert drawn.flatten().tolist() == pytest.approx([1 / (1 + math.exp(-4)), 1 / (1 + math.exp(-1))])


@pytest.mark.parametrize(("backbone", "cut"), [*((name, 2) for name in FAMILIES), ("resnext3d_101", 4), ("x3d_nano", 5)])
def test_it_sits_on_any_backbone_and_gradients_reach_every_parameter(backbone: str, cut: int) -> None:
    net = build(backbone, cut=cut)
    output = net(random_clip())
    names = ("M_1", "M_2", "M_3", "M_4")[cut - 2 :]
    assert net.map_names == names
    assert output.logits.shape == (3, CLASSES)
    assert (output.branch_logits, output.frame_weights) == (None, None)
    assert output.maps.shape == (3, len(names), 8, net.grid_size, net.grid_size)
    assert output.features.shape[:2] == (3, net.feature_channels)
    assert 0 <= output.maps.min() < output.maps.max() <= 1
    output.logits.square().sum().backward()
    assert [name for name, value in net.named_parameters() if value.grad is None or not value.grad.isfinite().all()] == []
    assert [name for name, value in net.named_parameters() if value.grad.abs().sum() == 0] == []


def test_the_layer_of_the_answer_sees_all_gated_pools_and_the_last_without() -> None:
    # Stages of 8, 16, 32 and 64 channels, and the last again.
    assert build().tail.linear.in_features == 8 + 16 + 32 + 64 + 64
    assert build(cut=4).tail.linear.in_features == 32 + 64 + 64
    assert not any(name.startswith("backbone.fc") for name in build().state_dict())


def test_gates_of_ones_leave_the_pools_of_the_stages() -> None:
    net = build().eval()
    with torch.no_grad():
        for gate in net.gate:
            gate.to_map.weight.zero_()
            gate.to_map.bias.fill_(100)
        stages = net.backbone.stages(net.backbone.stem(net.normalize(random_clip())))
        pools = torch.cat([stage.mean((2, 3, 4)) for stage in (*stages, stages[-1])], 1)
        torch.testing.assert_close(net(random_clip()).logits, net.tail.linear(pools))


def test_maps_are_resampled_in_space_and_repeated_in_time() -> None:
    drawn = torch.tensor([[0.0, 1.0], [0.5, 0.5]]).view(1, 1, 2, 1, 2)
    shown = resample(drawn, frames=4, grid=(2, 4))
    assert shown.shape == (1, 1, 4, 2, 4)
    # Cell centres of the finer grid lie at -1/4, 1/4, 3/4 and 5/4 of the coarser one's; beyond its own it does not change.
    assert shown[0, 0, 0, 0].tolist() == shown[0, 0, 1, 1].tolist() == [0, 0.25, 0.75, 1]
    assert shown[0, 0, 2:].unique().tolist() == [0.5]


def test_clips_of_other_sizes_and_lengths_are_answered() -> None:
    net = build()
    assert net(random_clip(frames=5, size=43)).maps.shape == (3, 4, 5, 11, 11)


def test_the_backbone_starts_from_its_weights(tmp_path: Path) -> None:
    donor = build(system="abn")
    torch.save(donor.backbone.state_dict(), tmp_path / "weights.pth")
    net = objabn.create_model(
        "resnext3d_101", system="gated", cut=2, classes=5, clip_frames=8, clip_size=32, weights=str(tmp_path / "weights.pth")
    )
    assert net.weights_report.tensors == len(donor.backbone.state_dict()) - 2
    assert torch.equal(net.backbone.layer4[1].conv2.weight, donor.backbone.layer4[1].conv2.weight)


def test_other_classes_begin_the_last_layer_afresh(tmp_path: Path) -> None:
    net = build()
    objabn.save_model(net, tmp_path / "three.safetensors")
    other = build(classes=5, weights=str(tmp_path / "three.safetensors"), replace_classes=True)
    assert other.weights_report.replaced == ("tail.linear",)
    assert torch.equal(other.gate[0].to_map.weight, net.gate[0].to_map.weight)


@pytest.mark.parametrize("settings", [{"apply": "residual"}, {"backbone": "x3d_nano", "cut": 3}, {"backbone": "resnet18"}])
def test_reloaded_outputs_are_equal_bit_for_bit(tmp_path: Path, settings: dict[str, object]) -> None:
    net = build(**settings)
    net(random_clip())
    net.eval()
    objabn.save_model(net, tmp_path / "model.safetensors")
    again = objabn.load_model(tmp_path / "model.safetensors")
    with torch.no_grad():
        ours, theirs = again(random_clip()), net(random_clip())
    for name in ("logits", "maps", "features"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name)), name


def test_maps_are_single_precision_under_autocast() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        output = build()(random_clip())
    assert output.maps.dtype == torch.float32


def test_the_backbone_can_be_frozen_and_the_gates_learn() -> None:
    net = build(dropout=0.5)
    assert {part_of(net, name) for name in net.state_dict()} == {"stem", "tail", "classifier", "gate"}
    assert part_of(net, "tail.linear.bias") == "classifier"
    assert part_of(net, "backbone.layer4.0.conv1.weight") == "tail"
    config = toy_config(optim=OptimConfig(epochs=1, batch=4, lr=1e-2, freeze=("stem", "tail")))
    config = replace(config, model=net.config)
    net, before = build(clip_frames=4), build(clip_frames=4).state_dict()
    objabn.fit(net, [toy_batch(0)], config, loggers=[])
    moved = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {name for name in before if name.startswith(("gate.", "tail."))}
    assert net.tail.dropout not in frozen_modules(net, ["tail"]), "it is there for the classifier"


def test_training_lowers_the_loss() -> None:
    losses = trained_losses(replace(toy_config().model, backbone="resnext3d_101", system="gated"))
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.slow
@pytest.mark.parametrize("file_format", ["onnx", "pt2"])
@pytest.mark.parametrize("backbone", ["resnext3d_101", "resnet18", "x3d_nano"])
def test_it_is_exported(tmp_path: Path, file_format: str, backbone: str) -> None:
    net = build(backbone, cut=3)
    for _ in range(3):
        net(random_clip())
    written = objabn.export(net, file_format, tmp_path / f"net.{file_format}")
    assert set(written.differences) == {"logits", "maps"}
    assert max(written.differences.values()) < 1e-3
