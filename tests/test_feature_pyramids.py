"""Class Feature Pyramids: which channels are kept, by hand; the main path found in networks of every kind; a whole map by hand."""

import pytest
import torch
from explained import PLAIN, SIZE, state_of
from small_backbones import shrink
from torch import Tensor, nn
from toys import CLASSES, toy_batch

from objabn.explainers import explain, subject_of
from objabn.explainers.feature_pyramids import keep, pooled_kernels
from objabn.explainers.feature_pyramids_chain import find_chain
from objabn.models.build import create_model


def kept(kernels: list[list[float]], pooled: list[float], theta: float, counts: Tensor | None = None) -> list[bool]:
    weights = torch.tensor(kernels)
    return keep(weights, torch.ones_like(weights, dtype=torch.bool) if counts is None else counts, torch.tensor(pooled), theta).tolist()


def test_channels_are_kept_by_hand() -> None:
    # Products 1, 4, 2, divided by 7 and stretched: 0, 1, 1/3.
    assert kept([[1.0, 2.0, 0.5]], [1.0, 2.0, 4.0], 0.5) == [False, True, False]
    assert kept([[1.0, 2.0, 0.5]], [1.0, 2.0, 4.0], 0.33) == [False, True, True]
    # A negative sum turns the order round: products -4, 1, 1 become 2, -1/2, -1/2.
    assert kept([[-4.0, 1.0, 1.0]], [1.0, 1.0, 1.0], 0.5) == [True, False, False]
    # Each kernel chooses for itself, and what one of them keeps is kept; equal products tell nothing apart.
    assert kept([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [1.0, 1.0, 1.0]], [1.0, 1.0, 1.0], 0.9) == [True, False, True]
    assert kept([[1.0, 1.0]], [1.0, 1.0], 0.5) == [False, False]


def test_kernels_of_groups_are_repeated_or_stay_in_their_group() -> None:
    layer = nn.Conv3d(4, 2, (1, 1, 2), groups=2, bias=False)
    layer.weight.data = torch.tensor([[[1.0, 3.0], [4.0, 4.0]], [[5.0, 5.0], [6.0, 8.0]]]).view(2, 2, 1, 1, 2)
    kernels, counts = pooled_kernels(layer, own_group=False)
    assert kernels.tolist() == [[2, 2, 4, 4], [5, 5, 7, 7]]
    assert bool(counts.all())
    kernels, counts = pooled_kernels(layer, own_group=True)
    assert (kernels * counts).tolist() == [[2, 4, 0, 0], [0, 0, 5, 7]]
    depthwise = pooled_kernels(nn.Conv3d(3, 3, 1, groups=3), own_group=True)
    for channel in range(3):
        only = keep(depthwise[0][[channel]], depthwise[1][[channel]], torch.ones(3), 0.6)
        assert only.nonzero().flatten().tolist() == [channel], "a depthwise convolution hands on the channel that it got"


class Pyramid(nn.Module):
    """Two convolutions of kernel 1 and a linear layer behind an average; class 0 is the first channel of the second."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv3d(3, 2, 1, bias=False)
        self.second = nn.Conv3d(2, 2, 1, bias=False)
        self.linear = nn.Linear(2, 2, bias=False)
        self.first.weight.data = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 2.0]]).view(2, 3, 1, 1, 1)
        self.second.weight.data = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).view(2, 2, 1, 1, 1)
        self.linear.weight.data = torch.eye(2)

    def forward(self, clip: Tensor) -> Tensor:
        return self.linear(self.second(self.first(clip)).mean((2, 3, 4)))


def test_a_map_by_hand() -> None:
    red, green, blue = [4.0, 0.0, 0.0, 0.0], [0.0, 8.0, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0]
    clip = torch.tensor([red, green, blue]).view(1, 3, 1, 1, 4).expand(-1, -1, -1, 2, -1)
    # Behind `first`: 4 0 0 0 and 0 8 4 0, means 1 and 3. Class 0 keeps the first channel behind `second`, 0 8 4 0, and it the second before
    # it, the same. Of that, green (mean 2, weight 1) is kept and blue (mean 1/2, weight 2) not: 0 8 0 0.
    found = explain(Pyramid(), clip, method="feature_pyramids", classes=0, layer="second")
    assert found.names == ("feature_pyramids",)
    for row in found.maps[0, 0, 0]:
        assert row.tolist() == pytest.approx([0, 1, 1 / 3, 0]), "0 1 1/2 0 twice and 0 1 0 0"
    shallow = explain(Pyramid(), clip, method="feature_pyramids", classes=0, layer="second", depth=1)
    assert shallow.maps[0, 0, 0, 0].tolist() == pytest.approx([0, 1, 0.5, 0])
    everything = explain(Pyramid(), clip, method="feature_pyramids", classes=0, layer="second", theta=0.0, depth=2)
    # All channels: the sums behind both convolutions are 4 8 4 0, and that of the colours 4 8 2 0.
    assert everything.maps[0, 0, 0, 0].tolist() == pytest.approx([0.5, 1, 1.25 / 3, 0])
    with pytest.raises(ValueError, match=r"theta=1\.5, depth=3 is not possible"):
        explain(Pyramid(), clip, method="feature_pyramids", theta=1.5)


def chain_of(net: nn.Module, clip: Tensor) -> list[str]:
    return [link.name for link in find_chain(subject_of(net), clip)]


def test_the_main_path_is_found_past_gates_shortcuts_and_branches(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch)
    clip = toy_batch(0, clips=2).clip
    found = chain_of(create_model("x3d_nano", classes=CLASSES, clip_frames=4, clip_size=32, cut=4), clip)
    block = "res_blocks.0.branch2.conv_"
    tail = ["blocks.5.proj", "blocks.5.pool.post_conv", "blocks.5.pool.pre_conv", *(f"blocks.4.{block}{letter}" for letter in "cba")]
    assert found[:7] == [f"backbone.{name}" for name in (*tail, f"blocks.3.{block}c")]
    found = chain_of(PLAIN["r3d"][0](), torch.rand(1, 3, 4, 64, 64))
    assert found[:5] == ["fc", "layer4.0.conv2.0", "layer4.0.conv1.0", "layer3.0.conv2.0", "layer3.0.conv1.0"]
    found = chain_of(PLAIN["convnext"][0](), torch.rand(1, 3, 2, 64, 64))
    assert found[:5] == [
        "net.head.fc",
        *(f"net.stages.3.blocks.0.{name}" for name in ("mlp.fc2", "mlp.fc1", "conv_dw")),
        "net.stages.3.downsample.1",
    ]


@pytest.mark.parametrize("options", [{}, {"own_group": True, "depth": 5}])
def test_clips_do_not_meet_and_nothing_stays_behind(options: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch)
    torch.manual_seed(0)
    net, clip = (
        create_model("x3d_nano", classes=CLASSES, clip_frames=4, clip_size=SIZE, cut=4),
        torch.randint(256, (2, 3, 4, SIZE, SIZE)).byte(),
    )
    net.train()
    before = state_of(net)
    found = explain(net, clip, method="feature_pyramids", classes=[0, 1], **options)
    assert state_of(net) == before
    assert found.maps.shape == (2, 1, 4, SIZE, SIZE)
    assert found.maps.amax((1, 2, 3, 4)).tolist() == [1, 1]
    torch.testing.assert_close(
        explain(net, clip[1:], method="feature_pyramids", classes=1, **options).maps, found.maps[1:], rtol=1e-3, atol=1e-4
    )


def test_what_is_no_chain_of_convolutions_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch)
    net = create_model("x3d_nano", classes=CLASSES, system="gated", clip_frames=4, clip_size=32, cut=4)
    with pytest.raises(ValueError, match="GatedNetwork has another head; take gradcam"):
        explain(net, toy_batch(0, clips=1).clip, method="feature_pyramids")
    with pytest.raises(ValueError, match=r"for networks of convolutions, and net.blocks.0.attn.qkv works on tokens"):
        explain(PLAIN["vit"][0](), torch.rand(1, 3, 2, SIZE, SIZE), method="feature_pyramids")
    net = nn.Sequential(nn.Conv3d(3, 2, 1), nn.AdaptiveAvgPool3d((1, 1, 2)), nn.Flatten(), nn.Linear(4, 2))
    with pytest.raises(ValueError, match="none gives the 4 channels that 3, the classifier of Sequential, reads"):
        explain(net, torch.rand(1, 3, 2, 4, 4), method="feature_pyramids")
