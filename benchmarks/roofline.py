"""Where the time goes: each part of a computation beside what the machine could do at best, measured in the same run."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks.machine_ceilings import Ceilings
from benchmarks.result import Timings, measure
from benchmarks.work import Work, count_work, size_of, tensors_of

BINDING_SHARE = 0.5
"""A part that reaches less than this of both ceilings is bound by neither."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One part, ready to be run on what it is given within the whole."""

    name: str
    run: Callable[[], object]
    """Forward and backward; what is timed."""
    work: Work
    """What eager PyTorch's own operations ask for in it."""
    least_bytes: int
    """Inputs, outputs and parameters once, and their gradients once: no way of computing the part moves less."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PartRow:
    """What a part takes, as `objabn bench --json` writes it under `parts`."""

    suite: str
    part: str
    milliseconds: float
    """Median of forward and backward; of the optimiser, of its step."""
    share: float
    """Of the time of all parts; in the core suite, of that of the whole core."""
    megabytes: float
    """Read and written by the operations of eager PyTorch, each operand of each operation once."""
    least_megabytes: float
    """Inputs, outputs and parameters once, and their gradients once."""
    gigaflops: float
    """Multiplications and additions of its products and convolutions."""
    bandwidth_share: float
    """megabytes / time as a part of the measured bandwidth; above 1 a compiled part leaves some of them out, or caches hold them."""
    least_share: float
    """The same of `least_megabytes`."""
    matrix_share: float
    """gigaflops / time as a part of the measured rate of a matrix product."""
    bound: str
    """The ceiling that it is nearest to: memory or matrix; neither below half of both."""


def roofline(suite: str, parts: Sequence[Part], ceilings: Ceilings, *, repeats: int) -> list[PartRow]:
    """Time all parts by turns and return their rows."""
    return part_rows(suite, parts, measure({part.name: part.run for part in parts}, repeats=repeats), ceilings)


def part_rows(suite: str, parts: Sequence[Part], timings: Timings, ceilings: Ceilings) -> list[PartRow]:
    """Return the rows of parts that were timed under their names."""
    total = sum(timings.median(part.name) for part in parts)
    rows = []
    for part in parts:
        seconds, work = timings.median(part.name), part.work
        moved, least = (size / seconds / ceilings.bytes_per_second for size in (work.bytes, part.least_bytes))
        computed = work.operations / seconds / ceilings.operations_per_second
        rows.append(
            PartRow(
                suite=suite,
                part=part.name,
                milliseconds=1e3 * seconds,
                share=seconds / total,
                megabytes=work.bytes / 1e6,
                least_megabytes=part.least_bytes / 1e6,
                gigaflops=work.operations / 1e9,
                bandwidth_share=moved,
                least_share=least,
                matrix_share=computed,
                bound=bound_of(moved, computed),
            )
        )
    return rows


def bound_of(moved: float, computed: float) -> str:
    """Return what bounds a part that reaches these shares of the two ceilings."""
    if max(moved, computed) < BINDING_SHARE:
        return "neither"
    return "memory" if moved >= computed else "matrix"


def differentiated_part(
    name: str,
    function: Callable[..., Any],
    inputs: Sequence[Tensor],
    parameters: Sequence[Tensor],
    autocast: Callable[[], AbstractContextManager[None]],
    *,
    is_compiled: bool = False,
) -> Part:
    """Return a part that calls `function` on inputs and differentiates it by them and by parameters.

    Floating inputs have gradients where they ask for them; those of the outputs are noise that was drawn before.
    """
    wanted = [tensor for tensor in (*inputs, *parameters) if tensor.requires_grad]

    with autocast():
        outputs = tensors_of(function(*inputs))
    gradients = [torch.randn_like(output) for output in outputs if output.requires_grad]
    least = sum(size_of(tensors) for tensors in (inputs, parameters, outputs, wanted, gradients))
    del outputs

    def run(call: Callable[..., Any]) -> object:
        with autocast():
            answers = tensors_of(call(*inputs))
        differentiable = [answer for answer in answers if answer.requires_grad]
        return torch.autograd.grad(differentiable, wanted, gradients, allow_unused=True) if wanted else answers

    called = torch.compile(function, dynamic=False) if is_compiled else function
    return Part(name=name, run=lambda: run(called), work=count_work(lambda: run(function)), least_bytes=least)
