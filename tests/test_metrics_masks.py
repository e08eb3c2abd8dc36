"""Numbers of maps against masks, worked out by hand on grids of a few cells, and on the grids of pictures as of clips."""

import math

import pytest
import torch
from torch import Tensor

from objabn.metrics import energy_pointing, mask_iou, mask_mae, mask_mse, pointing, soft_iou

ONE = torch.tensor([True])
MAP = torch.tensor([[[0.2, 0.4], [0.4, 0.6]]])
"""Stretched: 0, 1/2, 1/2, 1."""
COVERAGE = torch.tensor([[[0.0, 0.25], [0.75, 1.0]]])


def test_soft_iou_by_hand() -> None:
    # Lesser: 0 + 1/4 + 1/2 + 1; greater: 0 + 1/2 + 3/4 + 1.
    assert soft_iou(MAP, COVERAGE, ONE).item() == pytest.approx(1.75 / 2.25)
    # What objects leave free is 1, 3/4, 1/4, 0: lesser 0 + 1/2 + 1/4 + 0, greater 1 + 3/4 + 1/2 + 1.
    assert soft_iou(MAP, COVERAGE, ONE, complement=True).item() == pytest.approx(0.75 / 3.25)


def test_soft_iou_of_sharp_maps_is_their_iou() -> None:
    generator = torch.Generator().manual_seed(0)
    maps, coverage = (torch.rand(2, 3, 5, 5, generator=generator).round() for _ in range(2))
    valid = torch.ones(2, 3, dtype=torch.bool)
    torch.testing.assert_close(soft_iou(maps, coverage, valid), mask_iou(maps, coverage, valid))


def test_distances_are_of_the_map_as_it_is() -> None:
    # Differences: 0.2, 0.15, -0.35, -0.4.
    assert mask_mae(MAP, COVERAGE, ONE).item() == pytest.approx(1.1 / 4)
    assert mask_mse(MAP, COVERAGE, ONE).item() == pytest.approx((0.04 + 0.0225 + 0.1225 + 0.16) / 4)
    # From what is left free, 1, 3/4, 1/4, 0: -0.8, -0.35, 0.15, 0.6.
    assert mask_mae(MAP, COVERAGE, ONE, complement=True).item() == pytest.approx(1.9 / 4)
    assert mask_mse(MAP, COVERAGE, ONE, complement=True).item() == pytest.approx((0.64 + 0.1225 + 0.0225 + 0.36) / 4)
    assert mask_mse(MAP / 2, COVERAGE, ONE) > mask_mse(MAP, COVERAGE, ONE), "paler and therefore further away"
    assert mask_mse(MAP.half(), COVERAGE, ONE).dtype == torch.float32


def test_a_map_that_only_ranks_right_has_its_iou_among_the_highest_cells() -> None:
    # Stretched, three cells are above 0.5, but the mask has two; the two highest are the right ones.
    maps = torch.tensor([[[0.0, 0.6], [0.9, 1.0]]])
    mask = torch.tensor([[[0.0, 0.0], [1.0, 1.0]]])
    assert mask_iou(maps, mask, ONE).item() == pytest.approx(2 / 3)
    assert mask_iou(maps, mask, ONE, top_cells=True).item() == 1.0
    # The complement has two cells as well, of which the two highest are none.
    assert mask_iou(maps, mask, ONE, complement=True, top_cells=True).item() == 0.0


def test_of_equal_cells_the_first_are_the_highest_and_flat_frames_have_none() -> None:
    maps = torch.tensor([[[0.5, 0.5], [0.5, 0.1]], [[0.3, 0.3], [0.3, 0.3]]])
    first_two = torch.tensor([[1.0, 1.0], [0.0, 0.0]]).expand(2, 2, 2)
    assert mask_iou(maps[:1], first_two[:1], ONE, top_cells=True).item() == 1.0
    assert mask_iou(maps, first_two, torch.tensor([True, True]), top_cells=True).item() == 0.5


def test_pointing_with_tolerance_is_a_disc_around_the_object() -> None:
    maps = torch.zeros(1, 7, 7)
    maps[0, 3, 3] = 1
    for row, column, distance in [(3, 3, 0), (3, 5, 2), (5, 5, math.sqrt(8)), (0, 6, math.sqrt(18)), (6, 3, 3)]:
        mask = torch.zeros(1, 7, 7)
        mask[0, row, column] = 0.01
        assert pointing(maps, mask, ONE, tolerance=distance + 1e-6).item() == 1, "at the rim of the disc"
        if distance:
            assert pointing(maps, mask, ONE, tolerance=distance - 1e-6).item() == 0, "just outside"
    assert pointing(maps, torch.zeros(1, 7, 7), ONE, tolerance=99).item() == 0, "there is nothing to point at"
    assert pointing(torch.ones(1, 7, 7), mask, ONE, tolerance=99).item() == 0, "a flat frame misses"


def test_tolerance_is_the_dilation_of_the_mask() -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    generator = torch.Generator().manual_seed(3)
    maps = torch.rand(40, 1, 9, 12, generator=generator)
    masks = (torch.rand(40, 1, 9, 12, generator=generator) > 0.97).float()
    for radius in (1, 2, 3):
        disc = torch.arange(-radius, radius + 1).square()
        enlarged = [ndimage.binary_dilation(mask[0].numpy() > 0, (disc[:, None] + disc) <= radius**2) for mask in masks]
        expected = [bool(mask.flat[int(each.argmax())]) for mask, each in zip(enlarged, maps, strict=True)]
        valid = torch.ones(40, 1, dtype=torch.bool)
        assert pointing(maps, masks, valid, tolerance=radius).bool().tolist() == expected
        assert 0 < sum(expected) < 40


def test_energy_is_the_share_of_the_map_on_objects() -> None:
    # 0.1 + 0.3 + 0.6 of 1.6.
    assert energy_pointing(MAP, COVERAGE, ONE).item() == pytest.approx(1.0 / 1.6)
    assert energy_pointing(torch.full((1, 2, 2), 0.7), COVERAGE, ONE).item() == pytest.approx(0.5), "of a flat map the share of objects"
    assert energy_pointing(torch.tensor([[[-4.0, 1.0], [1.0, 0.0]]]), COVERAGE, ONE).item() == pytest.approx(0.5), "no negative energy"
    assert energy_pointing(torch.zeros(1, 2, 2), COVERAGE, ONE).item() == 0


METRICS = [soft_iou, mask_mse, mask_mae, energy_pointing, pointing, mask_iou]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("lead", [(), (2,), (2, 3)])
def test_frames_average_over_those_with_an_object(metric: type, lead: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(1)
    maps, coverage = (torch.rand(*lead, 4, 6, 5, generator=generator) for _ in range(2))
    valid = torch.tensor([True, False, True, False]).expand(*lead, 4)
    frames: Tensor = metric(maps[..., None, :, :], coverage[..., None, :, :], torch.ones(*lead, 4, 1, dtype=torch.bool))
    assert frames.shape == (*lead, 4), "pictures are clips of one frame"
    torch.testing.assert_close(metric(maps, coverage, valid), frames[..., [0, 2]].mean(-1))
    assert metric(maps, coverage, torch.zeros_like(valid)).isnan().all()


@pytest.mark.gpu
@pytest.mark.parametrize("metric", METRICS)
def test_numbers_are_the_same_on_a_gpu(metric: type) -> None:
    maps, coverage, valid = torch.rand(2, 4, 14, 14), torch.rand(2, 4, 14, 14), torch.rand(2, 4) > 0.3
    torch.testing.assert_close(metric(maps.cuda(), coverage.cuda(), valid.cuda()).cpu(), metric(maps, coverage, valid))
