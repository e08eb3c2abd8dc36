"""Measurements: two ways of doing one thing, timed by turns on one machine, and the machine they were timed on."""

import gc
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from objabn.training.environment import hardware
from objabn.versions import versions

Unit = Literal["s", "ms", "clips/s", "frames/s", "CPU-ms/clip"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One comparison, as `objabn bench --json` writes it."""

    suite: str
    """What `objabn bench` was asked for: core, loader, scale, step, masks, explain."""
    case: str
    """What was done, with its sizes."""
    ours: float | None
    """Median of our way, in `unit`; None where it was not possible here."""
    peer: float | None
    """Median of the other way."""
    peer_name: str
    """What the other way is."""
    unit: str
    """s, ms, clips/s, frames/s, MB, or CPU-ms/clip: processor time of this process and its children."""
    speedup: float | None
    """Above 1, ours is better, whatever the unit; the median of the ratios of neighbouring runs."""
    spread: float | None
    """Distance between the quartiles of those ratios, as a part of their median."""
    repeats: int
    """Timed runs of each way, after one that is not counted."""
    frame_exact: bool | None = None
    """Whether ours delivered the frames that were asked for, judged by decoding from the first frame on; None where no video is read."""
    peer_exact: bool | None = None
    """The same of the peer."""
    source: Literal["original", "packed"] | None = None
    """What ours read: the original videos or the packed dataset; None where no video is read."""


class Timings(NamedTuple):
    """Seconds of each way, run by run; runs of the same place are neighbours in time."""

    seconds: dict[str, list[float]]
    cpu_seconds: dict[str, list[float]]
    """Processor time of this process and its children, all threads together."""

    def median(self, name: str) -> float:
        """Return the median of one way in seconds."""
        return statistics.median(self.seconds[name])

    def ratios(self, ours: str, peer: str) -> list[float]:
        """Return how many times longer `peer` took than `ours`, run by run."""
        return [theirs / mine for mine, theirs in zip(self.seconds[ours], self.seconds[peer], strict=True)]


def measure(ways: dict[str, Callable[[], object]], *, repeats: int = 9, prepare: Callable[[str], object] | None = None) -> Timings:
    """Time each way once per round, so that whatever else the machine does meets all of them alike.

    The first round warms up and is not counted; every second round goes backwards. Before each run, and not timed, garbage is
    collected and `prepare` is called with the name of the way. Work on a GPU is waited for.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    cpu_seconds: dict[str, list[float]] = {name: [] for name in ways}
    was_collecting = gc.isenabled()
    gc.disable()
    # What is there already is no garbage of the ways, and looking through it would take longer than they do.
    gc.freeze()
    try:
        for turn in range(repeats + 1):
            for name in list(ways) if turn % 2 else reversed(list(ways)):
                gc.collect()
                if prepare is not None:
                    prepare(name)
                cpu_before = cpu_time()
                duration = time_once(ways[name])
                if turn > 0:
                    seconds[name].append(duration)
                    cpu_seconds[name].append(cpu_time() - cpu_before)
    finally:
        gc.unfreeze()
        if was_collecting:
            gc.enable()
    return Timings(seconds, cpu_seconds)


def time_once(way: Callable[[], object]) -> float:
    """Return the seconds of one call, with all work on the GPU done before and after."""
    synchronize()
    start = time.perf_counter()
    way()
    synchronize()
    return time.perf_counter() - start


def cpu_time() -> float:
    """Return the processor seconds of this process and of its living children, which Linux tells to a hundredth."""
    ticks = 0
    for stat in (Path(f"/proc/{child.pid}/stat") for child in multiprocessing.active_children()):
        if stat.is_file():
            # The name of the program stands in brackets and may hold spaces.
            fields = stat.read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def synchronize() -> None:
    """Wait for the GPU, where there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def compare(
    suite: str,
    case: str,
    *,
    ours: Callable[[], object],
    peer: Callable[[], object],
    peer_name: str,
    repeats: int,
    items: int | None = None,
    unit: Unit = "ms",
) -> Row:
    """Time two ways by turns and return their row; rates count `items` of each call."""
    timings = measure({"ours": ours, "peer": peer}, repeats=repeats)
    return timings_row(suite, case, timings, peer_name=peer_name, items=items, unit=unit)


def timings_row(
    suite: str,
    case: str,
    timings: Timings,
    *,
    peer_name: str,
    ours: str = "ours",
    peer: str = "peer",
    items: int | None = None,
    unit: Unit = "ms",
) -> Row:
    """Turn timings of two ways into a row."""
    ratios = timings.ratios(ours, peer)
    speedup = statistics.median(ratios)
    return Row(
        suite=suite,
        case=case,
        ours=in_unit(timings.median(ours), unit, items),
        peer=in_unit(timings.median(peer), unit, items),
        peer_name=peer_name,
        unit=unit,
        speedup=speedup,
        spread=relative_spread(ratios),
        repeats=len(ratios),
    )


def alone(suite: str, case: str, value: float, unit: str, *, repeats: int = 1) -> Row:
    """Return the row of a number that nothing is compared with."""
    return Row(suite=suite, case=case, ours=value, peer=None, peer_name="", unit=unit, speedup=None, spread=None, repeats=repeats)


def in_unit(seconds: float, unit: str, items: int | None) -> float:
    """Express the seconds of one call in the unit of a row."""
    if unit.endswith("/s"):
        if items is None:
            raise ValueError(f"unit={unit!r} needs `items`, the number of them in one call.")
        return items / seconds
    if unit == "CPU-ms/clip":
        return 1e3 * seconds / (items or 1)
    return seconds * {"s": 1.0, "ms": 1e3}[unit]


def relative_spread(values: list[float]) -> float:
    """Return the distance between the quartiles as a part of the median; 0 for a single value."""
    if len(values) < 2:
        return 0.0
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / middle


def report(rows: Sequence[Row], parts: Sequence[Any] = ()) -> dict[str, Any]:
    """Return what `objabn bench --json` writes; `parts` are rows of a roofline."""
    lists = {"rows": [asdict(row) for row in rows], "parts": [asdict(part) for part in parts]}
    return {"hardware": hardware(), "versions": versions(), **lists}
