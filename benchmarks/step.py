"""A whole training step of Object-ABN beside the same network made of pytorchvideo's modules, and beside a plain X3D."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import torch

from benchmarks.batch_size import Trial, best_batch, forget
from benchmarks.machine_ceilings import CeilingRuns, ceiling_rows, ceiling_runs
from benchmarks.memory import kept_megabytes
from benchmarks.network_parts import step_parts
from benchmarks.result import Row, Timings, alone, measure, timings_row
from benchmarks.roofline import Part, PartRow, part_rows
from benchmarks.sides import CompileMode, Plan, Side, new_objective, optimize_first, our_side, plain_side, random_batch, stock_side
from objabn.config import Config, OptimConfig
from objabn.training.optim import build_optimizer
from objabn.training.precision import resolve_precision
from objabn.types import Batch

ATTENTION = ("branch", "gate", "losses")
"""The parts that a plain X3D has not, but for one cross entropy."""


class Comparison(NamedTuple):
    """What one number of heads is measured with: ours, its peers by what they are, and the clips of a batch of each."""

    plan: Plan
    sides: dict[str, Side]
    clips: dict[str, int]
    peaks: dict[str, float]
    """Megabytes of the device for each clip, where the search for the best batch found them."""


def run(plan: Plan | None = None, *, device: str = "cpu", clips: int | None = None, repeats: int = 5) -> tuple[list[Row], list[PartRow]]:
    """Compare training steps with three maps and one, by `plan` or else by what suits the device: small on a CPU.

    Returns the comparisons, and where the time of ours goes with three maps. On a GPU each side has the batch that is best for it with
    three maps; `clips` takes the place of the search.
    """
    on_gpu = (plan.device if plan else device).startswith("cuda")
    plan = plan or (Plan(device=device) if on_gpu else Plan(device=device, size=144))
    clips = clips if clips or on_gpu else 2
    trials = {} if clips else {name: best_batch(build, plan) for name, build in contestants(plan).items()}
    rows = [alone("step", f"{name}: {trial.clips} clips", trial.clips_per_second, "clips/s") for name in trials for trial in trials[name]]
    best = {name: found[-1] for name, found in trials.items()}
    for heads in (3, 1):
        forget()
        rows += compared(compete(plan._replace(heads=heads), clips, best if heads == plan.heads else {}, best), repeats)
    forget()
    costs, parts = attention_rows(plan, clips or best["ours"].clips, repeats=repeats)
    return [*rows, *costs], parts


def contestants(plan: Plan) -> dict[str, Callable[[], Side]]:
    """Return how ours and its two peers are built."""
    on_gpu = plan.device.startswith("cuda")
    best = "compiled, channels last" if on_gpu else "eager, channels last"
    return {
        "ours": partial(our_side, plan, mode="on" if on_gpu else "off"),
        "pytorchvideo eager, contiguous": partial(stock_side, plan),
        f"pytorchvideo {best}": partial(stock_side, plan, is_channels_last=True, is_compiled=on_gpu),
    }


def compete(plan: Plan, clips: int | None, peaks: dict[str, Trial], best: dict[str, Trial]) -> Comparison:
    """Build all sides, each with `clips` in a batch or with as many as suit it best."""
    sides = {name: build() for name, build in contestants(plan).items()}
    counts = {name: clips or best[name].clips for name in sides}
    return Comparison(plan, sides, counts, {name: trial.megabytes_per_clip for name, trial in peaks.items()})


def compared(comparison: Comparison, repeats: int) -> list[Row]:
    """Time all sides by turns, and return the rows of speed and memory."""
    plan, sides, clips = comparison.plan, comparison.sides, comparison.clips
    batches = {count: random_batch(plan, count) for count in set(clips.values())}
    kept = comparison.peaks
    if plan.device == "cpu":
        kept = {name: kept_by(side, batches[clips[name]]) for name, side in sides.items()}
    timings = measure({name: partial(side.step, batches[clips[name]]) for name, side in sides.items()}, repeats=repeats)
    each = Timings(*({name: [value / clips[name] for value in values] for name, values in kind.items()} for kind in timings))
    precision = "float32" if sides["ours"].precision.dtype is None else "bf16"
    case = f"{plan.backbone} object_abn heads={plan.heads}: {plan.frames} frames, {plan.size} px, {precision}"
    rows = []
    for peer in [name for name in sides if name != "ours"]:
        told = f"{case}, {clips['ours']} clips (peer {clips[peer]})"
        rows.append(timings_row("step", told, each, peer=peer, peer_name=peer, items=1, unit="clips/s"))
        if kept:
            rows.append(memory_row(told, kept["ours"], kept[peer], peer, is_peak=plan.device != "cpu"))
    return rows


def bf16_rows(plan: Plan, clips: int, repeats: int) -> list[Row]:
    """Compare ours in bf16 and in float32 with the peer in float32, channels last: what a CPU with instructions for bf16 gains."""
    half = plan._replace(amp="bf16")
    sides = {"bf16": our_side(half), "float32": our_side(plan), "peer": stock_side(plan, is_channels_last=True)}
    batch = random_batch(plan, clips)
    timings = measure({name: partial(side.step, batch) for name, side in sides.items()}, repeats=repeats)
    case = f"{plan.backbone} object_abn heads={plan.heads}: {plan.frames} frames, {plan.size} px, {clips} clips"
    peer_name = "pytorchvideo eager, channels last, float32"
    return [
        timings_row("step", f"{case}, {name}", timings, ours=name, peer="peer", peer_name=peer_name, items=clips, unit="clips/s")
        for name in ("bf16", "float32")
    ]


def memory_row(case: str, ours: float, peer: float, peer_name: str, *, is_peak: bool) -> Row:
    """Return a row of memory: the highest that the device held, or on a CPU what autograd keeps for the backward pass."""
    what = "highest memory" if is_peak else "kept for the backward pass"
    return Row(
        suite="step",
        case=f"{what}: {case}",
        ours=ours,
        peer=peer,
        peer_name=peer_name,
        unit="MB/clip",
        speedup=peer / ours,
        spread=0.0,
        repeats=1,
    )


def kept_by(side: Side, batch: Batch) -> float:
    """Return the megabytes for each clip that autograd keeps of a side's loss."""
    return kept_megabytes(lambda: side.loss(batch)) / len(batch.label)


def attention_rows(plan: Plan, clips: int, *, repeats: int, kernels: bool = True) -> tuple[list[Row], list[PartRow]]:
    """Return the ceilings, what branch, gate and losses cost over a plain X3D in time and in bytes, and the roofline of the step.

    Without `kernels` PyTorch's own ones are used: where the time went before anything was done about it.
    """
    mode: CompileMode = "on" if plan.device.startswith("cuda") else "off"
    batch = random_batch(plan, clips)
    ours, plain = our_side(plan, mode=mode, kernels=kernels), plain_side(plan, mode=mode, kernels=kernels)
    parts, limits = parts_of(plan, batch, kernels=kernels)
    ways = {"ours": partial(ours.step, batch), "plain": partial(plain.step, batch)} | {part.name: part.run for part in parts}
    timings = measure(ways | limits.ways(), repeats=repeats)
    ceilings = limits.found(timings)
    rows = part_rows("step", parts, timings, ceilings)
    moved = {row.part: row.megabytes for row in rows}
    share = sum(moved[name] for name in ATTENTION) / sum(size for name, size in moved.items() if name not in ATTENTION)
    costs = [mine / theirs - 1 for mine, theirs in zip(timings.seconds["ours"], timings.seconds["plain"], strict=True)]
    cost = sorted(costs)[len(costs) // 2]
    row = Row(
        suite="step",
        case=f"branch, gate and losses over plain {plan.backbone}: {clips} clips, {plan.frames} frames, {plan.size} px",
        ours=100 * cost,
        peer=100 * share,
        peer_name="their bytes over its bytes",
        unit="% of a plain step",
        speedup=share / cost if cost > 0 else None,
        spread=None,
        repeats=repeats,
    )
    return [*ceiling_rows("step", ceilings, ours.precision.dtype or torch.float32), row], rows


def parts_of(plan: Plan, batch: Batch, *, kernels: bool) -> tuple[list[Part], CeilingRuns]:
    """Return the parts of a step of ours, compiled one by one on a GPU, and what measures the ceilings of the device."""
    net, precision = plan.build(), resolve_precision(plan.device, plan.amp)
    objective = new_objective(net)
    optimizer = build_optimizer(net, objective, OptimConfig())
    stock = step_parts(net, objective, optimizer, batch, precision)
    # What is asked for is counted before kernels of our own are there, of which nobody knows what they compute.
    optimize_first([net] if kernels else [], batch.clip, precision)
    parts = step_parts(net, objective, optimizer, batch, precision, is_compiled=precision.device.type == "cuda")
    counted = [replace(part, work=known.work) for part, known in zip(parts, stock, strict=True)]
    return counted, ceiling_runs(precision.device, precision.dtype or torch.float32, scale=min(1.0, plan.size / 64))


def training_steps(config: Config, device: str) -> Iterator[None]:
    """Train without end on one batch of noise, of the size that a run of `config` trains with; compiled on a GPU."""
    plan = Plan(device=device, frames=config.data.clip_frames, size=config.data.crop_size, heads=config.model.heads)
    side = our_side(plan, mode="on" if device.startswith("cuda") else "off")
    batch = random_batch(plan, config.optim.batch)
    while True:
        side.step(batch)
        yield
