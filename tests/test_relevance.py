"""Relevance: rules worked out by hand, nothing lost on the way, equal to captum's where both have the rule, and honest refusals."""

from collections.abc import Callable

import pytest
import torch
from explained import FRAMES, PLAIN, SIZE, state_of
from small_backbones import FAMILIES, shrink
from torch import Tensor, nn
from torch.nn import functional
from toys import CLASSES, toy_batch

from objabn.explainers import explain
from objabn.explainers.hooks import captured
from objabn.explainers.relevance import Propagation, unruled
from objabn.models.build import create_model
from objabn.models.gating import MergingGate


def relevance_of(function: Callable[..., Tensor], *inputs: Tensor, start: Tensor | None = None) -> list[Tensor]:
    """The relevance of inputs where that of the output is `start`, or 1 everywhere."""
    leaves = [values.clone().requires_grad_() for values in inputs]
    with Propagation():
        output = function(*leaves)
    assert unruled(output) == []
    return list(torch.autograd.grad(output, leaves, torch.ones_like(output) if start is None else start))


def test_products_share_by_what_is_positive_and_a_bias_takes_no_part() -> None:
    values, weight = torch.tensor([[1.0, -2.0]]), torch.tensor([[2.0, -1.0], [1.0, 1.0]])
    # First output: 2 * 1 and -1 * -2, halves each. Second: 1 * 1 and 1 * -2, of which only the first is positive.
    for bias in (None, torch.tensor([10.0, -10.0])):
        (found,) = relevance_of(lambda x, bias=bias: functional.linear(x, weight, bias), values)
        assert found.tolist() == [[1.5, 0.5]]
    (found,) = relevance_of(lambda x: functional.conv3d(x, weight[:, :, None, None, None]), values[:, :, None, None, None])
    assert found.flatten().tolist() == [1.5, 0.5]


def test_sums_share_by_what_has_the_sign_of_the_sum() -> None:
    first, second = torch.tensor([3.0, -1.0, 0.0, 1.0]), torch.tensor([-1.0, -3.0, 0.0, 1.0])
    for add in (torch.add, lambda x, y: x + y, lambda x, y: x.clone().add_(y)):
        found = relevance_of(add, first, second, start=torch.tensor([1.0, 1.0, 1.0, -1.0]))
        assert [each.tolist() for each in found] == [[1, 0.25, 0, -0.5], [0, 0.75, 0, -0.5]], "nothing adds to a sum of zeros"


def test_pools_share_by_what_they_average_and_a_maximum_takes_all() -> None:
    values = torch.tensor([1.0, 3.0, 0.0, 4.0]).view(1, 1, 1, 2, 2)
    for pool in (
        lambda x: x.mean((2, 3, 4)),
        lambda x: functional.avg_pool3d(x, (1, 2, 2)),
        lambda x: functional.adaptive_avg_pool3d(x, 1),
    ):
        (found,) = relevance_of(pool, values)
        assert found.flatten().tolist() == [0.125, 0.375, 0, 0.5]
    (found,) = relevance_of(lambda x: functional.max_pool3d(x, (1, 2, 2)), values)
    assert found.flatten().tolist() == [0, 0, 0, 1]


def test_activations_norms_and_constants_hand_on_everything() -> None:
    norm = nn.BatchNorm3d(2).eval()
    norm.weight.data, norm.bias.data = torch.tensor([-2.0, 0.5]), torch.tensor([3.0, 0.0])
    norm.requires_grad_(False)
    values, start = torch.tensor([-1.0, 2.0]).view(1, 2, 1, 1, 1), torch.tensor([5.0, -7.0]).view(1, 2, 1, 1, 1)
    for function in (
        norm,
        functional.silu,
        nn.ReLU(inplace=True),
        torch.tanh,
        lambda x: 4 - (2 * x / 3 + 1),
        lambda x: functional.dropout(x, training=False),
    ):
        (found,) = relevance_of(lambda x, function=function: function(x.clone()), values, start=start)
        assert torch.equal(found, start)


def test_gates_are_constants_and_what_is_used_twice_adds_up() -> None:
    values = torch.tensor([[1.0, 2.0]])

    def squeezed(x: Tensor) -> Tensor:
        return x * functional.linear(x, torch.ones(2, 2)).sigmoid() + x

    # Both terms are positive shares of the same x: 1 in all, for each.
    assert relevance_of(squeezed, values)[0].tolist() == [pytest.approx([1, 1])]
    attended = torch.tensor([[[1.0, 2.0], [3.0, -1.0]]])
    # Equal keys, so equal weights: 1 and 3 make 2; 2 and -1 make 0.5, to which only the first adds.
    (found,) = relevance_of(lambda v: functional.scaled_dot_product_attention(torch.ones(1, 1, 2), torch.ones(1, 2, 2), v), attended)
    assert found.flatten().tolist() == pytest.approx([0.25, 1, 0.75, 0])
    (literal,) = relevance_of(lambda v: torch.full((1, 1, 2), 0.5) @ v, attended)
    torch.testing.assert_close(literal, found)


def test_grouped_convolutions_are_those_of_their_dense_kernels() -> None:
    torch.manual_seed(0)
    values, kernels = torch.randn(2, 4, 3, 5, 5), torch.randn(4, 1, 3, 3, 3)
    dense = torch.zeros(4, 4, 3, 3, 3)
    dense[range(4), range(4)] = kernels[:, 0]
    start = torch.randn(2, 4, 2, 3, 3)
    (found,) = relevance_of(lambda x: functional.conv3d(x, kernels, stride=2, padding=1, groups=4), values, start=start)
    (expected,) = relevance_of(lambda x: functional.conv3d(x, dense, stride=2, padding=1), values, start=start)
    torch.testing.assert_close(found, expected)


def test_the_merge_of_several_maps_is_the_concatenation_and_its_convolution() -> None:
    torch.manual_seed(0)
    gate, maps = MergingGate(3, 2, merge_init="random").requires_grad_(False), torch.rand(1, 2, 2, 2, 2)
    values, start = torch.randn(1, 3, 2, 2, 2), torch.randn(1, 3, 2, 2, 2)

    def literal(x: Tensor) -> Tensor:
        return gate.merge(torch.cat([x * maps[:, :1], x * maps[:, 1:]], 1))

    (found,) = relevance_of(lambda x: gate(x, maps), values, start=start)
    torch.testing.assert_close(found, relevance_of(literal, values, start=start)[0])


def test_in_place_operations_are_those_out_of_place() -> None:
    torch.manual_seed(0)
    values, weight = torch.randn(1, 4, 6), torch.randn(4, 4)

    def block(x: Tensor, *, in_place: bool) -> Tensor:
        inner = functional.relu(functional.linear(x.transpose(1, 2), weight), inplace=in_place).transpose(1, 2)
        if in_place:
            inner[:, :, 1:] += x[:, :, 1:]
            return inner.relu_()
        return torch.cat([inner[:, :, :1], inner[:, :, 1:] + x[:, :, 1:]], 2).relu()

    start = torch.randn(1, 4, 6)
    found, expected = (relevance_of(lambda x, kind=kind: block(x, in_place=kind), values, start=start)[0] for kind in (True, False))
    torch.testing.assert_close(found, expected)


def test_captum_hands_down_the_same() -> None:
    lrp = pytest.importorskip("captum.attr").LRP
    from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule

    torch.manual_seed(0)
    first, second, third = (nn.Conv2d(*shape, bias=False) for shape in ((3, 6, 3), (6, 4, 3), (4, 3, 2)))
    net = nn.Sequential(first, nn.ReLU(), nn.MaxPool2d(2), second, nn.ReLU(), third).requires_grad_(False)
    for layer in (first, second, third):
        layer.rule = Alpha1_Beta0_Rule()
    picture = torch.rand(2, 3, 10, 10)
    scores = net(picture)
    target = scores.argmax(1).flatten().tolist()
    theirs = lrp(net).attribute(picture.clone().requires_grad_(), [(number, 0, 0) for number in target])
    start = scores * functional.one_hot(torch.tensor(target), 3)[:, :, None, None]
    (ours,) = relevance_of(net, picture, start=start)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


class Averaged(nn.Module):
    """Two channels are averaged over their places and weighed without a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Identity()
        self.linear = nn.Linear(2, 2, bias=False)
        self.linear.weight.data = torch.tensor([[1.0, -1.0], [0.5, 1.0]])

    def forward(self, clip: Tensor) -> Tensor:
        return self.linear(self.first(clip).mean((2, 3, 4)))


def test_a_map_by_hand() -> None:
    clip = torch.tensor([[2.0, 4.0, 0.0], [1.0, 3.0, 2.0]])[None, :, None, None]
    # Means 2 and 2. Of class 0's relevance 1 all goes to the first channel, the only one that is positive for it; of class 1's -1/2 a
    # third goes to the first and two thirds to the second: 5/6 and -1/3. Over three places: weights 5/18 and -2/18. Maps 8, 14 and -4.
    found = explain(Averaged(), clip, method="relevance_cam", classes=0, layer="first")
    assert found.names == ("relevance_cam",)
    assert found.logits.tolist() == [[0, 3]]
    assert found.maps.flatten().tolist() == pytest.approx([12 / 18, 1, 0])
    # The other way round: 1 in thirds, and -1/2 to the first: -1/6 and 2/3, so weights -1 and 4, and maps 2, 8 and 8.
    other = explain(Averaged(), clip, method="relevance_cam", layer="first")
    assert other.classes.tolist() == [1]
    assert other.maps.flatten().tolist() == pytest.approx([0, 1, 1])


def handed_down(net: nn.Module, clip: Tensor, layer: str) -> float:
    """The sum of the relevance at a layer, where that of class 0 is 1 in every clip."""
    net.eval().requires_grad_(False)
    with torch.no_grad(), captured(net, [layer], starts_graph=True) as outputs, Propagation():
        logits = net(clip).logits
    return float(torch.autograd.grad(logits[:, 0].sum(), outputs[layer])[0].sum())


@pytest.mark.parametrize(
    ("family", "system"),
    [(family, "object_abn") for family in FAMILIES[:-1]] + [("x3d_nano", "st_abn"), ("x3d_nano", "gated"), ("slow_r50", "saliency_lstm")],
)
def test_nothing_is_lost_on_the_way_down(family: str, system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch)
    torch.manual_seed(0)
    settings: dict = {"saliency_lstm": {"cut": 5, "hidden_channels": 8}, "object_abn": {"heads": 3}}.get(system, {})
    net = create_model(family, classes=CLASSES, system=system, clip_frames=4, clip_size=32, **{"cut": 4, **settings})
    stages = net.backbone.stage_names[net.backbone.cut - 1 :]
    # What the first gated stage answers by a pool of its own never comes to the last one.
    for stage in stages[:1] if system == "gated" else stages:
        assert handed_down(net, toy_batch(0, clips=2).clip, f"backbone.{stage}") == pytest.approx(2, rel=1e-4)


@pytest.mark.parametrize("kind", ["r3d", "x3d", "mvit", "swin3d", "vit", "convnext", "softmax"])
def test_networks_of_others_are_explained_clip_by_clip(kind: str) -> None:
    torch.manual_seed(0)
    build, layer = PLAIN[kind]
    net, clip = build(), torch.randn(2, 3, FRAMES, SIZE, SIZE)
    before = state_of(net)
    found = explain(net, clip, method="relevance_cam", layer=layer, classes=[0, 1])
    assert state_of(net) == before
    assert found.maps.shape == (2, 1, FRAMES, SIZE, SIZE)
    assert found.maps.amax((1, 2, 3, 4)).tolist() == [1, 1]
    assert found.maps.amin((1, 2, 3, 4)).tolist() == [0, 0]
    alone = explain(net, clip[1:], method="relevance_cam", layer=layer, classes=1)
    torch.testing.assert_close(found.maps[1:], alone.maps, rtol=1e-3, atol=1e-3)


class Squared(nn.Module):
    """An operation that nobody gave a rule."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first = nn.Conv3d(3, 2, 1)
        self.function = function

    def forward(self, clip: Tensor) -> Tensor:
        return self.function(self.first(clip)).mean((2, 3, 4))


def test_what_has_no_rule_is_refused_and_nothing_stays_behind() -> None:
    clip = torch.rand(1, 3, 2, 4, 4)
    for function, message in (
        (lambda x: x**2, "relevance_cam has no rule for PowBackward0 .* between first and the answer"),
        (lambda x: x * x, "no rule for MulBackward0"),
        (lambda x: x.sigmoid(), "No relevance of the answer reaches first: gates"),
    ):
        net = Squared(function)
        before = state_of(net)
        with pytest.raises(ValueError, match=message):
            explain(net, clip, method="relevance_cam", layer="first")
        assert state_of(net) == before
