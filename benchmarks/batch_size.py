"""The batch at which a side trains fastest, found by trial, and the memory that a clip takes there."""

from collections.abc import Callable
from typing import NamedTuple

import torch

from benchmarks.result import time_once
from benchmarks.sides import Plan, Side, random_batch

WORTH = 1.02
"""A larger batch is kept where it makes this much more of the clips of a second."""
TRIALS = 3


class Trial(NamedTuple):
    """A batch size and what it gave."""

    clips: int
    clips_per_second: float
    megabytes_per_clip: float
    """Highest memory of the device within a step, weights included; NaN on a CPU, where it is not known."""


def best_batch(build: Callable[[], Side], plan: Plan, *, first: int = 16, last: int = 512) -> list[Trial]:
    """Try batches of `first` clips and twice as many each time, until memory is out, `last` is reached or nothing is gained.

    The best trial comes last. Each is made with a new side, so that nothing compiled for other batches or kept for them is left.
    """
    trials: list[Trial] = []
    clips = first
    while clips <= last:
        found = trial(build, plan, clips)
        if found is None:
            break
        if trials and found.clips_per_second < WORTH * trials[-1].clips_per_second:
            # The smaller batch is as good, and leaves memory.
            return [found, *trials]
        trials.append(found)
        clips *= 2
    if not trials:
        raise RuntimeError(f"Not even {first} clips fit on {plan.device}; begin with fewer.")
    return trials


def trial(build: Callable[[], Side], plan: Plan, clips: int) -> Trial | None:
    """Return what one batch size gives; None where memory is out."""
    forget()
    try:
        side, batch = build(), random_batch(plan, clips)
        on_gpu = batch.clip.is_cuda
        side.step(batch)
        side.step(batch)
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        seconds = min(time_once(lambda: side.step(batch)) for _ in range(TRIALS))
        peak = torch.cuda.max_memory_allocated() if on_gpu else float("nan")
        return Trial(clips, clips / seconds, peak / clips / 1e6)
    except torch.OutOfMemoryError:
        return None


def forget() -> None:
    """Give back what earlier sides compiled and kept."""
    torch.compiler.reset()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
