"""Cutting a network in two changes nothing: tail(stem(clip)) is pytorchvideo's network."""

import hashlib
from pathlib import Path

import pytest
import torch
from pytorchvideo.models.x3d import create_x3d
from torch import Tensor, nn

from objabn.models.backbones import BUILDERS, build_backbone
from objabn.models.blocks import FullAveragePool
from objabn.models.sizes import BACKBONES, X3DSize
from objabn.models.x3d import X3D, build_x3d, last_aligned

TINY = X3DSize(width_factor=1.0, depth_factor=1.0, head_channels=64, clip_frames=4, clip_size=64, kinetics400=None)


def uncut(net: X3D, *, clip_frames: int, clip_size: int, **settings: object) -> nn.Module:
    """pytorchvideo's own network with the same weights, its own fixed pooling included."""
    reference = create_x3d(
        input_clip_length=clip_frames,
        input_crop_size=clip_size,
        model_num_class=5,
        width_factor=1.0,
        depth_factor=1.0,
        head_dim_out=64,
        head_activation=None,
        **settings,
    )
    reference.load_state_dict(net.state_dict())
    return reference.eval()


def random_network(cut: int, *, clip_frames: int = 4, clip_size: int = 64) -> X3D:
    net = X3D(TINY, classes=5, cut=cut, clip_frames=clip_frames, clip_size=clip_size).eval()
    generator = torch.Generator().manual_seed(0)
    for name, value in net.state_dict().items():
        # Zero gammas of fresh blocks would hide their convolutions, and unit statistics their norms.
        if name.endswith(("weight", "bias", "running_var")) and value.ndim == 1:
            value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
    return net


@pytest.mark.parametrize(("cut", "clip_frames", "clip_size"), [(2, 4, 64), (3, 4, 64), (4, 4, 64), (4, 5, 75), (3, 5, 75)])
def test_tail_of_stem_is_the_uncut_network_bit_for_bit(cut: int, clip_frames: int, clip_size: int) -> None:
    net = random_network(cut, clip_frames=clip_frames, clip_size=clip_size)
    clip = torch.randn(2, 3, clip_frames, clip_size, clip_size, generator=torch.Generator().manual_seed(1))
    reference = uncut(net, clip_frames=clip_frames, clip_size=clip_size, inner_act=nn.SiLU)
    with torch.no_grad():
        features = net.stem(clip)
        logits = net.tail(features)
        assert torch.equal(logits, reference(clip))
        assert logits.std() > 0
    assert features[0].shape == (2, net.channels, clip_frames, -(-clip_size // 2**cut), -(-clip_size // 2**cut))


def test_silu_is_their_swish_but_for_rounding() -> None:
    net = random_network(4)
    clip = torch.randn(2, 3, 4, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        ours, theirs = net.tail(net.stem(clip)), uncut(net, clip_frames=4, clip_size=64)(clip)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 3, 8, 64, 64), (1, 3, 4, 96, 128), (1, 3, 2, 40, 40)])
def test_a_network_takes_clips_of_any_size(shape: tuple[int, ...]) -> None:
    net = random_network(4)
    with torch.no_grad():
        assert net.tail(net.stem(torch.randn(shape))).shape == (shape[0], 5)


def test_parameters_are_named_and_shaped_as_in_the_published_checkpoint() -> None:
    net = build_x3d("x3d_m", classes=400, cut=4, clip_frames=16, clip_size=224, dropout=0.5)
    lines = sorted(f"{name} {tuple(value.shape)}" for name, value in net.state_dict().items())
    assert len(lines) == 563
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == "92cf6db9a1a738225146f7437e37d7696dcce71a7dd76afdd119768769bb9421"
    assert sum(value.numel() for value in net.parameters()) == 3_794_274


def test_the_list_of_keys_beside_the_weights_is_the_same(shared_data: Path) -> None:
    listed = (shared_data / "weights" / "x3d_m_state_dict_keys.txt").read_text().split("\n")
    net = build_x3d("x3d_m", classes=400, cut=4, clip_frames=16, clip_size=224, dropout=0.5)
    assert {name for name in net.state_dict()} == {line.split()[0] for line in listed if line.strip() and not line.startswith("#")}


@pytest.mark.parametrize(("shape", "cut", "first"), [("next", 4, 0), ("next", 3, 0), ("same", 4, 2)])
def test_branch_blocks_start_as_the_backbones_own(shape: str, cut: int, first: int) -> None:
    net = random_network(cut)
    blocks, channels = net.branch_blocks(shape, pretrained=True)
    stage = net.blocks[cut if shape == "next" else cut - 1]
    assert len(blocks) == 3
    for block, source in zip(blocks, stage.res_blocks[first : first + 3], strict=True):
        assert all(
            torch.equal(mine, theirs) for mine, theirs in zip(block.state_dict().values(), source.state_dict().values(), strict=True)
        )
    (features,) = net.stem(torch.randn(1, 3, 4, 64, 64))
    assert blocks(features).shape == (1, channels, *features.shape[2:])


def test_fresh_branch_blocks_are_identities_behind_the_first() -> None:
    blocks, channels = random_network(4).branch_blocks("next", pretrained=False)
    features = torch.rand(1, channels, 2, 4, 4)
    assert torch.equal(blocks[1](features), features)


def test_a_copied_block_no_longer_follows_its_source() -> None:
    net = random_network(4)
    blocks, _ = net.branch_blocks("next", pretrained=True)
    before = blocks[0].branch2.conv_a.weight.clone()
    with torch.no_grad():
        net.blocks[4].res_blocks[0].branch2.conv_a.weight.zero_()
    assert torch.equal(blocks[0].branch2.conv_a.weight, before)


@pytest.mark.parametrize(("depth", "start"), [(2, 0), (3, 0), (5, 2), (11, 8), (7, 4), (10, 6), (25, 22)])
def test_the_last_three_blocks_keep_the_alternation(depth: int, start: int) -> None:
    assert last_aligned(depth) == start
    assert start % 2 == 0


def test_unknown_names_and_sizes_say_what_is_possible() -> None:
    with pytest.raises(ValueError, match=r"no backbone 'x3d_xl'; choose one of x3d_xs, x3d_s, x3d_m, x3d_l, x3d_nano, slow_r50"):
        build_backbone("x3d_xl", classes=5, cut=4, clip_frames=4, clip_size=64, dropout=0.5)
    with pytest.raises(ValueError, match="cut=6 is not possible"):
        X3D(TINY, classes=5, cut=6, clip_frames=4, clip_size=64)
    with pytest.raises(ValueError, match="clip_size=31 is not possible"):
        X3D(TINY, classes=5, clip_frames=4, clip_size=31)
    assert set(BACKBONES) == set(BUILDERS)


def gradient_of(pool: nn.Module, features: Tensor) -> Tensor:
    features = features.clone().requires_grad_()
    pool(features).square().sum().backward()
    assert features.grad is not None
    return features.grad


def test_full_average_pool_is_the_fixed_one_with_its_gradient() -> None:
    features = torch.randn(2, 5, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(FullAveragePool()(features), nn.AvgPool3d((4, 3, 3), stride=1)(features))
    assert torch.equal(gradient_of(FullAveragePool(), features), gradient_of(nn.AvgPool3d((4, 3, 3), stride=1), features))
