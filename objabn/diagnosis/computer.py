"""Cores, memory, and the disk of the packed datasets."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from objabn.diagnosis.findings import Finding, note, ok, problem
from objabn.machine import available_cores, cpu_name

LITTLE_MEMORY = 4e9
LITTLE_SPACE = 1e9
SPACE_OF_UCF101 = 30e9
"""Bytes of UCF101 packed as JPEG frames."""


def findings(data: str) -> Iterator[Finding]:
    """Yield what is found of the machine; `data` is the folder of the packed datasets."""
    yield ok("processor", f"{available_cores()} cores of {cpu_name()}")
    yield check_memory(usable_memory())
    yield check_disk(Path(data))


def usable_memory(limit_file: Path = Path("/sys/fs/cgroup/memory.max")) -> int:
    """Return the bytes of memory this process may use: the machine's, or less where a container is limited."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = limit_file.read_text().strip() if limit_file.is_file() else "max"
    return total if limit == "max" else min(total, int(limit))


def check_memory(size: int) -> Finding:
    """Judge the memory."""
    text = f"{size / 1e9:.0f} GB"
    return note("memory", text, "Train with a smaller --batch.") if size < LITTLE_MEMORY else ok("memory", text)


def check_disk(folder: Path) -> Finding:
    """Judge the disk that packed datasets go to: whether it can be written, and what is free."""
    nearest = next(place for place in (folder.resolve(), *folder.resolve().parents) if place.exists())
    if not os.access(nearest, os.W_OK):
        return problem("disk", f"{nearest} cannot be written to", "Choose another folder with --data or OBJABN_DATA.")
    free = shutil.disk_usage(nearest).free
    text = f"{free / 1e9:.1f} GB free for packed datasets in {folder}"
    if free < LITTLE_SPACE:
        return problem("disk", text, "Free some space, or choose another folder with --data or OBJABN_DATA.")
    if free < SPACE_OF_UCF101:
        return note("disk", text, "All of UCF101 takes some 30 GB as frames, and a quarter of that with --store video.")
    return ok("disk", text)
