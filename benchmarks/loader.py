"""Loaders beside each other: the same clips, masks and crops, as batches ready for training.

Ours read packed datasets, the peers the original videos as most projects do. Every loader is built once and then runs on, epoch after
epoch, as in a training. All of them prepare a fixed number of batches ahead, so the one whose turn has ended still works for a moment,
and a loader whose turn begins has batches lying ready. Before a clock starts, the first is waited for until nobody works, and
the second are taken, untimed. Every second round goes backwards. The decoders alone and the training step, which bound the loaders,
take their turns as they do.
"""

import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.contestants import PLACES, Contestant, dali_name, dali_peers, decoding_peers, our_contestants, packing
from benchmarks.peers import PEERS, REFERENCE
from benchmarks.replay import Replay
from benchmarks.result import Row, Timings, Unit, cpu_time, measure, timings_row
from objabn.config import Config
from objabn.data.dataset import PackedDataset

GLANCE_SECONDS = 0.1
IDLE_SHARE = 0.2
"""Of a core; the time of children is told to a hundredth of a second only, a tenth of a glance."""

RATE_AND_COST: dict[Unit, float] = {"clips/s": 1.0, "CPU-ms/clip": 1.0}


class Pair(NamedTuple):
    """Two contestants that are compared."""

    ours: str
    peer: str
    per_clip: dict[Unit, float]
    """What is told of them: each unit, and how many of its things a clip is."""


def run(
    datasets: Sequence[PackedDataset], config: Config, videos: Path, *, batches: int = 4, repeats: int = 5, has_step: bool | None = None
) -> list[Row]:
    """Return how fast each of our loaders is beside PyAV and beside its decoders alone, and our fastest beside every peer.

    `datasets` are packings of one and the same `videos`. `batches` is the least that is timed at once; worker processes
    finish theirs together, so whole rounds of them are taken. `has_step` adds the training step that the fastest loader must feed;
    by itself it does so on a GPU only, since elsewhere a step takes longer than all the rest.
    """
    with tempfile.TemporaryDirectory() as mask_folder:
        return run_in(Path(mask_folder), datasets, config, videos, batches, repeats, has_step)


def run_in(
    mask_folder: Path, datasets: Sequence[PackedDataset], config: Config, videos: Path, batches: int, repeats: int, has_step: bool | None
) -> list[Row]:
    """Do what `run` says; `mask_folder` must outlive what is started here."""
    reference = Replay(datasets[0], config, videos, PEERS[REFERENCE].decode)
    # First, since worker processes are forked, and DALI and CUDA start threads, whose locks a fork would copy as they stand.
    peers = decoding_peers(datasets[0], config, videos, reference)
    ours = {name: contestant for dataset in datasets for name, contestant in our_contestants(dataset, config, reference).items()}
    peers |= dali_peers(datasets[0], config, videos, mask_folder, reference)
    decoders, decoder_pairs = decoders_alone(datasets, config, ours)
    steps = training_step(config) if has_step or (has_step is None and torch.cuda.is_available()) else {}
    everyone = ours | peers | decoders | steps
    count = -(-batches // reference.ahead) * reference.ahead
    timings = measure(
        {name: partial(take, contestant.batches, count) for name, contestant in everyone.items()},
        repeats=repeats,
        prepare=lambda name: make_ready(everyone[name]),
    )
    fastest = min(ours, key=timings.median)
    judge = f"{REFERENCE}, originals"
    pairs = [
        *(Pair(name, judge, RATE_AND_COST) for name in ours),
        *(Pair(fastest, peer, RATE_AND_COST) for peer in peers if peer != judge),
        *decoder_pairs,
        *(Pair(fastest, name, {"clips/s": 1.0}) for name in steps),
    ]
    case = f"{config.data.clip_frames} frames, {config.data.crop_size} px, with masks"
    return [row for pair in pairs for row in pair_rows(pair, everyone, timings, case, clips=count * config.optim.batch)]


def pair_rows(pair: Pair, everyone: dict[str, Contestant], timings: Timings, case: str, *, clips: int) -> list[Row]:
    """Return one row for each unit of a pair; `clips` is how many are delivered in one timed turn."""
    work = Timings(timings.cpu_seconds, timings.cpu_seconds)
    rows = [
        timings_row(
            "loader",
            f"{pair.ours}: {case}",
            work if unit == "CPU-ms/clip" else timings,
            ours=pair.ours,
            peer=pair.peer,
            peer_name=pair.peer,
            items=round(clips * per_clip),
            unit=unit,
        )
        for unit, per_clip in pair.per_clip.items()
    ]
    exact, peer_exact = everyone[pair.ours].is_exact, everyone[pair.peer].is_exact
    return [replace(row, frame_exact=exact, peer_exact=peer_exact, source="packed") for row in rows]


def decoders_alone(
    datasets: Sequence[PackedDataset], config: Config, ours: dict[str, Contestant]
) -> tuple[dict[str, Contestant], list[Pair]]:
    """Start what bounds each of our graphs from above, and return with which of them each is compared."""
    found: dict[str, Contestant] = {}
    pairs = []
    for dataset, place in ((dataset, place) for dataset in datasets for place in PLACES if dali_name(dataset, place) in ours):
        from benchmarks.ceilings import decoder_alone  # noqa: PLC0415  (DALI is an extra)

        name = f"decoder alone {PLACES['gpu' if place == 'gpu' else 'cpu']}, {packing(dataset)}"
        ceiling = decoder_alone(dataset, config, place)
        found.setdefault(name, ceiling.contestant)
        pairs.append(Pair(dali_name(dataset, place), name, {"clips/s": 1.0, "frames/s": ceiling.pictures_per_clip}))
    return found, pairs


def training_step(config: Config) -> dict[str, Contestant]:
    """Start what bounds every loader from below: the step that it must feed, and had better feed twice over."""
    from benchmarks.step import training_steps  # noqa: PLC0415  (X3D takes a while to import)

    device = "cuda" if torch.cuda.is_available() else "cpu"
    return {f"training step, X3D-M Object-ABN, batch {config.optim.batch}, {device}": Contestant(training_steps(config, device), 0, None)}


def make_ready(contestant: Contestant) -> None:
    """Wait until whoever was timed before has filled its queue, then take what lies ready."""
    settle()
    take(contestant.batches, contestant.ahead)


def settle(*, longest: float = 10.0) -> None:
    """Wait until this process and its children have stopped computing, for so many seconds at most."""
    end = time.monotonic() + longest
    before, now = -math.inf, cpu_time()
    while now - before > IDLE_SHARE * GLANCE_SECONDS and time.monotonic() < end:
        time.sleep(GLANCE_SECONDS)
        before, now = now, cpu_time()


def take(stream: Iterator[Any], count: int) -> None:
    """Take so many batches."""
    for _ in islice(stream, count):
        pass
