"""timm's networks on clips: cutting them changes nothing, frame by frame, and what cannot be cut is refused."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import objabn
from objabn.models.backbone import Backbone
from objabn.models.backbones import build_backbone
from objabn.models.per_frame import PerFrame, fold_frames, unfold_frames
from objabn.models.sizes import published
from objabn.models.timm_steps import find_steps
from objabn.models.weights import load_weights

CLASSES = 5


def random_network(name: str, cut: int = 4, *, clip_size: int = 64) -> Backbone:
    """A network whose norms and scales are not those of a new one, which would hide what they follow."""
    torch.manual_seed(0)
    net = build_backbone(name, classes=CLASSES, cut=cut, clip_frames=1, clip_size=clip_size, dropout=0.5).eval()
    for value in net.state_dict().values():
        if value.ndim == 1 and value.is_floating_point():
            value.uniform_(0.5, 1.5)
    return net


def timm_state(net: Backbone) -> dict[str, Tensor]:
    """The tensors by timm's names."""
    return {key.partition(".")[2]: value for key, value in net.state_dict().items()}


@pytest.mark.parametrize(
    ("name", "cut", "size"),
    [
        *(("resnet10t", cut, size) for cut, size in ((2, 64), (4, 75))),
        *(("test_resnet", cut, size) for cut, size in ((3, 64), (5, 75))),
        *(("test_convnext", cut, 64) for cut in (2, 4)),
        *(("test_efficientnet", cut, size) for cut, size in ((3, 75), (4, 64))),
        ("test_vit", 4, 64),
        ("test_vit2", 4, 96),
        pytest.param("densenet121", 3, 64, marks=pytest.mark.slow),
        pytest.param("mobilenetv3_small_050", 4, 75, marks=pytest.mark.slow),
        pytest.param("regnetx_002", 4, 75, marks=pytest.mark.slow),
        pytest.param("swin_tiny_patch4_window7_224", 4, 64, marks=pytest.mark.slow),
        pytest.param("vit_small_patch16_224", 4, 224, marks=pytest.mark.slow),
        pytest.param("convnext_tiny", 4, 224, marks=pytest.mark.slow),
        pytest.param("resnet50", 4, 224, marks=pytest.mark.slow),
    ],
)
def test_tail_of_stem_is_timms_network_bit_for_bit(name: str, cut: int, size: int) -> None:
    net = random_network(name, cut, clip_size=size)
    reference = timm.create_model(name, num_classes=CLASSES, **({"img_size": size} if "vit" in name or "swin" in name else {})).eval()
    reference.load_state_dict(timm_state(net))
    clip = torch.randn(2, 3, 3, size, size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        features, logits = net.stem(clip), net.tail(net.stem(clip))
        assert torch.equal(net.tail(net.stem(clip[:, :, :1])), reference(clip[:, :, 0])), "a single picture is timm's own answer"
        # A convolution may round otherwise in a batch of another size, so the frames must go in together here too.
        scores = reference(torch.stack([clip[number, :, frame] for number in range(2) for frame in range(3)]))
    assert torch.equal(logits, torch.stack([scores[:3].mean(0), scores[3:].mean(0)]))
    assert logits.std() > 0
    side = -(-size // 2**cut)
    assert features[0].shape == (2, net.channels, 3, side, side)


def test_frames_are_folded_and_put_back_in_order() -> None:
    clip = torch.arange(2 * 3 * 4 * 2 * 2.0).view(2, 3, 4, 2, 2)
    pictures = fold_frames(clip)
    assert torch.equal(pictures[5], clip[1, :, 1]), "the sixth picture is the second frame of the second clip"
    assert torch.equal(unfold_frames(pictures, 2, 4), clip)
    assert torch.equal(PerFrame(nn.Flatten(1), nn.Unflatten(1, (3, 2, 2)))(clip), clip)


@pytest.mark.parametrize("frames", [1, 2])
def test_norms_behind_frames_that_were_put_back_learn_alike_in_any_layout(frames: int) -> None:
    """PyTorch 2.15's batch norm gives wrong gradients, and no word of it, where a single frame has an unusual stride."""
    pictures = torch.randn(3 * frames, 8, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    learnt = []
    for layout in (torch.channels_last, torch.contiguous_format):
        norm = nn.BatchNorm3d(8).double()
        given = unfold_frames(pictures.contiguous(memory_format=layout), 3, frames).requires_grad_()
        (norm(given).contiguous() * torch.linspace(0, 1, given.numel()).view(given.shape)).sum().backward()
        learnt.append((given.grad, norm.weight.grad))
    for ours, theirs in zip(*learnt, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def test_pixels_are_those_that_timm_trained_with() -> None:
    net = random_network("test_vit")
    assert (net.mean, net.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    net = random_network("resnet10t")
    assert (net.mean, net.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize(("name", "size", "imagenet"), [("resnet50", 224, True), ("test_vit", 160, True), ("resnet50_clip", 224, True)])
def test_the_published_picture_is_timms(name: str, size: int, imagenet: bool) -> None:
    setting = published(name)
    assert (setting.clip_frames, setting.clip_size, setting.kinetics400) == (1, size, None)
    assert setting.imagenet == (name if imagenet else None)


def test_unknown_names_are_answered_with_ours_and_the_nearest_of_timm() -> None:
    for ask in (published, lambda name: build_backbone(name, classes=2, cut=4, clip_frames=1, clip_size=64, dropout=0)):
        with pytest.raises(ValueError, match=r"no backbone 'resnt50'; choose one of x3d_xs, .*, or a network of timm .* such as resnet50"):
            ask("resnt50")
        with pytest.raises(ValueError, match=r"timm has no weights 'a7_in1k' of resnet50; its weights are a1_in1k, .*tv_in1k"):
            ask("resnet50.a7_in1k")
    assert published("resnet50.tv_in1k").imagenet == "resnet50.tv_in1k"


@pytest.mark.parametrize(
    ("name", "cut", "size", "said"),
    [
        ("test_vit", 3, 64, r"test_vit has 4 x 4 patches in pictures of 64 pixels, where cut=3 means 8 x 8; choose cut=4\."),
        ("vit_tiny_r_s16_p8_224", 4, 224, r"has 7 x 7 patches .* means 14 x 14; choose cut=5\."),
        ("test_vit", 4, 75, r"test_vit has 4 x 4 patches in pictures of 75 pixels, where cut=4 means 5 x 5; choose another backbone\."),
        ("test_convnext", 4, 75, r"75 x 75 pixels give features of 4 x 4 here, where cut=4 means 5 x 5; choose a multiple of 16 pixels"),
        ("xcit_nano_12_p16_224", 4, 224, r"cannot be cut: it has no stage of 1/4, 1/8, 1/32 of the picture's size"),
        ("mvitv2_tiny", 4, 224, r"cannot be cut: behind patch_embed it computes what is in none of its modules"),
        ("xception41", 4, 96, r"cannot be cut: blocks.1.stack.act3, .* does not hand all it gives on to the next"),
        ("deit_tiny_distilled_patch16_224", 4, 224, r"has several classifiers, and so no one answer"),
        ("test_resnet", 6, 64, r"cut=6 is not possible"),
    ],
)
def test_what_cannot_be_cut_is_refused(name: str, cut: int, size: int, said: str) -> None:
    with torch.device("meta"), pytest.raises(ValueError, match=said):
        build_backbone(name, classes=2, cut=cut, clip_frames=1, clip_size=size, dropout=0)


class Chain(nn.Module):
    """Five convolutions that halve the picture; between the third and the fourth, one is added where `adds` says so."""

    feature_info = tuple({"module": f"conv{place}", "reduction": 2**place, "num_chs": 4} for place in range(1, 6))

    def __init__(self, adds: bool) -> None:
        super().__init__()
        self.adds = adds
        for place in range(1, 6):
            self.add_module(f"conv{place}", nn.Conv2d(3 if place == 1 else 4, 4, 3, stride=2, padding=1))

    def forward_features(self, picture: Tensor) -> Tensor:
        picture = self.conv3(self.conv2(self.conv1(picture)))
        return self.conv5(self.conv4(picture + 1 if self.adds else picture))


def test_a_chain_is_told_from_what_computes_between_its_modules() -> None:
    with torch.device("meta"):
        steps = find_steps(Chain(adds=False), "chain", 50)
        assert (steps.names, steps.ends) == (("conv1", "conv2", "conv3", "conv4", "conv5"), {2: 2, 3: 3, 4: 4, 5: 5})
        assert steps.grids == {2: (13, 13), 3: (7, 7), 4: (4, 4), 5: (2, 2)}
        with pytest.raises(ValueError, match="chain cannot be cut: behind conv3 it computes what is in none of its modules"):
            find_steps(Chain(adds=True), "chain", 50)


@pytest.mark.parametrize("shape", ["next", "same"])
def test_branch_blocks_of_a_resnet_are_its_own(shape: str) -> None:
    net = random_network("resnet18")
    blocks, channels = net.branch_blocks(shape, pretrained=True)
    stage = net.network.layer4 if shape == "next" else net.network.layer3[1:]
    assert channels == (512 if shape == "next" else 256)
    for block, source in zip(blocks, stage, strict=False):
        assert all(
            torch.equal(mine, theirs) for mine, theirs in zip(block.state_dict().values(), source.state_dict().values(), strict=True)
        )
        assert block.conv1.stride == (1, 1)
    (features,) = net.stem(torch.randn(2, 3, 2, 64, 64))
    assert blocks(features).shape == (2, channels, 2, 4, 4)
    assert net.network.layer4[0].conv1.stride == (2, 2), "the source keeps its own"
    fresh, _ = net.branch_blocks(shape, pretrained=False)
    assert torch.equal(fresh[0].bn1.weight, torch.ones(fresh[0].bn1.num_features))
    assert not torch.equal(fresh[0].conv1.weight, stage[0].conv1.weight)


@pytest.mark.parametrize(("name", "channels"), [("resnet26d", 2048), ("resnetblur18", 512), ("resnet10t", 512), ("test_convnext", 64)])
def test_branch_blocks_keep_the_size_of_any_network(name: str, channels: int) -> None:
    with torch.device("meta"):
        net = build_backbone(name, classes=2, cut=4, clip_frames=1, clip_size=64, dropout=0)
        blocks, found = net.branch_blocks("next", pretrained=True)
        assert found == channels
        assert blocks(torch.zeros(1, net.channels, 2, 4, 4)).shape == (1, channels, 2, 4, 4)


@pytest.mark.parametrize("name", ["resnet10t", "test_vit"])
def test_a_state_dict_of_timm_is_loaded(tmp_path: Path, name: str) -> None:
    source = timm.create_model(name, num_classes=CLASSES, **({"img_size": 64} if name == "test_vit" else {}))
    torch.save({"state_dict": source.state_dict()}, tmp_path / "weights.pth")
    net = random_network(name)
    report = load_weights(net, str(tmp_path / "weights.pth"), kinetics400=None, classifier=net.classifier, name=name)
    assert (report.tensors, report.replaced) == (len(source.state_dict()), ())
    assert all(torch.equal(value, source.state_dict()[key]) for key, value in timm_state(net).items())


def test_what_a_transformer_learnt_of_places_is_stretched_as_timm_does(tmp_path: Path) -> None:
    torch.save(timm.create_model("test_vit", num_classes=7, img_size=64).state_dict(), tmp_path / "weights.pth")
    net = random_network("test_vit", clip_size=96)
    report = load_weights(net, str(tmp_path / "weights.pth"), kinetics400=None, classifier=net.classifier, name="test_vit")
    assert report.replaced == ("network.head",)
    given: dict[str, Any] = {"pretrained_cfg_overlay": {"file": str(tmp_path / "weights.pth"), "num_classes": 7}}
    stretched = timm.create_model("test_vit", pretrained=True, num_classes=7, img_size=96, **given)
    assert torch.equal(net.embedding.pos_embed, stretched.pos_embed)


def test_a_transformer_says_for_which_pictures_it_was_built() -> None:
    with pytest.raises(ValueError, match=r"Pictures of 80 x 80 pixels cannot be read; this transformer was built for 64 x 64"):
        random_network("test_vit").stem(torch.zeros(1, 3, 1, 80, 80))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub that timm downloads from, which cannot be reached."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tmp_path


def test_imagenet_weights_are_timms_own(hub: Path) -> None:
    torch.manual_seed(1)
    source = timm.create_model("test_resnet", num_classes=1000)
    folder = hub / "models--timm--test_resnet.r160_in1k"
    (folder / "snapshots" / "abc").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")
    save_file(source.state_dict(), folder / "snapshots" / "abc" / "model.safetensors")
    net = objabn.create_model("test_resnet", classes=CLASSES, weights="imagenet", clip_frames=2, clip_size=64)
    assert str(net.weights_report).startswith(
        f"{len(source.state_dict()) - 2} tensors from test_resnet of timm; the layers of its 1000 classes"
    )
    assert torch.equal(net.backbone.network.layer4[0].conv1.weight, source.layer4[0].conv1.weight)


def test_weights_out_of_reach_are_named_with_the_ways_out(hub: Path) -> None:
    with pytest.raises(RuntimeError, match=r"timm could not download the weights of test_resnet .* give --weights PATH\|none"):
        objabn.create_model("test_resnet", classes=CLASSES, weights="imagenet", clip_frames=2, clip_size=64)
    with pytest.raises(ValueError, match=r"no Kinetics-400 weights of test_resnet; give --weights imagenet, --weights PATH or"):
        objabn.create_model("test_resnet", classes=CLASSES, weights="kinetics400", clip_frames=2, clip_size=64)
    with pytest.raises(ValueError, match=r"no ImageNet weights of slow_r50; give --weights PATH"):
        objabn.create_model("slow_r50", classes=CLASSES, weights="imagenet", clip_frames=2, clip_size=64)
