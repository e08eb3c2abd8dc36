"""pytorchvideo's networks beside X3D: cutting them changes nothing, and they hold what its checkpoints hold."""

import pytest
import torch
from pytorchvideo.models import create_csn, create_multiscale_vision_transformers, create_resnet, create_slowfast
from pytorchvideo.models.hub import csn_r101, mvit_base_16x4, r2plus1d_r50, slow_r50, slowfast_r50
from pytorchvideo.models.r2plus1d import create_r2plus1d
from torch import Tensor, nn

from objabn.models.backbone import Backbone
from objabn.models.backbones import build_backbone
from objabn.models.sizes import BACKBONES

CLASSES = 5
RESNETS = ("slow_r50", "slowfast_r50", "r2plus1d_50", "csn_101")
HUB = {"slow_r50": slow_r50, "slowfast_r50": slowfast_r50, "r2plus1d_50": r2plus1d_r50, "csn_101": csn_r101, "mvit_b": mvit_base_16x4}


def lively(net: nn.Module) -> nn.Module:
    """Give norms other values than those of a new network: zero gammas hide convolutions, and unit statistics norms."""
    generator = torch.Generator().manual_seed(0)
    for name, value in net.state_dict().items():
        if name.endswith(("weight", "bias", "running_var")) and value.ndim == 1:
            value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
    return net


def random_network(name: str, cut: int = 4, *, clip_frames: int = 8, clip_size: int = 64) -> Backbone:
    torch.manual_seed(0)
    return lively(build_backbone(name, classes=CLASSES, cut=cut, clip_frames=clip_frames, clip_size=clip_size, dropout=0.5)).eval()


def random_clip(*, frames: int = 8, size: int = 64, clips: int = 2) -> Tensor:
    return torch.randn(clips, 3, frames, size, size, generator=torch.Generator().manual_seed(1))


def uncut(name: str, *, frames: int, size: int) -> nn.Module:
    """pytorchvideo's own network, of the widths of the fixture, with its fixed pools."""
    side = -(-size // 32)
    given = {"model_num_class": CLASSES, "head_activation": None}
    if name == "slow_r50":
        return create_resnet(stem_dim_out=8, stem_conv_kernel_size=(1, 7, 7), head_pool_kernel_size=(frames, side, side), **given)
    if name == "r2plus1d_50":
        return create_r2plus1d(stem_dim_out=8, head_pool_kernel_size=(-(-frames // 4), side, side), **given)
    if name == "csn_101":
        return create_csn(stem_dim_out=8, stem_pool=nn.MaxPool3d, head_pool_kernel_size=(-(-frames // 8), side, side), **given)
    if name == "slowfast_r50":
        pools = ((-(-frames // 4), side, side), (frames, side, side))
        return create_slowfast(stem_dim_outs=(16, 2), head_pool_kernel_sizes=pools, **given)
    doubled = [[1, 2.0], [2, 2.0], [4, 2.0]]
    return create_multiscale_vision_transformers(
        spatial_size=-(-size // 4) * 4,
        temporal_size=-(-frames // 2) * 2,
        depth=5,
        patch_embed_dim=8,
        embed_dim_mul=doubled,
        atten_head_mul=doubled,
        pool_q_stride_size=[[1, 1, 2, 2], [2, 1, 2, 2], [4, 1, 2, 2]],
        pool_kv_stride_adaptive=[1, 8, 8],
        pool_kvq_kernel=[3, 3, 3],
        head_num_classes=CLASSES,
    )


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("name", [*RESNETS, "mvit_b"])
@pytest.mark.parametrize(("cut", "frames", "size"), [(2, 8, 64), (4, 8, 64), (3, 5, 75), (5, 5, 75)])
def test_tail_of_stem_is_the_uncut_network_bit_for_bit(name: str, cut: int, frames: int, size: int) -> None:
    net, reference = random_network(name, cut, clip_frames=frames, clip_size=size), uncut(name, frames=frames, size=size)
    reference.load_state_dict(net.state_dict())
    clip = random_clip(frames=frames, size=size)
    with torch.no_grad():
        features = net.stem(clip)
        logits = net.tail(features)
        assert torch.equal(logits, reference.eval()([clip[:, :, ::4], clip] if name == "slowfast_r50" else clip))
    assert logits.std() > 0
    side = -(-size // 2**cut)
    assert features[0].shape == (2, net.channels, -(-frames // net.frame_stride), side, side)
    assert net.side_channels == tuple(feature.shape[1] for feature in features[1:] if feature.ndim == 5)


@pytest.mark.parametrize(("name", "strides"), [("slow_r50", 1111), ("slowfast_r50", 4444), ("r2plus1d_50", 1124), ("csn_101", 1248)])
def test_frames_are_merged_as_published(name: str, strides: int) -> None:
    with torch.device("meta"):
        found = [build_backbone(name, classes=2, cut=cut, clip_frames=32, clip_size=64, dropout=0).frame_stride for cut in range(2, 6)]
    assert found == [int(digit) for digit in str(strides)]


@pytest.mark.parametrize(
    ("name", "millions"), [("slow_r50", 32.45), ("slowfast_r50", 34.57), ("r2plus1d_50", 28.11), ("csn_101", 22.21), ("mvit_b", 36.61)]
)
def test_parameters_are_named_shaped_and_counted_as_published(name: str, millions: float) -> None:
    """Counts are those of pytorchvideo's model zoo, and torchvision's of MViT; the zoo's files load strictly into what its hub builds."""
    size = BACKBONES[name]
    with torch.device("meta"):
        net = build_backbone(name, classes=400, cut=4, clip_frames=size.clip_frames, clip_size=size.clip_size, dropout=0.5)
    with torch.device("cpu" if name == "mvit_b" else "meta"):
        published = HUB[name](pretrained=False)
    shapes = [{key: value.shape for key, value in network.state_dict().items()} for network in (net, published)]
    assert shapes[0] == shapes[1]
    assert sum(value.numel() for value in net.parameters()) / 1e6 == pytest.approx(millions, abs=0.005)
    assert size.kinetics400 is not None


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("name", RESNETS)
@pytest.mark.parametrize("shape", [(2, 3, 12, 64, 64), (1, 3, 4, 96, 128), (1, 3, 1, 40, 40)])
def test_residual_networks_take_clips_of_any_size(name: str, shape: tuple[int, ...]) -> None:
    net = random_network(name)
    with torch.no_grad():
        assert net.tail(net.stem(torch.randn(shape))).shape == (shape[0], CLASSES)


@pytest.mark.usefixtures("narrow")
def test_a_transformer_says_for_which_clips_it_was_built() -> None:
    with pytest.raises(ValueError, match=r"A clip of 4 x 64 x 64 cannot be read; this transformer was built for 8 x 64 x 64"):
        random_network("mvit_b").stem(random_clip(frames=4))


def residual_blocks(net: Backbone, place: int) -> list[nn.Module]:
    stage = net.blocks[place]
    return list((stage.multipathway_blocks[0] if hasattr(stage, "multipathway_blocks") else stage).res_blocks)


def equal_weights(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(mine, theirs) for mine, theirs in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize(
    ("name", "shape", "cut", "place", "taken"),
    [
        *((name, "next", 4, 4, slice(0, 3)) for name in RESNETS),
        *((name, "same", 4, 3, slice(3, 6)) for name in RESNETS if name != "slowfast_r50"),
        *((name, "next", 5, 4, slice(1, 3)) for name in RESNETS),
    ],
)
def test_branch_blocks_start_as_the_backbones_own(name: str, shape: str, cut: int, place: int, taken: slice) -> None:
    net = random_network(name, cut)
    sources = residual_blocks(net, place)[taken]
    blocks, channels = net.branch_blocks(shape, pretrained=True)
    assert len(blocks) == 3
    assert all(equal_weights(block, source) for block, source in zip(blocks, sources, strict=False))
    features, *_ = net.stem(random_clip())
    assert blocks(features).shape == (2, channels, *features.shape[2:])
    with torch.no_grad():
        sources[0].branch2.conv_a.weight.zero_()
    assert not equal_weights(blocks[0], sources[0]), "a copy no longer follows its source"
    assert net.tail(net.stem(random_clip())).shape == (2, CLASSES), "and the source keeps its strides"


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("name", RESNETS)
def test_fresh_branch_blocks_are_identities_behind_the_first(name: str) -> None:
    blocks, channels = random_network(name).branch_blocks("next", pretrained=False)
    features = torch.rand(1, channels, 2, 4, 4)
    assert torch.equal(blocks.eval()[1](features), features)


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize(("name", "shape", "channels"), [("slowfast_r50", "same", 320), ("mvit_b", "next", 32), ("mvit_b", "same", 16)])
def test_others_take_plain_bottlenecks(name: str, shape: str, channels: int) -> None:
    net = random_network(name, 4 if name == "slowfast_r50" else 2)
    blocks, found = net.branch_blocks(shape, pretrained=True)
    features, *_ = net.stem(random_clip())
    assert (found, blocks(features).shape) == (channels, (2, channels, *features.shape[2:]))
    positive = torch.rand(1, channels, 2, 4, 4)
    assert torch.equal(blocks.eval()[1](positive), positive), "each begins as an identity behind the first"


@pytest.mark.slow
@pytest.mark.parametrize("name", [*RESNETS, "mvit_b"])
def test_at_full_size_tail_of_stem_is_the_hubs_network_bit_for_bit(name: str) -> None:
    size = BACKBONES[name]
    torch.manual_seed(0)
    net = build_backbone(name, classes=400, cut=4, clip_frames=size.clip_frames, clip_size=size.clip_size, dropout=0.5)
    given = {"head_activation": None} if name == "r2plus1d_50" else {}
    reference = HUB[name](pretrained=False, **given).eval()
    reference.load_state_dict(lively(net).eval().state_dict())
    clip = random_clip(frames=size.clip_frames, size=size.clip_size, clips=1)
    with torch.no_grad():
        assert torch.equal(net.tail(net.stem(clip)), reference([clip[:, :, ::4], clip] if name == "slowfast_r50" else clip))
