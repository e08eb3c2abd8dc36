"""Every table of the training step in one command, for a GPU: python -m benchmarks.gpu --out gpu.json

Sections: core, depthwise, step (best batches, memory, roofline), agreement, gate, graphs, recompute. What one of them raises is told,
and the others go on; the file is written after each. `--small` runs all of it at tiny sizes on any machine.
"""

import argparse
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks import core, depthwise, step
from benchmarks.agreement import agreement
from benchmarks.batch_size import forget
from benchmarks.result import Row, measure, report, timings_row
from benchmarks.roofline import PartRow
from benchmarks.sides import CompileMode, Plan, our_side, random_batch
from benchmarks.tables import show
from objabn.files import write_json


class Sizes(NamedTuple):
    """How large everything is."""

    plan: Plan
    clips: int | None
    """Of a batch; None looks for the best of each side."""
    steps: int
    """Of the runs whose losses are compared."""
    repeats: int


class Found(NamedTuple):
    """What a section found."""

    rows: list[Row]
    parts: list[PartRow]


def main(words: Sequence[str] | None = None) -> None:
    """Run the sections that were asked for, print their tables and write the file."""
    options = parse(words)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    plan = Plan(device=device)
    small = Sizes(plan._replace(backbone="x3d_nano", frames=4, size=32), 2, 4, 1)
    sizes = small if options.small else Sizes(plan, options.clips, 50, 9)
    told: dict[str, Any] = {}
    found = Found([], [])
    for name in options.sections.split(","):
        begin = time.perf_counter()
        try:
            rows, parts = SECTIONS[name](sizes)
        except Exception as error:  # whatever a section meets, the others are still worth their time
            traceback.print_exc()
            told[name] = {"error": f"{type(error).__name__}: {error}"}
        else:
            show(rows, parts)
            found.rows.extend(rows)
            found.parts.extend(parts)
            told[name] = {}
        told[name]["seconds"] = round(time.perf_counter() - begin, 1)
        print(f"{name}: {told[name]}", flush=True)
        forget()
        write_json(options.out, report(found.rows, found.parts) | {"sections": told})
    if any("error" in section for section in told.values()):
        raise SystemExit(1)


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sections", default=",".join(SECTIONS), help="names, with commas between them")
    parser.add_argument("--clips", type=int, help="of a batch; without it each side of the step suite looks for the best one")
    parser.add_argument("--small", action="store_true", help="tiny sizes, to see that it works")
    return parser.parse_args(words)


def core_section(sizes: Sizes) -> Found:
    """The attention-branch core: eager, compiled, ours and Triton."""
    device, repeats = sizes.plan.device, sizes.repeats
    if sizes.plan.size == 224:
        return Found(*core.run(device=device, clips=sizes.clips, repeats=repeats))
    return Found(*core.run(device=device, clips=sizes.clips, frames=2, grid=3, repeats=repeats))


def depthwise_section(sizes: Sizes) -> Found:
    """Depthwise convolutions, each way for each shape."""
    return Found(depthwise.run(device=sizes.plan.device, clips=sizes.clips, size=sizes.plan.size, repeats=sizes.repeats), [])


def step_section(sizes: Sizes) -> Found:
    """The whole step: speed and memory of each side at its best batch, and where the time goes."""
    return Found(*step.run(sizes.plan, clips=sizes.clips, repeats=sizes.repeats))


def agreement_section(sizes: Sizes) -> Found:
    """Losses of ours and the peer, in float32 and in bf16."""
    rows = []
    for amp in ("off", "bf16"):
        plan = sizes.plan._replace(amp=amp)
        found = agreement(plan, clips=sizes.clips or 8, steps=sizes.steps)
        rows.append(
            Row(
                suite="step",
                case=f"largest relative difference of the loss to the peer's over {sizes.steps} steps, amp={amp}",
                ours=found.difference,
                peer=found.stock_difference,
                peer_name="the peer with its channels last, to the peer",
                unit="of the loss",
                speedup=None,
                spread=None,
                repeats=1,
            )
        )
    return Found(rows, [])


def graphs_section(sizes: Sizes) -> Found:
    """CUDA-graph replay beside plain compilation, for a small batch and an ordinary one."""
    if sizes.plan.device == "cpu":
        print("CUDA graphs are left out: there is no GPU.")
        return Found([], [])
    batches = (1, 2) if sizes.clips == 2 else (4, 16, sizes.clips or 64)
    ways: dict[CompileMode, str] = {"graphs": "run.compile=graphs", "on": "run.compile=on"}
    builders = {told: partial(our_side, sizes.plan, mode=mode) for mode, told in ways.items()}
    return Found([beside(sizes, builders, clips) for clips in batches], [])


def gate_section(sizes: Sizes) -> Found:
    """The whole step with the gate by Triton beside the step with PyTorch's own operations."""
    mode: CompileMode = "on" if sizes.plan.device == "cuda" else "off"
    builders = {
        "gate by Triton": partial(our_side, sizes.plan, mode=mode, by_triton=True),
        "gate by convolutions": partial(our_side, sizes.plan, mode=mode),
    }
    return Found([beside(sizes, builders, sizes.clips or 64)], [])


def recompute_section(sizes: Sizes) -> Found:
    """Residual blocks that are computed again beside such that are kept."""
    mode: CompileMode = "on" if sizes.plan.device == "cuda" else "off"
    builders = {
        "run.recompute=true": partial(our_side, sizes.plan, mode=mode, recompute=True),
        "run.recompute=false": partial(our_side, sizes.plan, mode=mode),
    }
    clips = sizes.clips or 16
    kept = {name: step.kept_by(build(), random_batch(sizes.plan, clips)) for name, build in builders.items()}
    ours, peer = builders
    memory = step.memory_row(f"{ours}, {clips} clips", kept[ours], kept[peer], peer, is_peak=False)
    return Found([beside(sizes, builders, clips), memory], [])


def beside(sizes: Sizes, builders: dict[str, Any], clips: int) -> Row:
    """Time two sides by turns, each with its own compilation."""
    forget()
    batch = random_batch(sizes.plan, clips)
    sides = {name: build() for name, build in builders.items()}
    timings = measure({name: partial(side.step, batch) for name, side in sides.items()}, repeats=sizes.repeats)
    ours, peer = sides
    return timings_row("step", f"{ours}, {clips} clips", timings, ours=ours, peer=peer, peer_name=peer, items=clips, unit="clips/s")


SECTIONS: dict[str, Callable[[Sizes], Found]] = {
    "core": core_section,
    "depthwise": depthwise_section,
    "step": step_section,
    "agreement": agreement_section,
    "gate": gate_section,
    "graphs": graphs_section,
    "recompute": recompute_section,
}

if __name__ == "__main__":
    main()
