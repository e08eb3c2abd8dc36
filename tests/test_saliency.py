"""The saliency mask and both temporal attentions against a plain transcription of their description, frame by frame in 2-D."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from toys import CLASSES, FRAMES, Recorder, toy_batch, toy_config

import objabn
from objabn.config import Config, LossConfig, ModelConfig, OptimConfig
from objabn.exporting import graphs
from objabn.models.build import build_model
from objabn.models.conv_lstm import ConvLSTM, InputAttentionTail, StateAttentionTail
from objabn.models.gating import SingleGate
from objabn.models.network import AttentionNetwork, count_parameters
from objabn.models.saliency import SaliencyBranch
from objabn.training.loop import fit

CHANNELS, HIDDEN = 8, 6
Part = dict[str, Tensor]


def frame_wise(weight: Tensor) -> Tensor:
    """The kernel (out, in, 1, 3, 3) as one of 2-D."""
    return weight[:, :, 0]


def conv_bn_relu(x_BCYX: Tensor, part: Part, number: int) -> Tensor:
    """conv3x3 without bias, batch norm by the statistics of the batch, ReLU."""
    x = functional.conv2d(x_BCYX, frame_wise(part[f"{number}.weight"]), padding=1)
    mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), unbiased=False, keepdim=True)
    scale, shift = part[f"{number + 1}.weight"].view(1, -1, 1, 1), part[f"{number + 1}.bias"].view(1, -1, 1, 1)
    return ((x - mean) / (variance + 1e-5).sqrt() * scale + shift).relu()


def under(weights: Part, prefix: str) -> Part:
    return {name.removeprefix(f"{prefix}."): value for name, value in weights.items() if name.startswith(f"{prefix}.")}


def saliency(x_BCTYX: Tensor, branch: Part) -> Tensor:
    """All frames of all clips as one batch of pictures: conv BN ReLU, conv BN ReLU, conv, sigmoid."""
    clips, frames = x_BCTYX.shape[0], x_BCTYX.shape[2]
    x = x_BCTYX.transpose(1, 2).flatten(0, 1)
    x = conv_bn_relu(conv_bn_relu(x, under(branch, "blocks"), 0), under(branch, "blocks"), 3)
    score = functional.conv2d(x, frame_wise(branch["map_conv.weight"]), padding=1)
    return (1 / (1 + torch.exp(-score))).unflatten(0, (clips, frames)).transpose(1, 2)


def lstm_cell(x: Tensor, h: Tensor, c: Tensor, part: Part) -> tuple[Tensor, Tensor]:
    """One convolution of [x; h] gives i, f, o, g."""
    gates = functional.conv2d(torch.cat([x, h], 1), frame_wise(part["conv.weight"]), part["conv.bias"], padding=1)
    i, f, o, g = (gates[:, HIDDEN * place : HIDDEN * (place + 1)] for place in range(4))
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def variant_a(x: Tensor, tail: Part, bias: Tensor) -> tuple[Tensor, Tensor]:
    """ConvLSTM from zeros over the frames; softmax over t of v h_t + b; FC of the weighted sum."""
    h = c = x.new_zeros(len(x), HIDDEN, *x.shape[3:])
    pooled = []
    for t in range(x.shape[2]):
        h, c = lstm_cell(x[:, :, t], h, c, under(tail, "lstm"))
        pooled.append(h.mean((2, 3)))
    e = torch.stack([h_t @ tail["score.weight"][0] + bias for h_t in pooled], 1)
    w = e.softmax(1)
    feature = sum(w[:, t, None] * h_t for t, h_t in enumerate(pooled))
    return feature @ tail["classify.weight"].T + tail["classify.bias"], w


def variant_b(x: Tensor, tail: Part, u_h: Tensor) -> tuple[Tensor, Tensor]:
    """At each of n steps: scores of all frames with the state before, softmax over them, ConvLSTM; FC of the mean state."""
    mean, frames = x.mean(2), x.shape[2]
    h, c = (conv_bn_relu(conv_bn_relu(mean, part, 0), part, 3) for part in (under(tail, "first_hidden"), under(tail, "first_cell")))
    pooled, weights = [], []
    for _ in range(frames):
        state = h.mean((2, 3)) @ u_h
        e = torch.stack([x[:, :, i].mean((2, 3)) @ tail["score.weight"][0] + state for i in range(frames)], 1)
        w = e.softmax(1)
        y = sum(w[:, i, None, None, None] * x[:, :, i] for i in range(frames))
        h, c = lstm_cell(y, h, c, under(tail, "lstm"))
        pooled.append(h.mean((2, 3)))
        weights.append(w)
    feature = sum(pooled) / frames
    return feature @ tail["classify.weight"].T + tail["classify.bias"], sum(weights) / frames


def head(kind: type[InputAttentionTail] | type[StateAttentionTail]) -> nn.ModuleDict:
    torch.manual_seed(0)
    tail = kind(CHANNELS, hidden_channels=HIDDEN, classes=3)
    parts = nn.ModuleDict({"branch": SaliencyBranch(CHANNELS), "tail": tail}).double()
    with torch.no_grad():
        for value in parts.parameters():
            value.add_(0.3 * torch.randn_like(value))
        # Scores far enough apart for weights that differ.
        tail.score.weight.mul_(8)
    return parts


@pytest.mark.parametrize(("kind", "transcription"), [(InputAttentionTail, variant_b), (StateAttentionTail, variant_a)])
def test_outputs_and_gradients_are_those_of_the_transcription(kind: type, transcription: object) -> None:
    parts = head(kind)
    features = torch.randn(3, CHANNELS, 5, 4, 3, dtype=torch.float64)
    attention = parts["branch"](features)
    answer = parts["tail"](SingleGate("product")(features, attention.maps))
    # Beside our weights, what falls out of the softmax: u_h of the paper, and the bias of the authors' score.
    no_part = torch.randn(HIDDEN if kind is InputAttentionTail else (), dtype=torch.float64, requires_grad=True)
    copies = {name: value.detach().clone().requires_grad_() for name, value in parts.named_parameters()}
    maps = saliency(features, under(copies, "branch"))
    logits, weights = transcription(features * maps, under(copies, "tail"), no_part)
    for value, expected in ((attention.maps, maps), (answer.logits, logits), (answer.frame_weights, weights)):
        torch.testing.assert_close(value, expected)
    assert weights.max() - weights.min() > 0.1

    def loss(logits: Tensor, maps: Tensor, weights: Tensor) -> Tensor:
        slopes = torch.linspace(0, 1, maps.numel(), dtype=maps.dtype).view_as(maps)
        return logits.square().sum() + (maps * slopes).sum() + weights[:, 0].sum()

    loss(answer.logits, attention.maps, answer.frame_weights).backward()
    loss(logits, maps, weights).backward()
    for name, value in parts.named_parameters():
        torch.testing.assert_close(value.grad, copies[name].grad)
        assert value.grad.abs().max() > 1e-6, name
    assert no_part.grad.abs().max() < 1e-12, "it moves all scores of a softmax alike, so it cannot learn"


def test_the_cell_by_hand() -> None:
    lstm = ConvLSTM(1, 1)
    nn.init.zeros_(lstm.conv.weight)
    with torch.no_grad():
        # Only the middle of each kernel: i, f, o, g = x, h, 0, 2 x.
        lstm.conv.weight[[0, 1, 3], [0, 1, 0], 0, 1, 1] = torch.tensor([1.0, 1.0, 2.0])
        nn.init.zeros_(lstm.conv.bias)
        x, h, c = (torch.full((1, 1, 1, 1, 1), value) for value in (0.5, -0.25, 2.0))
        state = lstm([lstm.input_gates(x)], h, c).item()
    sigmoid, tanh = (lambda v: torch.tensor(v).sigmoid().item()), (lambda v: torch.tensor(v).tanh().item())
    assert state == pytest.approx(0.5 * tanh(sigmoid(-0.25) * 2.0 + sigmoid(0.5) * tanh(1.0)))


def test_the_published_sizes() -> None:
    with torch.device("meta"):
        branch = SaliencyBranch(2048)
        paper, fast = (kind(2048, hidden_channels=512, classes=101) for kind in (InputAttentionTail, StateAttentionTail))
    # 3x3 convolutions 2048 -> 1024 -> 512 with batch norms, then -> 1.
    narrowing = 9 * (2048 * 1024 + 1024 * 512) + 2 * (1024 + 512)
    assert count_parameters(branch) == narrowing + 9 * 512
    # [2048 + 512] -> 4 x 512 with biases, and 512 -> 101.
    both = 9 * 2560 * 2048 + 2048 + 512 * 101 + 101
    assert count_parameters(fast) == both + 512
    assert count_parameters(paper) == both + 2 * narrowing + 2048


def small(*, clip_size: int = 64, **settings: object) -> AttentionNetwork:
    torch.manual_seed(0)
    model = {"system": "saliency_lstm", "cut": 5, "hidden_channels": 8, "dropout": 0.0, **settings}
    return objabn.create_model("x3d_nano", classes=CLASSES, clip_frames=FRAMES, clip_size=clip_size, **model)


def random_clip(frames: int = FRAMES, size: int = 64) -> Tensor:
    return torch.randint(0, 256, (2, 3, frames, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize("temporal", ["paper", "fast"])
def test_the_network_answers_clips_of_any_length_and_size(temporal: str) -> None:
    net = small(temporal=temporal)
    assert (net.map_names, net.classifier, net.class_layers, net.feature_channels) == (("M",), "tail.classify", ("tail.classify",), 0)
    for frames, size, grid in ((FRAMES, 64, 2), (7, 75, 3)):
        output = net(random_clip(frames, size))
        assert output.logits.shape == (2, CLASSES)
        assert output.maps.shape == (2, 1, frames, grid, grid)
        assert (output.branch_logits, output.features) == (None, None)
        torch.testing.assert_close(output.frame_weights.sum(1), torch.ones(2))
    (output.logits.square().sum() + output.maps.sum()).backward()
    assert [name for name, value in net.named_parameters() if value.grad is None] == []
    assert net.tail.score.weight.grad.any()


@pytest.mark.usefixtures("shallow")
def test_dropped_channels_are_those_of_a_whole_clip_and_neither_mask_nor_tail_sees_them() -> None:
    net, seen = small(dropout=0.5), []
    net.branch.register_forward_pre_hook(lambda _branch, given: seen.append(given[0]))
    net.gate.register_forward_pre_hook(lambda _gate, given: seen.append(given[0]))
    features = torch.ones(2, net.backbone.channels, FRAMES, 2, 2)
    net.answer((features,), frames=FRAMES)
    masked, gated = seen
    assert torch.equal(masked, gated)
    values_BC = masked.mean((2, 3, 4))
    assert set(values_BC.unique().tolist()) == {0.0, 2.0}
    assert not torch.equal(values_BC[0], values_BC[1])
    seen.clear()
    net.eval().answer((features,), frames=FRAMES)
    assert torch.equal(seen[0], features)


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize("temporal", ["paper", "fast"])
def test_it_is_saved_and_loaded_bit_for_bit(tmp_path: Path, temporal: str) -> None:
    net = small(temporal=temporal)
    net(random_clip())
    objabn.save_model(net.eval(), tmp_path / "model.safetensors")
    again = objabn.load_model(tmp_path / "model.safetensors")
    with torch.no_grad():
        for value, expected in zip(again(random_clip()), net(random_clip()), strict=True):
            assert value is expected is None or torch.equal(value, expected)


@pytest.mark.usefixtures("shallow")
def test_half_precision_keeps_maps_and_weights_in_single_precision() -> None:
    net = small().eval()
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        output = net(random_clip())
    assert (output.maps.dtype, output.frame_weights.dtype) == (torch.float32, torch.float32)
    with torch.no_grad():
        torch.testing.assert_close(output.frame_weights, net(random_clip()).frame_weights, atol=0.02, rtol=0)


def config_of(temporal: str, **optim: object) -> Config:
    config = toy_config(optim=OptimConfig(**{"epochs": 10, "batch": 4, "lr": 1e-2} | optim))
    model = ModelConfig(
        backbone="x3d_nano", system="saliency_lstm", weights="none", cut=5, temporal=temporal, hidden_channels=8, dropout=0.0
    )
    return replace(config, model=model, loss=LossConfig(pc=0, total_variation=1e-5, contrast=1e-4, unimodal=1.0))


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize("temporal", ["paper", "fast"])
def test_training_lowers_the_loss_and_leaves_a_frozen_backbone_alone(temporal: str) -> None:
    config, recorder = config_of(temporal, freeze=("stem",)), Recorder()
    torch.manual_seed(0)
    net = build_model(config.model, classes=CLASSES, clip_frames=FRAMES, clip_size=32)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    fit(net, [toy_batch(seed) for seed in range(4)], config, loggers=[recorder])
    losses = recorder.of("epoch", "loss")
    assert losses[-1] < losses[0] - 0.05
    assert {"total_variation", "contrast", "unimodal"} <= set(recorder.records[-1])
    moved = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert not {name for name in moved if name.startswith("backbone")}
    assert "tail.score.weight" in moved


def test_it_needs_the_cut_behind_the_last_stage() -> None:
    with pytest.raises(ValueError, match=r"model.cut=4 is not possible; it must be 5 with system saliency_lstm"):
        small(cut=4)


@pytest.mark.usefixtures("shallow")
def test_it_has_no_features_for_prototypes() -> None:
    config = replace(config_of("fast"), loss=LossConfig())
    with pytest.raises(ValueError, match=r"loss.pc=0.0001 pulls features behind the maps, which system saliency_lstm has not"):
        fit(small(clip_size=32, temporal="fast"), [toy_batch(0)], config, loggers=[])


@pytest.mark.slow
@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize("temporal", ["paper", "fast"])
@pytest.mark.parametrize("file_format", ["onnx", "pt2"])
def test_it_is_exported(tmp_path: Path, temporal: str, file_format: str) -> None:
    net = small(temporal=temporal)
    for _ in range(3):
        net(random_clip())
    with torch.no_grad():
        net.tail.classify.weight.mul_(20)
        net.tail.score.weight.mul_(20)
    written = objabn.export(net.eval(), file_format, tmp_path / f"net.{file_format}")
    assert set(written.differences) == {"logits", "maps", "frame_weights"}
    run = graphs.run_onnx if file_format == "onnx" else graphs.run_pt2
    answered = run(written.path.read_bytes())(random_clip())
    with torch.no_grad():
        output = net(random_clip())
    assert output.frame_weights.std() > 1e-3
    for name, value in answered.items():
        torch.testing.assert_close(value, getattr(output, name), rtol=1e-4, atol=1e-4)
