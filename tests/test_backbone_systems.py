"""Every family of backbones carries the systems: maps for every frame, gradients everywhere, files, frozen parts, graphs."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import objabn
from objabn.exporting import graphs
from objabn.models.backbone import Backbone
from objabn.models.network import AttentionNetwork
from objabn.training.parts import frozen, set_training_mode

pytestmark = pytest.mark.usefixtures("narrow")

FAMILIES = ["slow_r50", "slowfast_r50", "r2plus1d_50", "csn_101", "mvit_b", "resnet10t", "test_convnext", "test_vit"]
FRAMES, SIZE = 6, 64


def small(name: str, **settings: object) -> AttentionNetwork:
    torch.manual_seed(0)
    net = objabn.create_model(name, **{"classes": 5, "clip_frames": FRAMES, "clip_size": SIZE, "dropout": 0.0, **settings})
    for value in net.parameters():
        if value.ndim == 1:
            nn.init.uniform_(value, 0.5, 1.5)  # zero gammas would stop gradients
    return net


def random_clip(clips: int = 2) -> Tensor:
    return torch.randint(0, 256, (clips, 3, FRAMES, SIZE, SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("heads", [1, 3])
def test_maps_are_drawn_for_every_frame_and_everything_learns(name: str, heads: int) -> None:
    net = small(name, heads=heads)
    output = net(random_clip())
    assert output.maps.shape == (2, heads, FRAMES, 4, 4) == (2, heads, FRAMES, net.grid_size, net.grid_size)
    assert output.features.shape == (2, net.feature_channels, net.feature_frames, 4, 4)
    (output.logits.square().sum() + output.branch_logits.square().sum() + output.maps.square().sum()).backward()
    assert [path for path, value in net.named_parameters() if value.grad is None or not value.grad.isfinite().all()] == []
    first = next(value for value in net.backbone.parameters() if value.ndim > 3)
    assert first.grad.abs().max() > 0


@pytest.mark.parametrize("name", ["slow_r50", "slowfast_r50", "mvit_b", "test_vit"])
def test_a_map_of_ones_leaves_the_plain_backbone(name: str) -> None:
    net = small(name).eval()
    with torch.no_grad():
        net.branch.map_norm.weight.zero_()
        net.branch.map_norm.bias.fill_(100)
        clip = random_clip()
        output = net(clip)
        assert torch.equal(output.logits, net.backbone.tail(net.backbone.stem(net.normalize(clip))))
        net.branch.map_norm.bias.fill_(-100)
        assert not torch.allclose(net(clip).logits, output.logits), "maps of zeros hide what is gated"


def test_the_fast_pathway_is_gated_by_the_map_of_the_slow_frame_that_stands_for_it() -> None:
    net = small("slowfast_r50")
    (gate,) = net.side_gates
    fast, maps = torch.ones(1, 32, FRAMES, 4, 4), torch.tensor([0.25, 0.5]).view(1, 1, 2, 1, 1).expand(1, 1, 2, 4, 4)
    (gated,) = net.gate_sides((fast,), maps)
    assert gated[0, 0, :, 0, 0].tolist() == [0.25, 0.25, 0.25, 0.5, 0.5, 0.5]
    assert list(gate.parameters()) == []
    assert net.gate_sides((torch.ones(1, 1, 8),), maps)[0].shape == (1, 1, 8), "a class token passes"


@pytest.mark.parametrize(
    ("system", "cut", "name"),
    [
        *((system, 4, name) for system in ("st_abn", "gated") for name in FAMILIES),
        # It answers from one pathway, and cuts behind the last stage, where the patches of a transformer of timm are too fine.
        *(("saliency_lstm", 5, name) for name in FAMILIES if name not in ("slowfast_r50", "test_vit")),
    ],
)
def test_the_other_systems_sit_in_every_family_too(system: str, cut: int, name: str) -> None:
    net = small(name, system=system, cut=cut, **({"hidden_channels": 8} if system == "saliency_lstm" else {}))
    output = net(random_clip())
    assert (output.logits.shape, output.maps.shape[2]) == ((2, 5), FRAMES)
    output.logits.square().sum().backward()
    assert [path for path, value in net.backbone.named_parameters() if value.grad is None] == []


@pytest.mark.parametrize("name", FAMILIES)
def test_a_saved_network_answers_alike(tmp_path: Path, name: str) -> None:
    net, clip = small(name, heads=3).eval(), random_clip()
    objabn.save_model(net, tmp_path / "net.safetensors")
    loaded = objabn.load_model(tmp_path / "net.safetensors")
    with torch.no_grad():
        for ours, theirs in zip(net(clip)[:4], loaded(clip)[:4], strict=True):
            assert torch.equal(ours, theirs)


def stage_outputs(backbone: Backbone, clip: Tensor) -> tuple[list[Tensor], tuple[Tensor, ...]]:
    """What the modules of `stage_names` gave as the whole network ran, and what `stages` returns."""
    given = []
    for name in backbone.stage_names:
        hook = lambda _module, _inputs, output: given.append(backbone.volume(output, len(clip)))  # noqa: E731
        backbone.get_submodule(name).register_forward_hook(hook)
    with torch.no_grad():
        features = backbone.stem(clip)
        backbone.tail(features)
        seen = list(given)
        return seen, backbone.stages(features)


@pytest.mark.parametrize("name", FAMILIES)
def test_stages_are_what_the_named_modules_give(name: str) -> None:
    backbone = small(name).eval().backbone
    seen, stages = stage_outputs(backbone, torch.randn(2, 3, FRAMES, SIZE, SIZE))
    assert [volume.shape[1] for volume in seen[1:]] == list(backbone.stage_channels[1:])
    assert all(volume.ndim == 5 and len(volume) == 2 for volume in seen)
    assert len(seen) == 5
    assert len(stages) == 2
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(stages, seen[3:], strict=True))


@pytest.mark.parametrize("name", FAMILIES)
def test_without_its_head_a_backbone_still_gives_its_stages(name: str) -> None:
    backbone = small(name).eval().backbone
    clip, classifier = torch.randn(1, 3, FRAMES, SIZE, SIZE), backbone.classifier
    with torch.no_grad():
        before = backbone.stages(backbone.stem(clip))
        backbone.remove_head()
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(before, backbone.stages(backbone.stem(clip)), strict=True))
    assert backbone.classifier == ""
    assert not [path for path, _ in backbone.named_parameters() if path.startswith(f"{classifier}.")]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_frozen_stem_stands_still_and_the_rest_learns(name: str) -> None:
    net = small(name)
    with frozen(net, ("stem",)) as still:
        set_training_mode(net, still)
        output = net(random_clip())
        (output.logits.square().sum() + output.branch_logits.square().sum()).backward()
    learnt = {path for path, value in net.named_parameters() if value.grad is not None}
    stem = {path for path in learnt if any(path.startswith(f"backbone.{part}") for part in net.backbone.stem_names)}
    assert stem == set()
    stands = {path for path, value in net.backbone.named_parameters() if value.grad is None}
    features = net.backbone.stem(net.normalize(random_clip()))
    features[0].sum().backward()
    used = {path for path, value in net.backbone.named_parameters() if path in stands and value.grad is not None}
    assert used == stands, "and nothing but the stem stood still"


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_explained_clip_by_clip(name: str) -> None:
    net, clip = small(name).double(), random_clip()
    for module in net.modules():
        if hasattr(module, "running_var"):
            module.momentum = 1.0
    net(clip)  # statistics of these clips, without which a network at random saturates
    for method in ("attention", "3dcam"):
        maps = objabn.explain(net, clip, method=method).maps
        assert maps.shape == (2, 1, FRAMES, SIZE, SIZE)
        assert (maps.amax((1, 2, 3, 4)) > maps.amin((1, 2, 3, 4))).all()
        alone = objabn.explain(net, clip[1:], method=method).maps
        torch.testing.assert_close(maps[1:], alone)


@pytest.mark.slow
@pytest.mark.parametrize("file_format", ["onnx", "pt2"])
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_exported(tmp_path: Path, name: str, file_format: str) -> None:
    net = small(name, heads=3).eval()
    path = objabn.export(net, file_format, tmp_path / f"net.{file_format}").path
    answered = (graphs.run_onnx if file_format == "onnx" else graphs.run_pt2)(path.read_bytes())(random_clip(3))
    with torch.no_grad():
        output = net(random_clip(3))
    for name_of_output, value in answered.items():
        torch.testing.assert_close(value, getattr(output, name_of_output), rtol=1e-3, atol=1e-4)
