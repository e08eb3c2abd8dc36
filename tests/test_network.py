"""The whole network: sizes, shapes, names, and what the maps do to the answer."""

import pytest
import torch
from torch import nn

import objabn
from objabn.models.network import AttentionNetwork, count_parameters
from objabn.models.sizes import BACKBONES
from objabn.models.systems import object_map_names


def small(**settings: object) -> AttentionNetwork:
    torch.manual_seed(0)
    return objabn.create_model("x3d_nano", **{"classes": 5, "weights": None, "clip_frames": 4, "clip_size": 64, **settings})


def random_clip(*, seed: int = 0, frames: int = 4, size: int = 64) -> torch.Tensor:
    return torch.randint(0, 256, (2, 3, frames, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("classes", "heads", "attention_blocks", "parameters"),
    [
        (101, 1, "next", 3_784_465),
        (101, 1, "same", 3_361_385),
        (101, 3, "next", 3_812_319),
        (101, 3, "same", 3_389_239),
        (174, 1, "next", 3_968_352),
        (174, 3, "next", 3_996_352),
    ],
)
def test_parameter_counts(classes: int, heads: int, attention_blocks: str, parameters: int) -> None:
    with torch.device("meta"):
        net = objabn.create_model("x3d_m", weights=None, classes=classes, heads=heads, attention_blocks=attention_blocks)
    assert count_parameters(net) == parameters
    assert (net.grid_size, net.feature_channels) == (14, 192 if attention_blocks == "next" else 96)


@pytest.mark.parametrize(
    ("system", "heads", "names"),
    [("abn", 1, ("M_u",)), ("object_abn", 1, ("M_o",)), ("object_abn", 3, ("M_u", "M_o", "M_b"))],
)
def test_output_has_the_shapes_and_names_of_its_system(system: str, heads: int, names: tuple[str, ...]) -> None:
    net = small(system=system, heads=heads)
    output = net(random_clip())
    assert net.map_names == names
    assert output.logits.shape == output.branch_logits.shape == (2, 5)
    assert output.maps.shape == (2, heads, 4, net.grid_size, net.grid_size) == (2, heads, 4, 4, 4)
    assert output.features.shape == (2, net.feature_channels, 4, 4, 4)
    assert output.frame_weights is None
    assert output.features.min() == 0, "features are taken behind the last ReLU"


def test_five_heads_have_five_names() -> None:
    assert object_map_names(5) == ("M_u", "M_o", "M_b", "M_3", "M_4")


def test_odd_clip_sizes_give_the_grid_that_was_promised() -> None:
    net = small(clip_size=75, clip_frames=3, cut=3)
    assert net(random_clip(frames=3, size=75)).maps.shape[2:] == (3, net.grid_size, net.grid_size) == (3, 10, 10)


@pytest.mark.parametrize("heads", [1, 3])
def test_gradients_reach_every_parameter(heads: int) -> None:
    net = small(heads=heads)
    output = net(random_clip())
    (output.logits.square().sum() + output.branch_logits.square().sum() + output.maps.square().sum()).backward()
    assert [name for name, value in net.named_parameters() if value.grad is None] == []


def test_pixels_are_normalized_as_the_backbone_was_trained() -> None:
    net = small()
    clip = torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 1, 1, 2).expand(1, 3, 1, 1, 2)
    # (0 - 0.45) / 0.225 = -2 and (1 - 0.45) / 0.225 = 2.4444.
    assert net.normalize(clip)[0, 0, 0, 0].tolist() == pytest.approx([-2.0, 2.44444], abs=1e-5)
    assert torch.equal(net.normalize(clip), net.normalize(clip.float()))


def test_a_map_of_ones_leaves_the_plain_backbone() -> None:
    net = small(heads=1).eval()
    with torch.no_grad():
        net.branch.map_norm.bias.fill_(100)
        clip = random_clip()
        plain = net.backbone.tail(net.backbone.stem(net.normalize(clip)))
        assert torch.equal(net(clip).logits, plain)


def test_three_maps_of_ones_leave_the_plain_backbone_at_the_start() -> None:
    net = small(heads=3).eval()
    with torch.no_grad():
        net.branch.map_norm.bias.fill_(100)
        clip = random_clip()
        plain = net.backbone.tail(net.backbone.stem(net.normalize(clip)))
        torch.testing.assert_close(net(clip).logits, plain)


def test_dropout_acts_in_training_only() -> None:
    net = small(dropout=0.9)
    nn.init.normal_(net.backbone.blocks[5].proj.weight)
    assert not torch.equal(net(random_clip()).logits, net(random_clip()).logits)
    net.eval()
    assert torch.equal(net(random_clip()).logits, net(random_clip()).logits)


def test_impossible_requests_say_what_is_possible() -> None:
    with pytest.raises(ValueError, match=r"choose one of x3d_xs"):
        objabn.create_model("resnet", classes=5, weights=None)
    with pytest.raises(ValueError, match=r"model.system=st is not possible; it must be abn or object_abn"):
        small(system="st")
    with pytest.raises(ValueError, match=r"classes=0 is not possible"):
        small(classes=0)
    with pytest.raises(ValueError, match=r"model.heads=3 is not possible; it must be 1 with system abn"):
        small(system="abn", heads=3)
    with pytest.raises(ValueError, match=r"shape \(3, 4, 64, 64\) cannot be read; it must be \(B, 3, T, Y, X\)"):
        small()(random_clip()[0])


def test_every_backbone_builds_at_its_published_size() -> None:
    for name, size in BACKBONES.items():
        with torch.device("meta"):
            net = objabn.create_model(name, classes=5, weights=None, clip_frames=size.clip_frames, clip_size=size.clip_size)
        assert net.clip_size == size.clip_size
