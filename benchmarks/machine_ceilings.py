"""What this machine can do at best, measured in the run that is judged by it: bytes a second, and operations of a matrix product."""

from collections.abc import Callable
from typing import NamedTuple

import torch

from benchmarks.result import Row, Timings, alone, measure

TRIAD_BYTES = {"cpu": 400_000_000, "cuda": 6_000_000_000}
"""Read and written by one triad: many times what the caches hold."""
MATRIX_SIDE = {"cpu": 1536, "cuda": 8192}


class Ceilings(NamedTuple):
    """The two rates that bound any computation."""

    bytes_per_second: float
    """Of a triad a = b + 2 c over vectors that fit in no cache."""
    operations_per_second: float
    """Of a product of two large square matrices in the type that is computed in; a multiplication and an addition are two."""


class CeilingRuns(NamedTuple):
    """The two computations whose rates are the ceilings, to be timed among what is judged by them."""

    triad: Callable[[], object]
    product: Callable[[], object]
    bytes: int
    operations: int

    def ways(self) -> dict[str, Callable[[], object]]:
        """Return both under the names that `found` looks for."""
        return {"ceiling: triad": self.triad, "ceiling: product": self.product}

    def found(self, timings: Timings) -> Ceilings:
        """Return the rates of the best runs, not of the median ones: a ceiling is what is possible."""
        triad, product = (min(timings.seconds[name]) for name in self.ways())
        return Ceilings(self.bytes / triad, self.operations / product)


def ceiling_runs(device: torch.device, dtype: torch.dtype, *, scale: float = 1.0) -> CeilingRuns:
    """Return both computations for a device; `scale` makes the vectors and matrices smaller, for tests."""
    kind = device.type if device.type in TRIAD_BYTES else "cpu"
    values = max(1, round(scale * TRIAD_BYTES[kind] / 12))
    side = max(1, round(scale * MATRIX_SIDE[kind]))
    target, first, second = (torch.ones(values, device=device) for _ in range(3))
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    product = torch.empty_like(left)
    return CeilingRuns(
        lambda: torch.add(first, second, alpha=2, out=target), lambda: torch.mm(left, right, out=product), 12 * values, 2 * side**3
    )


def measure_ceilings(device: torch.device, dtype: torch.dtype, *, repeats: int = 5, scale: float = 1.0) -> Ceilings:
    """Measure both rates of a device by themselves."""
    runs = ceiling_runs(device, dtype, scale=scale)
    return runs.found(measure(runs.ways(), repeats=repeats))


def ceiling_rows(suite: str, ceilings: Ceilings, dtype: torch.dtype) -> list[Row]:
    """Return both rates as rows without a peer."""
    product = f"matrix product, {str(dtype).removeprefix('torch.')}"
    return [
        alone(suite, "ceiling: triad over vectors that no cache holds", ceilings.bytes_per_second / 1e9, "GB/s"),
        alone(suite, f"ceiling: {product}", ceilings.operations_per_second / 1e9, "GFLOP/s"),
    ]
