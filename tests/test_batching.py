"""How much of each grid cell a mask covers."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from objabn.data.batching import grid_coverage


@pytest.mark.parametrize(("size", "grid"), [(224, 14), (160, 10), (56, 14), (112, 28), (64, 8), (256, 1), (264, 1), (75, 10), (60, 15)])
def test_coverage_is_the_mean_of_each_cell(size: int, grid: int) -> None:
    mask = (torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0)) > 0.5).to(torch.uint8)
    mask[1, 2] = 1
    expected = functional.adaptive_avg_pool2d(mask.double(), (grid, grid))
    coverage = grid_coverage(mask, grid)
    assert coverage.dtype == torch.float32
    torch.testing.assert_close(coverage.double(), expected, rtol=2e-7, atol=0)
    assert torch.equal(coverage[1, 2], torch.ones(grid, grid)), "255 ones in a column are still counted"


def test_cells_by_hand() -> None:
    mask = torch.zeros(1, 1, 16, 16, dtype=torch.uint8)
    mask[0, 0, :4, :8] = 1
    mask[0, 0, 15, 15] = 1
    assert grid_coverage(mask, 2)[0, 0].tolist() == [[0.5, 0.0], [0.0, 1 / 64]]


@settings(max_examples=50, deadline=None)
@given(rows=st.integers(1, 40), grid=st.sampled_from([1, 2, 4, 7, 8, 14]), seed=st.integers(0, 1000))
def test_any_layout_gives_the_same(rows: int, grid: int, seed: int) -> None:
    size = rows * grid
    mask = (torch.rand(2, size, size, 2, generator=torch.Generator().manual_seed(seed)) > 0.3).to(torch.uint8)
    strided = mask.permute(0, 3, 1, 2)
    expected = strided.double().unflatten(3, (grid, rows)).unflatten(2, (grid, rows)).mean((3, 5))
    torch.testing.assert_close(grid_coverage(strided, grid).double(), expected, rtol=2e-7, atol=0)


def test_coverage_stays_as_it_is_on_a_grid_of_any_size() -> None:
    for grid in (8, 10):
        coverage = torch.rand(2, 3, grid, grid)
        assert torch.equal(grid_coverage(coverage, grid), coverage)
