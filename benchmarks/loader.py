"""Loaders beside each other: the same clips, masks and crops, as batches ready for training.

Ours read packed datasets, the peers the original videos as most projects do. Every loader is built once and then runs on, epoch after
epoch, as in a training. All of them prepare batches ahead, so the one whose turn has ended still works for a moment while the
next is timed, and a loader whose turn begins has batches lying ready. Both are bounded: each prepares a fixed number ahead,
and as many are taken, untimed, before its clock starts. What is left of the disturbance falls on both neighbours alike,
since every second round goes backwards.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.peers import PEERS, REFERENCE, why_absent
from benchmarks.replay import Replay, is_frame_exact
from benchmarks.result import Row, Timings, measure, timings_row
from objabn.config import Config
from objabn.data.dataset import PackedDataset
from objabn.data.reader import reader
from objabn.settings import override
from objabn.types import Batch

PLACES = {"cpu": "on the CPU", "hybrid": "on the CPU and the GPU", "gpu": "on the GPU"}

EXACT_CLIPS = 24
"""Clips of each loader that are looked at for wrong frames."""


class Contestant(NamedTuple):
    """A loader that runs for ever."""

    batches: Iterator[Any]
    ahead: int
    """Batches it prepares before it is asked for them."""
    is_exact: bool


def run(datasets: Sequence[PackedDataset], config: Config, videos: Path, *, batches: int = 4, repeats: int = 5) -> list[Row]:
    """Return clips per second and processor time per clip of each of our loaders beside PyAV, and of our fastest beside every peer.

    `datasets` are packings of one and the same `videos`. `batches` is the least that is timed at once; worker processes
    finish theirs together, so whole rounds of them are taken.
    """
    reference = Replay(datasets[0], config, videos, PEERS[REFERENCE].decode)
    ours = {name: contestant for dataset in datasets for name, contestant in our_contestants(dataset, config, reference).items()}
    peers = peer_contestants(datasets[0], config, videos, reference)
    everyone = ours | peers
    count = -(-batches // reference.ahead) * reference.ahead
    timings = measure(
        {name: partial(take, contestant.batches, count) for name, contestant in everyone.items()},
        repeats=repeats,
        prepare=lambda name: take(everyone[name].batches, everyone[name].ahead),
    )
    fastest = min(ours, key=timings.median)
    pairs = [(name, REFERENCE) for name in ours] + [(fastest, peer) for peer in peers if peer != REFERENCE]
    case = f"{config.data.clip_frames} frames, {config.data.crop_size} px, with masks"
    return [row for pair in pairs for row in pair_rows(pair, everyone, timings, case, items=count * config.optim.batch)]


def pair_rows(names: tuple[str, str], everyone: dict[str, Contestant], timings: Timings, case: str, *, items: int) -> list[Row]:
    """Return the rate and the processor time of one of ours beside one peer."""
    ours, peer = names
    rate = timings_row(
        "loader", f"{ours}: {case}", timings, ours=ours, peer=peer, peer_name=f"{peer}, originals", items=items, unit="clips/s"
    )
    work = Timings(timings.cpu_seconds, timings.cpu_seconds)
    cost = timings_row("loader", rate.case, work, ours=ours, peer=peer, peer_name=rate.peer_name, items=items, unit="CPU-ms/clip")
    return [replace(row, frame_exact=everyone[ours].is_exact, peer_exact=everyone[peer].is_exact, source="packed") for row in (rate, cost)]


def our_contestants(dataset: PackedDataset, config: Config, reference: Replay) -> dict[str, Contestant]:
    """Return each way of ours to read this dataset that this machine has."""
    loaders: dict[str, Iterable[Batch]] = {f"reader, {packing(dataset)}": reader(dataset, config)}
    try:
        from dali_pipelines import loader  # noqa: PLC0415  (DALI is an extra)
    except ImportError:
        return contest(loaders, config, reference)
    for place, words in PLACES.items():
        try:
            loaders[f"DALI {words}, {packing(dataset)}"] = loader(dataset, override(config, f"data.decode={place}"))
        except RuntimeError:
            continue  # this machine or this store does not have the place
    return contest(loaders, config, reference)


def packing(dataset: PackedDataset) -> str:
    """Return how a dataset is packed, in a word."""
    return str(dataset.manifest.get("codec", dataset.store)) if dataset.store == "video" else "JPEG"


def contest(loaders: dict[str, Iterable[Batch]], config: Config, reference: Replay) -> dict[str, Contestant]:
    """Start loaders of ours and look at the frames of their first batches."""
    found = {}
    for name, loader in loaders.items():
        stream = chain.from_iterable(repeat(loader))  # epoch after epoch
        looked_at = islice((clip for batch in stream for clip in batch.clip), min(EXACT_CLIPS, len(reference)))
        found[name] = Contestant(stream, config.data.prefetch, is_frame_exact(list(looked_at), reference))
    return found


def peer_contestants(dataset: PackedDataset, config: Config, videos: Path, reference: Replay) -> dict[str, Contestant]:
    """Start every peer that can read these videos here, and say why another cannot."""
    found = {}
    for name, peer in PEERS.items():
        if reason := why_absent(peer, videos / dataset.index.name(int(reference.plan.video[0]))):
            print(f"{name} is left out: {reason}.")
            continue
        replay = Replay(dataset, config, videos, peer.decode)
        clips = (replay.read(position)[0] for position in range(min(EXACT_CLIPS, len(replay))))
        found[name] = Contestant(iter(replay.loader()), replay.ahead, is_frame_exact(clips, reference))
    return found


def take(stream: Iterator[Any], count: int) -> None:
    """Take so many batches."""
    for _ in islice(stream, count):
        pass
