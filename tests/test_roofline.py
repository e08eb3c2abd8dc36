"""What is counted for the roofline, by numbers worked out by hand."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn

from benchmarks.machine_ceilings import Ceilings, ceiling_rows, measure_ceilings
from benchmarks.result import Timings
from benchmarks.roofline import bound_of, differentiated_part, part_rows
from benchmarks.work import Work, count_work, size_of


def test_a_depthwise_convolution_and_its_gradients() -> None:
    layer = nn.Conv3d(4, 4, 3, stride=(1, 2, 2), padding=1, groups=4, bias=False)
    clip = torch.randn(2, 4, 3, 8, 8, requires_grad=True)
    # 2 clips x 4 channels x 3 x 4 x 4 places, each of 27 multiplications and 27 additions.
    operations, floats_in, floats_out, weights = 2 * 2 * 4 * 48 * 27, 2 * 4 * 192, 2 * 4 * 48, 4 * 27
    assert count_work(lambda: layer(clip)) == Work(4 * (floats_in + weights + floats_out), operations)
    answer = layer(clip)
    above = torch.randn_like(answer)
    backward = count_work(lambda: torch.autograd.grad(answer, (clip, layer.weight), above))
    # Reads all three, writes two gradients; each gradient takes what the forward pass took.
    assert backward == Work(4 * (2 * floats_in + floats_out + 2 * weights), 2 * operations)


def test_a_dense_convolution_without_a_gradient_of_its_input() -> None:
    layer, clip = nn.Conv3d(3, 8, 1, bias=False), torch.randn(1, 3, 2, 2, 2)
    answer = layer(clip)
    found = count_work(lambda: torch.autograd.grad(answer, layer.weight, torch.ones(1).expand_as(answer)))
    assert found.operations == 2 * 8 * 8 * 3


def test_a_product_of_matrices() -> None:
    left, right = torch.randn(3, 5), torch.randn(5, 7)
    assert count_work(lambda: left @ right) == Work(4 * (15 + 35 + 21), 2 * 3 * 5 * 7)


def test_what_is_read_and_written() -> None:
    values, twice = torch.zeros(10), torch.zeros(10)
    assert count_work(lambda: values.view(2, 5).t()).bytes == 0
    assert count_work(lambda: values + twice).bytes == 3 * 40
    assert count_work(lambda: values + values).bytes == 2 * 40  # one place is read once
    assert count_work(lambda: values.add_(1)).bytes == 2 * 40
    assert count_work(values.zero_).bytes == 40
    assert count_work(lambda: values.copy_(twice)).bytes == 2 * 40
    assert count_work(lambda: torch.add(values, 1, out=twice)).bytes == 2 * 40
    assert count_work(values[:4].clone).bytes == 2 * 16
    assert count_work(lambda: torch.empty(10)).bytes == 0


def test_an_expanded_axis_is_one_place() -> None:
    assert size_of([torch.zeros(3, 1).expand(3, 100)]) == 12
    assert size_of([torch.zeros(0, 4)]) == 0


def test_a_part_is_differentiated_and_its_least_bytes_are_known() -> None:
    layer, clip = nn.Linear(4, 2, bias=False), torch.randn(3, 4, requires_grad=True)
    part = differentiated_part("layer", layer, [clip], list(layer.parameters()), nullcontext)
    # Input 12, weights 8, output 6, and a gradient of each.
    assert part.least_bytes == 4 * 2 * (12 + 8 + 6)
    assert [gradient.shape for gradient in part.run()] == [clip.shape, layer.weight.shape]
    # Forward x W, backward g W and g x.
    assert part.work.operations == 3 * 2 * 3 * 4 * 2


def test_shares_of_the_ceilings() -> None:
    clip = torch.randn(100, 50)
    part = differentiated_part("sum", lambda values: values + 1, [clip], [], nullcontext)
    timings = Timings({"sum": [0.25, 0.5, 1.0]}, {"sum": [0.0] * 3})
    (row,) = part_rows("step", [part], timings, Ceilings(bytes_per_second=160_000, operations_per_second=1e6))
    # 5000 floats are read and as many written: 40 kB in half a second of 160 kB/s.
    assert (row.milliseconds, row.share, row.megabytes, row.least_megabytes) == (500, 1, 0.04, 0.04)
    assert (row.bandwidth_share, row.least_share, row.matrix_share, row.bound) == (0.5, 0.5, 0, "memory")


@pytest.mark.parametrize(("moved", "computed", "told"), [(0.6, 0.5, "memory"), (0.1, 0.5, "matrix"), (0.49, 0.1, "neither")])
def test_what_bounds_a_part(moved: float, computed: float, told: str) -> None:
    assert bound_of(moved, computed) == told


def test_ceilings_are_measured() -> None:
    found = measure_ceilings(torch.device("cpu"), torch.float32, repeats=1, scale=0.01)
    assert min(found) > 0
    rows = ceiling_rows("core", Ceilings(2.5e9, 1e11), torch.bfloat16)
    assert [(row.ours, row.unit, row.peer) for row in rows] == [(2.5, "GB/s", None), (100, "GFLOP/s", None)]
    assert rows[1].case.endswith("bfloat16")
