"""The attention branch against numbers worked out by hand and against a transcription of its description."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from objabn.models.branches import Attention, AttentionBranch
from objabn.models.build import create_model


def branch(**settings: object) -> AttentionBranch:
    torch.manual_seed(0)
    return AttentionBranch(nn.Identity(), 4, **{"classes": 3, "heads": 3, **settings})


def literal(net: AttentionBranch, features: Tensor) -> Attention:
    """The branch as the papers describe it: one head at a time, class scores at every position and then their mean."""
    u = net.blocks(features)

    def normalize(values: Tensor, norm: nn.BatchNorm3d) -> Tensor:
        shape = (1, -1, 1, 1, 1)
        mean = values.mean((0, 2, 3, 4)).view(shape)
        variance = values.var((0, 2, 3, 4), unbiased=False).view(shape)
        return (values - mean) / (variance + norm.eps).sqrt() * norm.weight.view(shape) + norm.bias.view(shape)

    a = functional.conv3d(normalize(u, net.norm), net.shared_conv.weight)
    a = functional.relu(normalize(a, net.shared_norm))
    maps = []
    padding = net.map_conv.weight.shape[-1] // 2
    for head in range(net.map_conv.out_channels):
        score = functional.conv3d(a, net.map_conv.weight[head : head + 1], padding=(0, padding, padding))
        score = (score - score.mean()) / (score.var(unbiased=False) + net.map_norm.eps).sqrt()
        maps.append(1 / (1 + torch.exp(-(score * net.map_norm.weight[head] + net.map_norm.bias[head]))))
    per_position = functional.conv3d(a, net.class_conv.weight) if isinstance(net.class_conv, nn.Conv3d) else a
    return Attention(torch.cat(maps, 1), per_position.mean((2, 3, 4)), u)


@pytest.mark.parametrize("map_kernel", [1, 3])
@pytest.mark.parametrize("class_head", ["conv", "gap"])
@pytest.mark.parametrize("heads", [1, 3, 5])
def test_branch_is_its_literal_transcription(heads: int, class_head: str, map_kernel: int) -> None:
    net = branch(heads=heads, class_head=class_head, map_kernel=map_kernel).double().train()
    features = torch.randn(2, 4, 3, 5, 6, dtype=torch.float64)
    ours, theirs = net(features), literal(net, features)
    for value, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(value, expected)


def test_with_weights_of_ones_the_map_is_the_number_worked_out_by_hand() -> None:
    net = branch(classes=2, heads=1).eval()
    for layer in (net.shared_conv, net.map_conv, net.class_conv):
        nn.init.ones_(layer.weight)
    features = torch.zeros(1, 4, 1, 1, 2)
    features[0, :, 0, 0, 0] = 0.25
    features[0, :, 0, 0, 1] = -1.0
    attention = net(features)
    # Unit statistics divide by sqrt(1 + 1e-5) at each of the three norms; four channels of 0.25 sum to 1, two scores of it to 2.
    shrink = 1 / math.sqrt(1 + 1e-5)
    assert attention.maps[0, 0, 0, 0, 0].item() == pytest.approx(1 / (1 + math.exp(-2 * shrink**3)), abs=1e-6)
    # The second cell is negative, so ReLU leaves 0 and the map 1/2.
    assert attention.maps[0, 0, 0, 0, 1].item() == 0.5
    # Class scores: (2 + 0) / 2 cells.
    assert attention.logits[0].tolist() == pytest.approx([shrink**2, shrink**2], abs=1e-6)


def test_heads_are_independent() -> None:
    net = branch().eval()
    features = torch.randn(2, 4, 3, 5, 5)
    before = net(features)
    with torch.no_grad():
        net.map_conv.weight[1].mul_(-3)
        net.map_norm.bias[1].add_(1)
    after = net(features)
    assert torch.equal(before.maps[:, [0, 2]], after.maps[:, [0, 2]])
    assert not torch.equal(before.maps[:, 1], after.maps[:, 1])
    assert torch.equal(before.logits, after.logits)


def test_maps_are_in_the_unit_interval_and_single_precision_under_autocast() -> None:
    net = branch(map_kernel=3)
    with torch.autocast("cpu", torch.bfloat16):
        maps = net(torch.randn(2, 4, 3, 5, 5) * 10).maps
    assert maps.dtype == torch.float32
    assert maps.shape == (2, 3, 3, 5, 5)
    assert 0 <= maps.min() < maps.max() <= 1


def test_gradients_reach_every_parameter() -> None:
    net = branch(heads=3)
    attention = net(torch.randn(2, 4, 3, 5, 5))
    (attention.maps.square().sum() + attention.logits.square().sum()).backward()
    assert all(value.grad is not None and value.grad.abs().sum() > 0 for value in net.parameters())


def test_the_gain_is_the_deviation_before_the_sigmoid() -> None:
    for gain in (1.0, 3.0):
        net = create_model("x3d_nano", classes=3, heads=3, clip_frames=4, clip_size=64, map_gain=gain).train()
        maps = net(torch.randint(0, 256, (4, 3, 4, 64, 64), dtype=torch.uint8)).maps
        deviation = torch.logit(maps.double(), eps=1e-12).transpose(0, 1).flatten(1).std(1)
        torch.testing.assert_close(deviation, torch.full_like(deviation, gain), rtol=0.05, atol=0)
