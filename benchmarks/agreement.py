"""Whether ours and the peer learn alike: the losses of both from the same weights on the same batches, step by step."""

from collections.abc import Callable
from typing import NamedTuple

import torch

from benchmarks.sides import CompileMode, Plan, Side, our_side, random_batch, stock_side
from objabn.types import Batch

BATCHES = 5
"""Batches that are given over and over, so that there is something to learn."""


class Agreement(NamedTuple):
    """The losses of every step, and how far they are apart: the largest difference relative to the peer's loss."""

    ours: list[float]
    stock: list[float]
    other_stock: list[float]
    """The peer once more, with its channels last: what rounding in another order changes."""

    @property
    def difference(self) -> float:
        """Return how far ours is from the peer."""
        return relative_difference(self.ours, self.stock)

    @property
    def stock_difference(self) -> float:
        """Return how far the two peers are from each other."""
        return relative_difference(self.other_stock, self.stock)


def agreement(plan: Plan, *, clips: int, steps: int = 50, mode: CompileMode = "off") -> Agreement:
    """Train ours and the peer twice, with Adam at 1e-4 and no dropout, which no two networks draw alike."""
    plan = plan._replace(dropout=0.0)
    batches = [random_batch(plan, clips, seed) for seed in range(BATCHES)]
    builders: list[Callable[[], Side]] = [
        lambda: our_side(plan, mode=mode),
        lambda: stock_side(plan),
        lambda: stock_side(plan, is_channels_last=True),
    ]
    # One after the other: only one of them is in memory.
    return Agreement(*(losses_of(build(), batches, steps) for build in builders))


def losses_of(side: Side, batches: list[Batch], steps: int) -> list[float]:
    """Train for some steps and return the loss of each."""
    found = [side.step(batches[step % len(batches)]).clone() for step in range(steps)]
    return torch.stack(found).tolist()


def relative_difference(values: list[float], expected: list[float]) -> float:
    """Return the largest difference of two lists, each relative to what was expected."""
    return max(abs(value - wanted) / abs(wanted) for value, wanted in zip(values, expected, strict=True))
