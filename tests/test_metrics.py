"""Metrics against drawn squares, numbers worked out by hand, and numpy's histogram."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from objabn.metrics import attention_entropy, flat_frames, mask_iou, pointing


def disc(radius: float) -> Tensor:
    rows = torch.arange(14.0)[:, None] - 6.5
    columns = torch.arange(14.0)[None] - 6.5
    return ((rows**2 + columns**2) <= radius**2).float()


def blob(sigma: float) -> Tensor:
    squares = (torch.arange(14.0) - 6.5) ** 2
    return torch.exp(-(squares[:, None] + squares[None]) / (2 * sigma**2))


def test_entropy_of_known_maps() -> None:
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(2000, 14, 14, generator=generator)
    assert attention_entropy(noise).mean().item() == pytest.approx(3.29, abs=0.01)
    assert attention_entropy(torch.randn(2000, 14, 14, generator=generator)).mean().item() == pytest.approx(2.88, abs=0.01)
    assert attention_entropy(torch.randn(2000, 14, 14, generator=generator).sigmoid()).mean().item() == pytest.approx(3.19, abs=0.01)
    assert attention_entropy(blob(3.0)).item() == pytest.approx(2.76, abs=0.1)
    assert attention_entropy(disc(4.0)).item() == pytest.approx(0.83, abs=0.02)


def test_entropy_worked_out_by_hand() -> None:
    half = torch.tensor([[0.2, 0.2], [0.8, 0.8]])
    quarter = torch.tensor([[0.0, 0.0], [0.0, 1.0]])
    levels = torch.arange(10.0).view(2, 5)
    assert attention_entropy(half).item() == pytest.approx(1.0)
    assert attention_entropy(quarter).item() == pytest.approx(0.25 * 2 + 0.75 * math.log2(4 / 3))
    # 0, 1/9, ..., 1 fall into ten different bins.
    assert attention_entropy(levels).item() == pytest.approx(math.log2(10))
    assert attention_entropy(levels, bins=2).item() == pytest.approx(1.0)


@pytest.mark.parametrize("shape", [(7, 7), (3, 7, 7), (2, 3, 4, 7, 7)])
def test_entropy_is_numpys_histogram_frame_by_frame(shape: tuple[int, ...]) -> None:
    maps = torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    entropies = attention_entropy(maps)
    assert entropies.shape == shape[:-2]
    for frame, entropy in zip(maps.view(-1, 7, 7).numpy(), entropies.flatten(), strict=True):
        stretched = (frame - frame.min()) / (frame.max() - frame.min())
        shares = np.histogram(stretched, bins=10, range=(0, 1))[0] / frame.size
        assert entropy.item() == pytest.approx(-sum(p * math.log2(p) for p in shares if p > 0))


def test_flat_frames_have_entropy_zero_and_are_counted() -> None:
    maps = torch.stack([torch.full((3, 3), 0.7), torch.rand(3, 3)])
    assert flat_frames(maps).tolist() == [True, False]
    assert attention_entropy(maps)[0].item() == 0.0
    assert math.copysign(1, attention_entropy(maps)[0].item()) == 1, "not -0, which reports would print"


def test_entropy_of_half_precision_maps_is_computed_in_single() -> None:
    assert attention_entropy(torch.rand(2, 7, 7).half()).dtype == torch.float32


def square(top: int, left: int, side: int = 2) -> Tensor:
    frame = torch.zeros(4, 4)
    frame[top : top + side, left : left + side] = 1
    return frame


def test_iou_of_drawn_squares() -> None:
    maps = torch.stack([square(0, 0), square(0, 1), square(2, 2), square(0, 0)]) * 0.3 + 0.1
    coverage = square(0, 0).expand(4, 4, 4)
    valid = torch.tensor([True, True, True, False])
    # 1, then 2 cells of 6, then none; the last frame is left out.
    assert mask_iou(maps, coverage, valid).item() == pytest.approx((1 + 2 / 6 + 0) / 3)
    # Complement: 12 cells wanted; 4, 4 and 4 found, of which 0, 2 and 4 are wanted.
    assert mask_iou(maps, coverage, valid, complement=True).item() == pytest.approx((0 + 2 / 14 + 4 / 12) / 3)


@pytest.mark.parametrize("lead", [(), (2,), (2, 3)])
def test_metrics_take_any_leading_axes(lead: tuple[int, ...]) -> None:
    maps, coverage = square(0, 1).expand(*lead, 5, 4, 4), square(0, 0).expand(*lead, 5, 4, 4)
    valid = torch.ones(*lead, 5, dtype=torch.bool)
    assert torch.allclose(mask_iou(maps, coverage, valid), torch.full(lead, 1 / 3))
    assert torch.equal(pointing(maps, coverage, valid), torch.ones(lead))
    assert flat_frames(maps).shape == (*lead, 5)


def test_without_a_valid_frame_there_is_no_number() -> None:
    maps, valid = torch.rand(2, 3, 4, 4), torch.tensor([[False] * 3, [True] * 3])
    assert mask_iou(maps, maps, valid).isnan().tolist() == [True, False]
    assert pointing(maps, maps, valid).isnan().tolist() == [True, False]


def test_pointing_looks_at_the_highest_cell() -> None:
    maps = torch.full((4, 4, 4), 0.1)
    maps[0, 1, 1] = 0.9
    maps[1, 3, 3] = 0.9
    maps[2, 0, 0] = 0.9
    coverage = square(0, 0).expand(4, 4, 4) * 0.01
    # A hit, a miss, a frame without detection, and a flat frame that would point at its first cell.
    assert pointing(maps, coverage, torch.tensor([True, True, False, True])).item() == pytest.approx(1 / 3)


def test_an_empty_pair_overlaps_by_nothing() -> None:
    assert mask_iou(torch.full((1, 2, 2), 0.5), torch.zeros(1, 2, 2), torch.tensor([True])).item() == 0.0


@pytest.mark.gpu
def test_metrics_are_the_same_on_a_gpu() -> None:
    maps, coverage = torch.rand(2, 3, 4, 14, 14), torch.rand(2, 3, 4, 14, 14)
    valid = torch.rand(2, 3, 4) > 0.3
    for metric in (mask_iou, pointing):
        torch.testing.assert_close(metric(maps.cuda(), coverage.cuda(), valid.cuda()).cpu(), metric(maps, coverage, valid))
    torch.testing.assert_close(attention_entropy(maps.cuda()).cpu(), attention_entropy(maps))
