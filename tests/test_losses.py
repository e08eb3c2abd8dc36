"""Losses against numbers worked out by hand on 2x2 maps, literal loops, and double-precision gradients."""

import math

import pytest
import torch
from torch import Tensor

from objabn.losses import DICE_CELLS, PrototypeConformityLoss, dice_loss, mask_loss, multi_head_mask_loss

MAP = torch.tensor([[0.0, 0.5], [1.0, 0.2]])
COVERAGE = torch.tensor([[0.1, 0.5], [0.9, 0.4]])
# hard target: 0 1 1 0 -> squared errors 0, 0.25, 0, 0.04; soft: 0.01, 0, 0.01, 0.04.
HARD, SOFT = 0.29 / 4, 0.06 / 4


def clips(frame: Tensor, frames: int) -> Tensor:
    return frame.expand(2, frames, 2, 2).clone()


@pytest.mark.parametrize(("target", "expected"), [("hard", HARD), ("soft", SOFT)])
def test_mask_loss_on_numbers(target: str, expected: float) -> None:
    assert mask_loss(clips(MAP, 3), clips(COVERAGE, 3), target=target).item() == pytest.approx(expected)
    assert mask_loss(MAP.expand(2, 2, 2), COVERAGE.expand(2, 2, 2), target=target).item() == pytest.approx(expected), "images"


def test_mask_loss_is_zero_where_the_map_is_the_mask() -> None:
    coverage = (torch.rand(2, 3, 4, 4) > 0.5).float()
    assert mask_loss(coverage, coverage).item() == 0.0
    complement = torch.stack([torch.rand(2, 3, 4, 4), coverage, 1 - coverage], 1)
    assert multi_head_mask_loss(complement, coverage).item() == 0.0


def test_only_valid_frames_count() -> None:
    maps, coverage = clips(MAP, 3), clips(COVERAGE, 3)
    maps[0, 0] = 1.0
    coverage[0, 0] = 0.0  # an error of 1 in the only frame that is not valid
    valid = torch.ones(2, 3, dtype=torch.bool)
    valid[0, 0] = False
    assert mask_loss(maps, coverage, valid).item() == pytest.approx(HARD)
    assert mask_loss(maps, coverage).item() == pytest.approx((1 + 5 * HARD) / 6)


def test_dice_loss_on_numbers() -> None:
    # Hard target 0 1 1 0: overlap 0.5 + 1 = 1.5 of sums 1.7 + 2; soft: 0.25 + 0.9 + 0.08 of 1.7 + 1.9.
    hard = 1 - (2 * 1.5 + DICE_CELLS) / (3.7 + DICE_CELLS)
    soft = 1 - (2 * 1.23 + DICE_CELLS) / (3.6 + DICE_CELLS)
    assert dice_loss(clips(MAP, 3), clips(COVERAGE, 3)).item() == pytest.approx(hard, rel=1e-6)
    assert dice_loss(clips(MAP, 3), clips(COVERAGE, 3), target="soft").item() == pytest.approx(soft, rel=1e-6)
    assert dice_loss(torch.zeros(1, 2, 3, 3), torch.zeros(1, 2, 3, 3)).item() == 0.0, "nothing drawn where nothing is"


def test_dice_counts_valid_frames_only() -> None:
    maps, coverage = torch.ones(1, 2, 2, 2), torch.ones(1, 2, 2, 2)
    coverage[0, 1] = 0.0
    assert dice_loss(maps, coverage, torch.tensor([[True, False]])).item() == 0.0
    assert dice_loss(maps, coverage).item() == pytest.approx((1 - DICE_CELLS / (4 + DICE_CELLS)) / 2)


def test_without_a_valid_frame_the_loss_is_zero_and_has_a_gradient() -> None:
    maps = torch.rand(2, 3, 4, 5, 5, requires_grad=True)
    coverage, valid = torch.rand(2, 4, 5, 5), torch.zeros(2, 4, dtype=torch.bool)
    loss = mask_loss(maps[:, 1], coverage, valid) + multi_head_mask_loss(maps, coverage, valid)
    loss.backward()
    assert loss.item() == 0.0
    assert maps.grad is not None
    assert not maps.grad.any()


@pytest.mark.parametrize("background_weight", [0.0, 1.0, 0.25])
def test_multi_head_mask_loss_on_numbers(background_weight: float) -> None:
    free = torch.full((2, 2), 0.9)
    maps = torch.stack([free, MAP, 1 - MAP, free]).unsqueeze(1).expand(2, 4, 3, 2, 2)
    # 1 - MAP misses the complement by as much as MAP misses the mask; free maps cost nothing.
    expected = HARD * (1 + background_weight)
    assert multi_head_mask_loss(maps, clips(COVERAGE, 3), background_weight=background_weight).item() == pytest.approx(expected)
    image = multi_head_mask_loss(maps[:, :, 0], clips(COVERAGE, 3)[:, 0], background_weight=background_weight)
    assert image.item() == pytest.approx(expected)


def test_half_precision_maps_are_compared_in_single_precision() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        loss = mask_loss(clips(MAP, 1).bfloat16(), clips(COVERAGE, 1))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(HARD, abs=1e-3)


def test_mask_losses_refuse_what_they_cannot_read() -> None:
    with pytest.raises(ValueError, match="2 maps were given, but the multi-head mask loss needs M_u, M_o and M_b"):
        multi_head_mask_loss(torch.rand(1, 2, 1, 2, 2), torch.rand(1, 1, 2, 2))
    with pytest.raises(ValueError, match="target='fuzzy' is not possible; it must be hard or soft"):
        mask_loss(torch.rand(1, 1, 2, 2), torch.rand(1, 1, 2, 2), target="fuzzy")


def test_mask_losses_pass_gradcheck() -> None:
    maps = torch.rand(2, 3, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    coverage, valid = torch.rand(2, 2, 3, 3, dtype=torch.float64), torch.tensor([[True, False], [True, True]])
    assert torch.autograd.gradcheck(lambda m: mask_loss(m[:, 1], coverage, valid), maps)
    assert torch.autograd.gradcheck(lambda m: multi_head_mask_loss(m, coverage, valid, background_weight=0.5, target="soft"), maps)


def paper_loop(loss: PrototypeConformityLoss, features: Tensor, labels: Tensor) -> float:
    """Object-ABN eq. 8, one distance after the other."""
    total = 0.0
    w = loss.prototypes.tolist()
    for f, y in zip(features.tolist(), labels.tolist(), strict=True):
        away = sum(math.dist(f, w[j]) + math.dist(w[y], w[j]) for j in range(len(w)) if j != y)
        total += loss.pull * math.dist(f, w[y]) - loss.push / (len(w) - 1) * away
    return total / len(features)


def official_loop(loss: PrototypeConformityLoss, features: Tensor, labels: Tensor) -> float:
    """The authors' code: squared distances, two sets of centres, mean over all pairs."""
    assert loss.push_prototypes is not None
    near, far = loss.prototypes.tolist(), loss.push_prototypes.tolist()
    pairs = list(zip(features.tolist(), labels.tolist(), strict=True))
    pulls = [math.dist(f, near[y]) ** 2 for f, y in pairs]
    pushes = [math.dist(f, far[j]) ** 2 for f, y in pairs for j in range(len(far)) if j != y]
    return loss.pull * sum(pulls) / len(pulls) - loss.push * sum(pushes) / len(pushes)


@pytest.mark.parametrize("push", [1e-3, 0.7])
def test_pc_loss_is_the_literal_loop_in_both_forms(push: float) -> None:
    torch.manual_seed(0)
    features, labels = torch.randn(6, 5, dtype=torch.float64), torch.tensor([0, 3, 3, 1, 2, 0])
    paper = PrototypeConformityLoss(4, 5, pull=0.5, push=push).double()
    official = PrototypeConformityLoss(4, 5, pull=0.5, push=push, squared=True, center_term=False, shared_centers=False).double()
    assert paper(features, labels).item() == pytest.approx(paper_loop(paper, features, labels))
    assert official(features, labels).item() == pytest.approx(official_loop(official, features, labels))
    assert len(list(paper.parameters())) == 1
    assert len(list(official.parameters())) == 2


def test_pc_loss_on_numbers() -> None:
    loss = PrototypeConformityLoss(3, 2, pull=1.0, push=0.5)
    with torch.no_grad():
        loss.prototypes.copy_(torch.tensor([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]]))
    # f = w_1: pull 0; |f-w_0| = |f-w_2| = 5, |w_1-w_0| = |w_1-w_2| = 5; push 0.5 / 2 * 20 = 5.
    assert loss(torch.tensor([[3.0, 4.0]]), torch.tensor([1])).item() == pytest.approx(-5.0)


def test_pc_loss_with_one_class_is_the_pull_alone() -> None:
    loss = PrototypeConformityLoss(1, 2)
    with torch.no_grad():
        loss.prototypes.zero_()
    assert loss(torch.tensor([[3.0, 4.0]]), torch.tensor([0])).item() == pytest.approx(5.0)


@pytest.mark.parametrize("squared", [False, True])
def test_gradients_are_zero_and_finite_where_points_coincide(squared: bool) -> None:
    loss = PrototypeConformityLoss(2, 3, push=0.0, squared=squared)
    features = loss.prototypes.detach()[:1].clone().requires_grad_()
    value = loss(features, torch.tensor([0]))
    value.backward()
    assert value.item() == 0.0
    assert features.grad is not None
    assert not features.grad.any()
    assert loss.prototypes.grad is not None
    assert not loss.prototypes.grad.any()


def test_distances_hold_in_high_dimensions() -> None:
    loss = PrototypeConformityLoss(2, 300_000, push=0.0, squared=True)
    features = loss.prototypes.detach()[:1] + 1e-3
    # 300,000 differences of 1e-3; the expansion |x|^2 + |y|^2 - 2xy is wrong by hundreds here.
    assert loss(features, torch.tensor([0])).item() == pytest.approx(0.3, rel=1e-2)


@pytest.mark.parametrize(("squared", "center_term", "shared_centers"), [(False, True, True), (True, False, False), (True, True, True)])
def test_pc_loss_passes_gradcheck(squared: bool, center_term: bool, shared_centers: bool) -> None:
    torch.manual_seed(0)
    loss = PrototypeConformityLoss(3, 2, push=0.3, squared=squared, center_term=center_term, shared_centers=shared_centers).double()
    features = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 2, 1, 1])
    assert torch.autograd.gradcheck(lambda f, *_: loss(f, labels), (features, *loss.parameters()))


def test_pooling_is_the_losss_own() -> None:
    torch.manual_seed(0)
    features, labels = torch.randn(2, 3, 2, 2, 2), torch.tensor([0, 1])
    gap, flatten = PrototypeConformityLoss(2, 3), PrototypeConformityLoss(2, 24, pool="flatten")
    torch.testing.assert_close(gap(features, labels), gap(features.mean((2, 3, 4)), labels))
    torch.testing.assert_close(flatten(features, labels), flatten(features.flatten(1), labels))
    with pytest.raises(ValueError, match="give vectors of 3 values with pool='gap', but the prototypes have 24; build the loss with dim=3"):
        PrototypeConformityLoss(2, 24)(features, labels)


def test_pc_loss_stays_in_single_precision_under_autocast() -> None:
    torch.manual_seed(0)
    loss, features, labels = PrototypeConformityLoss(4, 8), torch.randn(3, 8).bfloat16(), torch.tensor([0, 1, 3])
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(features, labels)
    assert value.dtype == torch.float32
    assert torch.equal(value, loss(features.float(), labels))
