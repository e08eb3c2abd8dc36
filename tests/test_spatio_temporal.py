"""ST-ABN: every layer of the published code, on any backbone, for one number of frames."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from literal_residual import TINY, Literal, assert_same_gradients, enliven, leaves
from small_backbones import FAMILIES, shrink
from torch import Tensor
from torch.nn import functional
from toys import toy_config, trained_losses

import objabn
from objabn.config import ModelConfig
from objabn.models.build import build_model
from objabn.models.network import AttentionNetwork, count_parameters
from objabn.models.spatio_temporal import SpatioTemporalBranch, SpatioTemporalGate, TemporalWeights
from objabn.training.parts import frozen_modules, part_of

CLASSES, FRAMES, SIZE = 3, 4, 32


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch)


def build(backbone: str = "resnet3d_50", *, clip_frames: int = FRAMES, clip_size: int = SIZE, **settings: object) -> AttentionNetwork:
    torch.manual_seed(0)
    config = ModelConfig(**{"backbone": backbone, "system": "st_abn", "weights": "none", "dropout": 0.0, **settings})
    net = build_model(config, classes=CLASSES, clip_frames=clip_frames, clip_size=clip_size)
    enliven(net)
    return net


def wake(net: AttentionNetwork) -> None:
    """Keep the two ReLUs over so few frames from being zero for all of them, and with them every gradient of the layers before."""
    with torch.no_grad():
        net.branch.temporal.mix.weight.abs_()
        net.branch.temporal.hidden.weight.abs_()


def random_clip(frames: int = FRAMES, size: int = SIZE, clips: int = 3) -> Tensor:
    return torch.randint(0, 256, (clips, 3, frames, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def literal_branch(net: Literal, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Behind the blocks: spatial map, temporal weights and class scores."""
    a = functional.relu(net.norm("branch.shared_norm", net.conv("branch.shared_conv", net.norm("branch.norm", x))))
    spatial = torch.sigmoid(net.norm("branch.map_norm", net.conv("branch.map_conv", a)))
    t = functional.relu(net.norm("branch.temporal.norm", net.conv("branch.temporal.conv", a, padding=1)))
    t = functional.relu(functional.conv2d(t[:, 0], net.state["branch.temporal.mix.weight"]))
    t = functional.avg_pool2d(t, t.shape[2:]).flatten(1)
    t = functional.relu(net.linear("branch.temporal.hidden", t))
    temporal = torch.sigmoid(net.linear("branch.temporal.weigh", t))
    c = net.conv("branch.class_conv", a)
    scores = net.linear("branch.class_linear", functional.avg_pool3d(c, (1, *c.shape[3:])).flatten(1))
    return spatial, temporal, scores


def literal_merge(net: Literal, x: Tensor, spatial: Tensor, temporal: Tensor, *, has_relu: bool) -> Tensor:
    """Residual in space, product in time, side by side into one convolution."""
    s, t = x * spatial + x, x * temporal.view(len(x), 1, -1, 1, 1)
    merged = net.norm("gate.norm", net.conv("gate.merge", torch.cat([s, t], 1)))
    return functional.relu(merged) if has_relu else merged


def literal(state: dict[str, Tensor], clip: Tensor, *, has_relu: bool) -> list[Tensor]:
    """The whole network on the inflated ResNet, cut behind its third stage."""
    backbone = Literal({name.removeprefix("backbone."): value for name, value in state.items()}, training=True)
    net = Literal(state, training=True)
    # The network keeps both as float32.
    mean, std = (torch.tensor(values).view(1, 3, 1, 1, 1).double() for values in ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)))
    x = backbone.resnet_stem((clip - mean) / std)
    for stage in (1, 2, 3):
        x = backbone.resnet_stage(x, stage, depth=TINY["blocks"][stage - 1])
    spatial, temporal, branch_logits = literal_branch(net, net.resnet_stage(x, 4, name="branch.blocks", depth=3, stride=1))
    merged = literal_merge(net, x, spatial, temporal, has_relu=has_relu)
    return [backbone.head(backbone.resnet_stage(merged, 4, depth=TINY["blocks"][3])), branch_logits, spatial, temporal]


@pytest.mark.parametrize(("merge_activation", "merge_init"), [("relu", "random"), ("none", "mean")])
def test_outputs_and_gradients_are_those_of_the_published_layers(merge_activation: str, merge_init: str) -> None:
    net = build(merge_activation=merge_activation, merge_init=merge_init).double().train()
    wake(net)
    state, clip = leaves(net), random_clip().double()
    output = net(clip)
    ours = [output.logits, output.branch_logits, output.maps, output.frame_weights]
    assert_same_gradients(net, state, ours, literal(state, clip, has_relu=merge_activation == "relu"))


def test_weights_of_frames_are_the_number_worked_out_by_hand() -> None:
    temporal = TemporalWeights(classes=1, frames=2).eval()
    with torch.no_grad():
        for parameter in temporal.parameters():
            parameter.zero_()
        temporal.conv.weight[0, 0, 1, 1, 1] = 1  # the middle: each position as it is
        temporal.norm.weight.fill_((1 + 1e-5) ** 0.5)
        temporal.mix.weight.copy_(torch.tensor([[1.0, -1.0], [0.0, 2.0]])[:, :, None, None])
        temporal.hidden.weight.copy_(torch.eye(2))
        temporal.weigh.weight.copy_(torch.eye(2))
        temporal.weigh.bias.copy_(torch.tensor([0.0, -1.0]))
        scores = torch.tensor([[3.0, 1.0], [1.0, 0.5]]).view(1, 1, 2, 1, 2)
        weights = temporal(scores)
    # Frame 1 less frame 2 is (2, 0.5), twice frame 2 is (2, 1): means 1.25 and 1.5, less the bias 1.25 and 0.5.
    assert weights.tolist() == [pytest.approx([1 / (1 + 2.718281828**-1.25), 1 / (1 + 2.718281828**-0.5)], abs=1e-6)]


def test_the_merge_equals_the_concatenation() -> None:
    torch.manual_seed(0)
    gate = SpatioTemporalGate(4, merge_init="random").double().eval()
    features, maps, weights = torch.randn(2, 4, 3, 5, 5).double(), torch.rand(2, 1, 3, 5, 5).double(), torch.rand(2, 3).double()
    copies = torch.cat([features * maps + features, features * weights[:, None, :, None, None]], 1)
    expected = functional.relu(gate.norm(functional.conv3d(copies, gate.merge.weight)))
    torch.testing.assert_close(gate(features, maps, weights), expected)


@pytest.mark.parametrize(("backbone", "cut"), [*((name, 4) for name in FAMILIES), ("x3d_nano", 2), ("resnext3d_101", 2)])
def test_it_sits_on_any_backbone_and_gradients_reach_every_parameter(backbone: str, cut: int) -> None:
    net = build(backbone, cut=cut, clip_frames=8)
    wake(net)
    output = net(random_clip(8))
    assert net.map_names == ("M_s",)
    assert output.logits.shape == output.branch_logits.shape == (3, CLASSES)
    assert output.maps.shape == (3, 1, 8, net.grid_size, net.grid_size)
    assert output.frame_weights.shape == (3, 8)
    assert output.features.shape == (3, net.feature_channels, net.feature_frames, net.grid_size, net.grid_size)
    assert 0 <= output.maps.min() < output.maps.max() <= 1
    (output.logits.square().sum() + output.branch_logits.square().sum()).backward()
    assert [name for name, value in net.named_parameters() if value.grad is None or not value.grad.isfinite().all()] == []
    assert [name for name, value in net.named_parameters() if value.grad.abs().sum() == 0] == []


def test_the_blocks_of_the_branch_start_as_those_of_the_fourth_stage() -> None:
    torch.manual_seed(0)
    net = build_model(ModelConfig(backbone="resnet3d_50", system="st_abn", weights="none"), classes=3, clip_frames=4, clip_size=32)
    for block, source in zip(net.branch.blocks, net.backbone.layer4, strict=False):
        assert all(torch.equal(value, source.state_dict()[name]) for name, value in block.state_dict().items())
        assert block.conv2.stride == (1, 1, 1)
        assert block.conv1.kernel_size == (3, 1, 1)


def test_a_backbone_that_merges_frames_has_fewer_weights_and_tells_one_for_each_frame() -> None:
    net = build("resnext3d_101", cut=3, clip_frames=7).eval()
    output = net(random_clip(7))
    assert net.branch.temporal.frames == 2
    assert output.frame_weights[0, :4].unique().numel() == output.frame_weights[0, 4:].unique().numel() == 1


def test_clips_of_another_length_are_refused_and_of_another_size_are_not() -> None:
    net = build()
    assert net(random_clip(size=48)).maps.shape[3:] == (3, 3)
    with pytest.raises(ValueError, match="have 8 frames behind the stem and this st_abn was built for 4, the only number"):
        net(random_clip(frames=8))


def test_a_network_for_other_clips_is_no_start_and_that_is_said(tmp_path: Path) -> None:
    objabn.save_model(build(clip_frames=4), tmp_path / "four.safetensors")
    with pytest.raises(
        ValueError, match=r"was built for clips of 4 frames and this network for 8, which branch.class_linear.weight, .* cannot be"
    ):
        build(clip_frames=8, weights=str(tmp_path / "four.safetensors"))
    objabn.save_model(build(clip_frames=4), tmp_path / "four.safetensors")
    with pytest.raises(ValueError, match=r"it has model.merge_activation=relu; set the same"):
        build(clip_frames=4, merge_activation="none", weights=str(tmp_path / "four.safetensors"))


def test_other_classes_begin_afresh_in_every_layer_that_has_them(tmp_path: Path) -> None:
    net = build()
    objabn.save_model(net, tmp_path / "three.safetensors")
    config = replace(net.config, weights=str(tmp_path / "three.safetensors"), replace_classes=True)
    other = build_model(config, classes=5, clip_frames=FRAMES, clip_size=SIZE)
    changed = {name for name, value in net.state_dict().items() if value.shape != other.state_dict()[name].shape}
    assert changed
    assert {name.rpartition(".")[0] for name in changed} == set(net.class_layers)
    assert torch.equal(other.branch.temporal.mix.weight, net.branch.temporal.mix.weight)


@pytest.mark.parametrize("settings", [{}, {"backbone": "resnext3d_101", "cut": 3, "merge_activation": "none"}, {"backbone": "x3d_nano"}])
def test_reloaded_outputs_are_equal_bit_for_bit(tmp_path: Path, settings: dict[str, object]) -> None:
    net = build(**settings)
    net(random_clip())
    net.eval()
    objabn.save_model(net, tmp_path / "model.safetensors")
    again = objabn.load_model(tmp_path / "model.safetensors")
    with torch.no_grad():
        for value, expected in zip(again(random_clip()), net(random_clip()), strict=True):
            assert torch.equal(value, expected)


def test_maps_and_weights_are_single_precision_under_autocast() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        output = build()(random_clip())
    assert output.maps.dtype == output.frame_weights.dtype == torch.float32
    assert output.logits.dtype == torch.bfloat16


def test_parts_can_be_frozen() -> None:
    net = build(dropout=0.5)
    assert {part_of(net, name) for name in net.state_dict()} == {"stem", "tail", "classifier", "branch", "gate"}
    assert part_of(net, "backbone.bn1.weight") == part_of(net, "backbone.layer3.0.conv1.weight") == "stem"
    frozen = frozen_modules(net, ["branch", "gate"])
    assert net.branch.temporal.norm in frozen
    assert net.gate.norm in frozen
    assert net.backbone.dropout not in frozen


def test_training_lowers_the_loss() -> None:
    losses = trained_losses(replace(toy_config().model, backbone="resnet3d_50", system="st_abn", cut=2))
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.slow
@pytest.mark.parametrize("file_format", ["onnx", "pt2"])
@pytest.mark.parametrize("backbone", ["resnet3d_50", "resnext3d_101", "x3d_nano"])
def test_it_is_exported(tmp_path: Path, file_format: str, backbone: str) -> None:
    net = build(backbone, cut=3)
    for _ in range(3):
        net(random_clip())
    written = objabn.export(net, file_format, tmp_path / f"net.{file_format}")
    assert set(written.differences) == {"logits", "branch_logits", "maps", "frame_weights"}
    assert max(written.differences.values()) < 1e-3


def published_parameters(classes: int, frames: int) -> int:
    """What the published network has beside its 3D ResNet-50: three bottlenecks, branch, class scores and merge."""
    bottlenecks = (1024 + 2 * 2048) * 512 * 3 + 3 * (512 * 512 * 9 + 512 * 2048) + 1024 * 2048
    bottleneck_norms = 2 * (3 * (512 + 512 + 2048) + 2048)
    spatial = 2 * 2048 + 2048 * classes + 2 * classes + classes + 2
    temporal = 27 * classes + 2 + frames * frames + 2 * (frames * frames + frames)
    scores = classes * classes + classes * frames * classes + classes
    merge = 2048 * 1024 + 2 * 1024
    return bottlenecks + bottleneck_norms + spatial + temporal + scores + merge


def test_at_its_published_size_it_has_the_parameters_of_its_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    with torch.device("meta"):
        net = objabn.create_model("resnet3d_50", system="st_abn", classes=174, clip_frames=32)
    added = count_parameters(net) - count_parameters(net.backbone)
    assert added == published_parameters(174, 32)
    assert (net.grid_size, net.feature_channels, net.feature_frames) == (14, 2048, 32)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["resnet3d_50", "resnet3d_101", "x3d_m"])
def test_at_full_width_every_parameter_receives_gradient(monkeypatch: pytest.MonkeyPatch, backbone: str) -> None:
    monkeypatch.undo()
    torch.manual_seed(0)
    net = objabn.create_model(backbone, system="st_abn", classes=51, clip_frames=8, clip_size=64)
    enliven(net)
    wake(net)
    output = net(random_clip(8, 64, clips=2))
    (output.logits.square().sum() + output.branch_logits.square().sum()).backward()
    assert [name for name, value in net.named_parameters() if value.grad is None or not value.grad.abs().sum() > 0] == []


def test_a_branch_of_its_own_has_the_shapes_of_its_parts() -> None:
    branch = SpatioTemporalBranch(torch.nn.Identity(), 4, classes=3, frames=2)
    attention = branch(torch.randn(2, 4, 2, 5, 5))
    assert (attention.maps.shape, attention.logits.shape, attention.frame_weights.shape) == ((2, 1, 2, 5, 5), (2, 3), (2, 2))
    assert branch.class_linear.in_features == 3 * 2
