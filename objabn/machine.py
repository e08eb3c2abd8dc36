"""What this process may use of the machine."""

import os
import platform
from pathlib import Path
from typing import NamedTuple


class Ranks(NamedTuple):
    """This process among those that torchrun started."""

    rank: int = 0
    """Its number, over all machines."""
    world: int = 1
    """Processes of the run."""
    local_rank: int = 0
    """Its number on this machine, which is that of its GPU."""
    local_world: int = 1
    """Processes on this machine."""


def launched() -> Ranks:
    """Return what torchrun says in the environment; a process that it did not start is alone."""
    numbers = (os.environ.get(name) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"))
    return Ranks(*(alone if number is None else int(number) for number, alone in zip(numbers, Ranks(), strict=True)))


def is_restarted() -> bool:
    """Say whether torchrun started the processes anew after one of them, on this machine, had ended."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


def launch_name() -> str | None:
    """Return what all attempts of one torchrun on this machine have in common and no other has; None without torchrun."""
    run = os.environ.get("TORCHELASTIC_RUN_ID")
    return None if run is None else f"{run} {platform.node()} {os.getppid()}"


def available_cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_count(asked: int = 0) -> int:
    """Return how many threads a pool of this process takes: as many as asked for, or with 0 this rank's share of the cores.

    torchrun tells by LOCAL_WORLD_SIZE how many ranks one machine has, which share its cores. A launcher that binds each rank to cores
    of its own should be told the number of threads instead.
    """
    return asked or max(1, available_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def cpu_name() -> str:
    """Return the processor's name as the system tells it."""
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text().splitlines() if listing.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def limit_memory(processes: int) -> None:
    """Have this process run out of memory before as many processes like it exhaust the machine; only Linux has such a limit.

    The system would otherwise end any process it likes.
    """
    taken = Path("/proc/self/statm")
    if not taken.is_file():
        return
    import resource  # noqa: PLC0415  (not everywhere)

    most = (int(taken.read_text().split()[0]) + os.sysconf("SC_PHYS_PAGES") // processes) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))
