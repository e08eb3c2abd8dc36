"""Packing: every listed video is decoded once, from start to end, into shards; killed at any moment, it continues."""

import contextlib
import functools
import hashlib
import itertools
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from objabn.data.index import SUBSETS, Index, join_names, save_index
from objabn.data.pack_shard import (
    EncodedVideo,
    PackSettings,
    ShardJob,
    encode_entry,
    fingerprint,
    is_finished,
    other_packing,
    write_shard,
)
from objabn.data.pack_workers import PATIENCE_SECONDS, Lost, supervised
from objabn.data.progress import Counter, OnProgress
from objabn.data.shards import FORMAT, read_columns, read_manifest, running_sum, shard_path
from objabn.data.sources import Entry, Listing
from objabn.files import claimed, discard_unfinished, is_there, write_json
from objabn.machine import available_cores

LARGEST_SHARD_VIDEOS = 64
LARGEST_SHARD_BYTES = 256 * 2**20
"""Of source files: what is made of them is held in memory until their shard is written."""


class PackReport(NamedTuple):
    """What a finished packing holds."""

    videos: int
    frames: int
    bytes: int
    failed: list[dict[str, str]]
    """{"video", "reason"} of everything that could not be packed."""
    was_finished: bool
    """Nothing was left to do."""


def pack(
    listing: Listing,
    folder: Path,
    settings: PackSettings = PackSettings(),  # noqa: B008  (cannot be changed)
    *,
    workers: int = 0,
    on_progress: OnProgress | None = None,
) -> PackReport:
    """Pack a listing into `folder` with `workers` processes (0: one per core); a finished folder is returned at once.

    Unreadable videos are listed in `manifest.json` and left out. A folder packed with other settings is a ValueError.
    """
    jobs = shard_jobs(listing, folder, settings, find_plan(listing, folder, settings))
    was_finished = all((folder / name).is_file() for name in ("index.safetensors", "manifest.json")) and all(map(is_finished, jobs))
    if not was_finished:
        with claimed(folder):
            pack_rest(listing, folder, settings, workers or available_cores(), on_progress)
    manifest = read_manifest(folder / "manifest.json", "prepare")
    return PackReport(manifest["videos"], manifest["frames"], manifest["bytes"], manifest["failed"], was_finished)


def pack_rest(listing: Listing, folder: Path, settings: PackSettings, workers: int, on_progress: OnProgress | None) -> None:
    """Write the shards that are missing, then the manifest."""
    plan = find_plan(listing, folder, settings)
    jobs = shard_jobs(listing, folder, settings, plan)
    left = [job for job in jobs if not is_finished(job)]
    discard_unfinished(folder, "shard-*")
    write_json(folder / "plan.json", plan)
    counter = Counter(on_progress, len(listing.entries))
    counter.add(len(listing.entries) - sum(len(job.entries) for job in left))
    write_shards(left, settings, workers, counter)
    write_manifest(listing, folder, settings, jobs)


def write_shards(jobs: Sequence[ShardJob], settings: PackSettings, workers: int, counter: Counter) -> None:
    """Encode the videos of all shards, and write each shard when the last of its videos has come."""
    entries = [entry for job in jobs for entry in job.entries]
    places = [(job, number) for job in jobs for number in range(len(job.entries))]
    gathered: dict[Path, dict[int, EncodedVideo | Lost]] = defaultdict(dict)
    encode = functools.partial(encode_entry, settings=settings)
    with contextlib.closing(supervised(encode, entries, workers=workers, patience_seconds=PATIENCE_SECONDS)) as outcomes:
        for position, outcome in outcomes:
            job, number = places[position]
            gathered[job.path][number] = outcome
            counter.add(1)
            if len(gathered[job.path]) == len(job.entries):
                write_shard(job, [video for _, video in sorted(gathered.pop(job.path).items())])


def find_plan(listing: Listing, folder: Path, settings: PackSettings) -> dict[str, Any]:
    """Return the division into shards with which a packing in `folder` began, or a new one where there is none yet.

    It is kept since it depends on the sizes of files, which come and go. One of another packing is a ValueError.
    """
    mark, path = fingerprint(listing, settings), folder / "plan.json"
    if path.is_file() and any(folder.glob("shard-*")):
        plan = read_manifest(path, "prepare")
        if plan.get("fingerprint") != mark:
            raise other_packing(folder, plan.get("settings", {}), settings)
        return plan
    return {"fingerprint": mark, "settings": settings.relevant, "videos": divide([source_bytes(entry) for entry in listing.entries])}


def divide(sizes: Sequence[int]) -> list[int]:
    """Return how many videos each shard holds, by their bytes; shards are small where videos are few, so that all cores find work."""
    most = min(LARGEST_SHARD_VIDEOS, max(4, len(sizes) // LARGEST_SHARD_VIDEOS))
    videos: list[int] = []
    filled = 0
    for size in sizes:
        if not videos or videos[-1] == most or filled + size > LARGEST_SHARD_BYTES:
            videos.append(0)
            filled = 0
        videos[-1] += 1
        filled += size
    return videos


def source_bytes(entry: Entry) -> int:
    """Return the size of a source file, that of the frames in a folder as if all were like the first, 0 where nothing can be read."""
    try:
        if not entry.path.is_dir():
            return entry.path.stat().st_size
        frames = list(entry.path.iterdir())
        return len(frames) * frames[0].stat().st_size if frames else 0
    except (OSError, ValueError):
        return 0


def shard_jobs(listing: Listing, folder: Path, settings: PackSettings, plan: dict[str, Any]) -> list[ShardJob]:
    """Return the shards of a plan; a shard's fingerprint says which videos of the listing are in it."""
    edges = itertools.pairwise(running_sum(plan["videos"]).tolist())
    return [
        ShardJob(shard_path(folder, number), listing.entries[start:stop], settings, f"{plan['fingerprint']}-{start}-{stop}")
        for number, (start, stop) in enumerate(edges)
    ]


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
    mark = fingerprint(listing, settings)
    manifest = {
        **{"format": FORMAT, "name": listing.name, "classes": listing.classes, **settings.relevant, "shards": shards},
        **{"videos": len(rows), "frames": sum(row["frames"] for row in rows), "bytes": sizes, "failed": failed},
        **{"remark": listing.remark, "fingerprint": rows_fingerprint(rows, mark), "packing": mark},
    }
    write_json(folder / "manifest.json", manifest)


def rows_fingerprint(rows: Sequence[dict[str, Any]], mark: str) -> str:
    """Return what ties masks to frames: it differs as soon as a video more, or one of other length or size, was packed."""
    content = json.dumps([mark, [[row[name] for name in ("shard", "name", "frames", "height", "width")] for row in rows]])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


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


def expected_bytes(listing: Listing, *, settings: PackSettings, workers: int = 0, samples: int = 6) -> int:
    """Estimate the size of the packed dataset by packing a few files spread evenly over those present; 0 if none is readable."""
    present = [entry for entry in listing.entries if is_there(entry.path)]
    step = max(1, len(present) // samples)
    encode = functools.partial(encode_entry, settings=settings)
    outcomes = supervised(encode, present[step // 2 :: step], workers=workers or available_cores())
    sizes = [sum(map(len, video.chunks)) for _, video in outcomes if isinstance(video, EncodedVideo)]
    return sum(sizes) * len(present) // len(sizes) if sizes else 0
