"""Packing: every listed video is decoded once, from start to end, into shards; killed at any moment, it continues."""

import concurrent.futures
import functools
import json
import multiprocessing
import os
import queue
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from objabn.data.encode import Codec
from objabn.data.index import SUBSETS, Index, join_names, save_index
from objabn.data.pack_shard import FORMAT, PackSettings, ShardJob, Store, encode_video, fingerprint, is_finished, pack_shard
from objabn.data.progress import Counter, OnProgress
from objabn.data.shards import read_columns, shard_path, write_text
from objabn.data.sources import Entry, Listing
from objabn.data.video import UnreadableVideoError

LARGEST_SHARD = 64
"""Videos."""


class PackReport(NamedTuple):
    """What a finished packing holds."""

    videos: int
    frames: int
    bytes: int
    failed: list[dict[str, str]]
    """{"video", "reason"} of everything that could not be packed."""


def pack(
    listing: Listing,
    folder: Path,
    *,
    store: Store = "frames",
    codec: Codec = "vp9",
    quality: int = 90,
    short_side: int = 320,
    gop: int = 8,
    workers: int = 0,
    on_progress: OnProgress | None = None,
) -> PackReport:
    """Pack a listing into `folder` with `workers` processes (0: one per core); a finished folder is returned at once.

    Unreadable videos are listed in `manifest.json` and left out. A folder packed with other settings is a ValueError.
    """
    settings = PackSettings(store=store, codec=codec, quality=quality, short_side=short_side, gop=gop)
    jobs = shard_jobs(listing, folder, settings)
    left = [job for job in jobs if not is_finished(job)]
    if left or not (folder / "manifest.json").is_file():
        counter = Counter(on_progress, len(listing.entries))
        counter.add(len(listing.entries) - sum(len(job.entries) for job in left))
        run_jobs(left, workers or len(os.sched_getaffinity(0)), on_videos=counter.add)
        write_manifest(listing, folder, settings, jobs)
    manifest = json.loads((folder / "manifest.json").read_text())
    return PackReport(manifest["videos"], manifest["frames"], manifest["bytes"], manifest["failed"])


def shard_jobs(listing: Listing, folder: Path, settings: PackSettings) -> list[ShardJob]:
    """Divide a listing into shards: small ones where there are few videos, so that all cores find work."""
    size = min(LARGEST_SHARD, max(4, len(listing.entries) // LARGEST_SHARD))
    mark = fingerprint(listing, settings)
    starts = range(0, len(listing.entries), size)
    return [
        ShardJob(shard_path(folder, number), listing.entries[start : start + size], settings, mark) for number, start in enumerate(starts)
    ]


def run_jobs(jobs: Sequence[ShardJob], workers: int, *, on_videos: Callable[[int], None]) -> None:
    """Write shards in this process (one worker) or in several."""
    if workers == 1 or len(jobs) <= 1:
        for job in jobs:
            pack_shard(job, functools.partial(on_videos, 1))
        return
    # Forking a process whose libraries have threads can hang the child.
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, concurrent.futures.ProcessPoolExecutor(min(workers, len(jobs)), context) as pool:
        messages = manager.Queue()
        running = {pool.submit(pack_shard, job, functools.partial(messages.put, 1)) for job in jobs}
        try:
            while running:
                finished, running = concurrent.futures.wait(running, timeout=0.2)
                if arrived := drain(messages):
                    on_videos(arrived)
                for future in finished:
                    future.result()
        except BrokenProcessPool:
            raise RuntimeError("A packing process died, perhaps for want of memory; run it again, with fewer --workers.") from None
        finally:
            pool.shutdown(cancel_futures=True)


def drain(messages: "queue.Queue[int]") -> int:
    """Return the sum of the messages that have arrived."""
    total = 0
    while True:
        try:
            total += messages.get_nowait()
        except queue.Empty:
            return total


def write_manifest(listing: Listing, folder: Path, settings: PackSettings, jobs: Iterable[ShardJob]) -> None:
    """Gather the rows of all shards into the index, and close the packing with its manifest."""
    rows: list[dict[str, Any]] = []
    failed: list[dict[str, str]] = []
    shards = sizes = 0
    for number, job in enumerate(jobs):
        metadata = read_columns(job.path).metadata
        rows += [{**row, "shard": number} for row in json.loads(metadata["rows"])]
        failed += json.loads(metadata["failed"])
        shards, sizes = number + 1, sizes + job.path.stat().st_size
    if not rows:
        reason = f"; the first is {failed[0]['video']}: {failed[0]['reason']}" if failed else ""
        raise RuntimeError(f"None of the {len(failed)} listed videos could be packed{reason}.")
    save_index(build_index(rows, listing), folder / "index.safetensors")
    manifest = {
        **{"format": FORMAT, "name": listing.name, "classes": listing.classes, **asdict(settings), "shards": shards},
        **{"videos": len(rows), "frames": sum(row["frames"] for row in rows), "bytes": sizes, "failed": failed},
        **{"remark": listing.remark, "fingerprint": fingerprint(listing, settings)},
    }
    write_text(folder / "manifest.json", json.dumps(manifest, indent=1))


def build_index(rows: Sequence[dict[str, Any]], listing: Listing) -> Index:
    """Return the index of packed rows, with what the listing knows about each."""
    by_name = {entry.name: entry for entry in listing.entries}
    entries = [by_name[row["name"]] for row in rows]
    groups = {group: number for number, group in enumerate(sorted({entry.group for entry in listing.entries}))}
    names, offsets = join_names([entry.name for entry in entries])
    frames = np.array([row["frames"] for row in rows], np.int64)
    shard = np.array([row["shard"] for row in rows], np.int32)
    before = np.cumsum(frames) - frames
    return Index(
        name_bytes=names,
        name_offsets=offsets,
        label=np.array([entry.label for entry in entries], np.int64),
        frames=frames,
        height=np.array([row["height"] for row in rows], np.int32),
        width=np.array([row["width"] for row in rows], np.int32),
        fps=np.array([row["fps"] for row in rows], np.float32),
        group=np.array([groups[entry.group] for entry in entries], np.int32),
        subset=np.array([[SUBSETS.index(subset) for subset in entry.subsets] for entry in entries], np.uint8).T,
        shard=shard,
        first_frame=before - before[np.searchsorted(shard, shard)],
    )


def expected_bytes(listing: Listing, *, settings: PackSettings, samples: int = 6) -> int:
    """Estimate the size of the packed dataset by packing a few videos spread evenly over the listing; 0 if none is readable."""
    step = max(1, len(listing.entries) // samples)
    sizes = [encoded_size(entry, settings) for entry in listing.entries[step // 2 :: step]]
    readable = [size for size in sizes if size]
    return sum(readable) * len(listing.entries) // len(readable) if readable else 0


def encoded_size(entry: Entry, settings: PackSettings) -> int:
    """Return the bytes of one packed video, 0 if it cannot be read."""
    try:
        return sum(map(len, encode_video(entry.path, settings).chunks))
    except UnreadableVideoError:
        return 0
