"""Regularisers of maps and frame weights against numbers worked out by hand, literal loops, and double-precision gradients."""

import pytest
import torch
from torch import Tensor

from objabn.regularisers import contrast, temporal_variation, total_variation, unimodality

MAP = torch.tensor([[0.0, 0.5, 0.5], [1.0, 0.2, 0.6]])
# Rows below: |1-0| + |.2-.5| + |.6-.5| = 1.4; columns beside: .5 + 0 + .8 + .4 = 1.7.
VARIATION = 3.1
# Half of 0 + .5 + .5 + .2 less half of 1 + .6.
CONTRAST = 0.6 - 0.8


@pytest.mark.parametrize("shape", [(2, 1, 4, 2, 3), (2, 1, 2, 3)], ids=["clips", "images"])
def test_maps_by_hand(shape: tuple[int, ...]) -> None:
    maps = MAP.expand(shape)
    frames = shape[2] if len(shape) == 5 else 1
    assert total_variation(maps).item() == pytest.approx(frames * VARIATION)
    assert total_variation(maps, form="official").item() == pytest.approx(2 * frames * VARIATION), "the authors sum over the batch"
    assert contrast(maps).item() == pytest.approx(frames * CONTRAST)


def test_neither_frames_nor_maps_are_neighbours() -> None:
    maps = torch.zeros(1, 2, 3, 4, 4)
    maps[:, 1], maps[:, :, 2] = 0.25, 0.75
    assert total_variation(maps).item() == 0.0


def test_flicker_by_hand() -> None:
    maps = torch.zeros(1, 1, 3, 1, 2)
    maps[0, 0, 1] = torch.tensor([[0.5, 1.0]])
    maps[0, 0, 2] = torch.tensor([[0.5, 0.0]])
    assert temporal_variation(maps).item() == pytest.approx((0.25 + 1 + 0 + 1) / 4)
    assert temporal_variation(maps[:, :, :1]).item() == 0.0, "a picture has no neighbour"


def test_contrast_draws_cells_to_the_nearer_end() -> None:
    maps = torch.tensor([0.2, 0.5, 0.51, 0.9]).view(1, 1, 2, 2).requires_grad_()
    contrast(maps).backward()
    assert maps.grad is not None
    assert maps.grad.flatten().tolist() == [0.5, 0.5, -0.5, -0.5]


def test_weights_by_hand() -> None:
    # .4 * .4 - .1^2 = .15 and .1 * .1 - .4^2 < 0; the second clip has one peak.
    weights = torch.tensor([[0.4, 0.1, 0.4, 0.1], [0.1, 0.4, 0.3, 0.2]])
    assert unimodality(weights).item() == pytest.approx(0.15 / 2)
    assert unimodality(weights, form="official").item() == pytest.approx(0.15**0.5 / 4)
    assert unimodality(torch.full((3, 20), 0.05)).item() == pytest.approx(0.0, abs=1e-9), "even weights have one peak"


@pytest.mark.parametrize("form", ["paper", "official"])
@pytest.mark.parametrize("frames", [1, 2])
def test_two_frames_have_one_peak(frames: int, form: str) -> None:
    weights = torch.full((2, frames), 1 / frames, requires_grad=True)
    loss = unimodality(weights, form=form)
    loss.backward()
    assert loss.item() == 0.0
    assert weights.grad is not None
    assert not weights.grad.any()


def test_the_root_has_a_gradient_of_zero_where_there_is_no_excess() -> None:
    weights = torch.tensor([[0.1, 0.6, 0.3]], requires_grad=True)
    unimodality(weights, form="official").backward()
    assert weights.grad is not None
    assert not weights.grad.any(), "and no NaN"


def literal(maps: Tensor, weights: Tensor) -> tuple[float, float, float]:
    """The three sums as they are printed, one cell and one frame after the other; mean over the clips."""
    clips, frames, rows, columns = maps.shape
    variation = sharpness = peaks = 0.0
    for clip in range(clips):
        for t in range(frames):
            m = maps[clip, t].tolist()
            variation += sum(abs(m[j + 1][k] - m[j][k]) for j in range(rows - 1) for k in range(columns))
            variation += sum(abs(m[j][k + 1] - m[j][k]) for j in range(rows) for k in range(columns - 1))
            for value in maps[clip, t].flatten().tolist():
                b = 1.0 if value > 0.5 else 0.0
                sharpness += -0.5 * value * b + 0.5 * value * (1 - b)
        w = weights[clip].tolist()
        peaks += sum(max(0.0, w[i - 1] * w[i + 1] - w[i] ** 2) for i in range(1, frames - 1))
    return variation / clips, sharpness / clips, peaks / clips


def test_they_are_the_literal_loops() -> None:
    torch.manual_seed(0)
    maps, weights = torch.rand(3, 6, 4, 5, dtype=torch.float64), torch.randn(3, 6, dtype=torch.float64).softmax(1)
    ours = total_variation(maps[:, None]), contrast(maps[:, None]), unimodality(weights)
    assert [value.item() for value in ours] == pytest.approx(literal(maps, weights))


def test_they_pass_gradcheck() -> None:
    torch.manual_seed(0)
    maps = torch.rand(2, 1, 3, 3, 4, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(2, 6, dtype=torch.float64).softmax(1).requires_grad_()
    assert unimodality(weights) > 0
    for check in (total_variation, contrast):
        assert torch.autograd.gradcheck(check, maps)
    for form in ("paper", "official"):
        assert torch.autograd.gradcheck(lambda w, form=form: unimodality(w, form=form), weights)


def test_half_precision_is_summed_in_single_precision() -> None:
    maps = torch.full((1, 1, 50, 40, 40), 0.75).bfloat16()
    assert contrast(maps).item() == pytest.approx(-0.375 * 50 * 1600)
    assert {total_variation(maps).dtype, contrast(maps).dtype, unimodality(maps[0, 0, 0]).dtype} == {torch.float32}
