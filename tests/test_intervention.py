"""Answers to other maps than the network's own: the same bits for its own, the plain backbone where maps hide nothing."""

import pytest
import torch
from small_backbones import shrink
from torch import Tensor, nn

from objabn.config import ModelConfig
from objabn.explainers import answer_with_maps
from objabn.explainers.intervention import Intervention, enlargement, for_each_drawn_frame, frame_groups, reduced
from objabn.models.build import build_model
from objabn.models.gated_network import resample
from objabn.models.network import AttentionNetwork, for_each_frame

FRAMES, SIZE, CLASSES = 8, 64, 3
SYSTEMS = {
    "abn": {"system": "abn", "apply": "residual"},
    "object_abn": {"system": "object_abn"},
    "three heads": {"system": "object_abn", "heads": 3},
    "st_abn": {"system": "st_abn"},
    "saliency_lstm": {"system": "saliency_lstm", "cut": 5, "hidden_channels": 8},
    "gated": {"system": "gated"},
}
NETWORKS = [("x3d_nano", system) for system in SYSTEMS] + [
    *(("slowfast_r50", system) for system in ("object_abn", "three heads", "st_abn", "gated")),
    *(("mvit_b", system) for system in ("abn", "saliency_lstm", "gated")),
    ("resnet18", "saliency_lstm"),
]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, narrow: None) -> None:
    shrink(monkeypatch)


def build(backbone: str, system: str, **settings: object) -> AttentionNetwork:
    torch.manual_seed(0)
    config = ModelConfig(**{"backbone": backbone, "cut": 3, "weights": "none", **SYSTEMS[system], **settings})
    net = build_model(config, classes=CLASSES, clip_frames=FRAMES, clip_size=SIZE)
    # Batch norms of a new network barely let the maps differ from cell to cell.
    for module in net.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.normal_(module.weight, 1, 0.5)
            nn.init.normal_(module.bias, 0, 0.5)
    return net


def random_clip(clips: int = 2) -> Tensor:
    return torch.randint(0, 256, (clips, 3, FRAMES, SIZE, SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("backbone", "system"), NETWORKS)
def test_own_maps_give_its_own_answer_to_the_bit_and_others_another_one(backbone: str, system: str) -> None:
    net, clip = build(backbone, system).eval(), random_clip()
    with torch.inference_mode():
        expected = net(clip)
        found = answer_with_maps(net, clip, expected.maps)
        other = answer_with_maps(net, clip, expected.maps.flip(4))
    for one, two in zip(found, expected, strict=True):
        assert (one is None and two is None) or torch.equal(one, two)
    assert not torch.equal(other.logits, expected.logits)
    if backbone == "x3d_nano" and system != "gated":
        assert torch.equal(other.maps, expected.maps.flip(4))


@pytest.mark.parametrize(
    ("backbone", "system", "settings", "value"),
    [
        ("x3d_nano", "object_abn", {}, 1.0),
        ("x3d_nano", "abn", {}, 0.0),
        ("slowfast_r50", "object_abn", {}, 1.0),
        ("mvit_b", "abn", {"apply": "product"}, 1.0),
        ("x3d_nano", "three heads", {}, 1.0),
        ("slowfast_r50", "three heads", {}, 1.0),
    ],
)
def test_a_network_whose_maps_hide_nothing_is_its_plain_backbone(
    backbone: str, system: str, settings: dict[str, object], value: float
) -> None:
    net, clip = build(backbone, system, **settings).eval(), random_clip()
    with torch.inference_mode():
        intervention = Intervention(net, clip)
        plain = net.backbone.tail(net.backbone.stem(net.normalize(clip)))
        found = intervention.answer(torch.full_like(intervention.own.maps, value)).logits
    assert intervention.open_value == value
    assert not torch.allclose(intervention.own.logits, plain, atol=1e-4)
    # Three copies are merged as their mean, which rounds.
    torch.testing.assert_close(found, plain, **({"rtol": 0, "atol": 0} if net.config.heads == 1 else {}))


def test_ones_are_the_gate_with_ones_where_there_is_no_plain_network_to_compare_with() -> None:
    clip = random_clip()
    with torch.inference_mode():
        for system, value in (("st_abn", 0.0), ("saliency_lstm", 1.0)):
            net = build("x3d_nano", system).eval()
            intervention = Intervention(net, clip)
            features = net.backbone.stem(net.normalize(clip))
            weights = net.branch(features[0]).frame_weights
            gated = net.gate(features[0], torch.ones_like(intervention.own.maps), weights)
            expected = net.backbone.tail((gated,)) if net.tail is None else net.tail(gated).logits
            found = intervention.answer(torch.ones_like(intervention.own.maps))
            assert torch.equal(found.logits, expected)
            assert intervention.open_value == value
            if system == "st_abn":
                assert torch.equal(found.frame_weights, weights), "what does not hang on the map stays"


@pytest.mark.parametrize("backbone", ["x3d_nano", "slowfast_r50"])
def test_each_stage_of_a_gated_network_takes_its_own_part(backbone: str) -> None:
    net, clip = build(backbone, "gated").eval(), random_clip()
    generator = torch.Generator().manual_seed(2)
    with torch.inference_mode():
        intervention = Intervention(net, clip)
        stages = net.backbone.stages(net.backbone.stem(net.normalize(clip)))
        drawn = [torch.rand(stage[:, :1].shape, generator=generator) for stage in stages]
        grid = tuple(stages[0].shape[3:])
        shown = torch.cat([resample(each, frames=FRAMES, grid=grid) for each in drawn], 1)
        torch.testing.assert_close(intervention.answer(shown).logits, net.answer_by(stages, drawn, frames=FRAMES).logits)
        ones = [torch.ones_like(each) for each in drawn]
        found = intervention.answer(torch.ones_like(shown))
        torch.testing.assert_close(found.logits, net.answer_by(stages, ones, frames=FRAMES).logits)
        torch.testing.assert_close(found.maps, torch.ones_like(shown))


def test_a_drawn_frame_takes_the_mean_of_those_it_stands_for_by_hand() -> None:
    frames = torch.tensor([1.0, 3.0, 4.0, 6.0, 8.0]).view(1, 1, 5, 1, 1)
    # Of 5 frames and 2 drawn ones, frame t has the drawn one 2 t // 5: 0, 0, 0, 1, 1.
    assert frame_groups(5, 2) == [[0, 1, 2], [3, 4]]
    torch.testing.assert_close(for_each_drawn_frame(frames, 2).flatten(), torch.tensor([8 / 3, 7.0]))
    drawn = torch.rand(2, 1, 3, 4, 4)
    assert torch.equal(for_each_drawn_frame(for_each_frame(drawn, 8, axis=2), 3), drawn), "to the bit, thirds too"


def test_the_nearest_coarse_map_by_hand() -> None:
    # Two cells enlarged to four: the ends repeat, and between them come three quarters of one and one quarter of the other.
    expected = torch.tensor([[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]], dtype=torch.float64)
    torch.testing.assert_close(enlargement(2, 4), expected)
    # A^T A = [[1.625, 0.375], [0.375, 1.625]] and A^T (1, 0, 0, 0) = (1, 0), so the nearest is (1.625, -0.375) / 2.5.
    row = torch.tensor([1.0, 0, 0, 0])
    torch.testing.assert_close(reduced(row.expand(4, 4), (2, 2)), torch.tensor([[0.65, -0.15]]).expand(2, 2))


def test_maps_by_name_leave_the_others_as_they_are() -> None:
    net, clip = build("x3d_nano", "three heads").eval(), random_clip()
    with torch.inference_mode():
        intervention = Intervention(net, clip)
        whole = intervention.own.maps.clone()
        whole[:, 1] = 0.25
        by_name = intervention.answer({"M_o": torch.full_like(whole[:, 1], 0.25)})
        assert torch.equal(by_name.logits, intervention.answer(whole).logits)
        assert torch.equal(by_name.maps, whole)
        assert torch.equal(intervention.answer({}).logits, net(clip).logits)


def test_gradients_reach_the_given_maps_again_and_again() -> None:
    net, clip = build("x3d_nano", "three heads").double(), random_clip(clips=1)
    net.train()
    net.backbone.blocks[0].eval()
    modes = [module.training for module in net.modules()]
    intervention = Intervention(net, clip)
    maps = intervention.own.maps.clone().requires_grad_()
    score = lambda maps: intervention.answer(maps).logits[0, 0]  # noqa: E731
    (gradient,) = torch.autograd.grad(score(maps), maps)
    (again,) = torch.autograd.grad(score(maps), maps)
    assert torch.equal(gradient, again)
    assert [module.training for module in net.modules()] == modes
    with torch.no_grad():
        step = 1e-5 * torch.rand(maps.shape, generator=torch.Generator().manual_seed(3), dtype=maps.dtype)
        measured = (score(maps + step) - score(maps - step)) / 2
    torch.testing.assert_close((gradient * step).sum(), measured, rtol=1e-4, atol=0)
    score(maps).backward()
    assert all(parameter.grad is None for parameter in [*net.branch.parameters(), *net.backbone.blocks[0].parameters()])


def test_what_cannot_be_answered_is_said() -> None:
    net, clip = build("x3d_nano", "three heads"), random_clip(clips=1)
    maps = torch.ones(1, 3, FRAMES, 8, 8)
    assert answer_with_maps(net, clip, maps).logits.shape == (1, CLASSES)
    with pytest.raises(ValueError, match=r"All maps together must be \(1, 3, 8, 8, 8\) for these clips.* not \(1, 3, 8, 4, 4\)"):
        answer_with_maps(net, clip, maps[..., :4, :4])
    with pytest.raises(ValueError, match=r"A map such as M_o must be \(1, 8, 8, 8\)"):
        answer_with_maps(net, clip, {"M_o": maps})
    with pytest.raises(ValueError, match="There is no map 'M'; this network draws M_u, M_o, M_b"):
        answer_with_maps(net, clip, {"M": maps[:, 0]})
    with pytest.raises(ValueError, match="Linear draws no maps that gate its features"):
        answer_with_maps(nn.Linear(1, 1), clip, maps)


@pytest.mark.gpu
@pytest.mark.parametrize("system", ["three heads", "st_abn", "gated"])
def test_maps_from_elsewhere_are_taken_to_the_gpu(system: str) -> None:
    net, clip = build("x3d_nano", system).eval(), random_clip()
    with torch.inference_mode():
        on_cpu = Intervention(net, clip)
        maps = on_cpu.own.maps.flip(4)
        expected = on_cpu.answer(maps).logits
        on_gpu = Intervention(net.cuda(), clip)
        assert torch.equal(on_gpu.answer(on_gpu.own.maps).logits, on_gpu.own.logits)
        torch.testing.assert_close(on_gpu.answer(maps).logits.cpu(), expected, rtol=1e-2, atol=1e-2)
