"""Who takes part in the loader suite: our loaders, and every peer that this machine and these videos have.

Who cannot take part is left out by name, with the reason.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, islice, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import av
import torch

from benchmarks.peers import PEERS, why_absent
from benchmarks.replay import Replay, is_frame_exact
from objabn.config import Config
from objabn.data.dataset import PackedDataset
from objabn.data.reader import reader
from objabn.data.schedule import Schedule
from objabn.settings import override
from objabn.types import Batch

if TYPE_CHECKING:
    from dali_pipelines.decode_place import Place

PLACES: "dict[Place, str]" = {"cpu": "on the CPU", "hybrid": "on the CPU and the GPU", "gpu": "on the GPU"}
DALI_CPU_CODECS = ("vp8", "vp9", "mjpeg")
"""The others need a GPU since DALI 2.1.1."""

EXACT_CLIPS = 24
"""Clips of each loader that are looked at for wrong frames."""


class Contestant(NamedTuple):
    """A loader that runs for ever."""

    batches: Iterator[Any]
    ahead: int
    """Batches it prepares before it is asked for them."""
    is_exact: bool | None
    """Whether its first clips showed the right frames; None where that is not asked."""


def our_contestants(dataset: PackedDataset, config: Config, reference: Replay) -> dict[str, Contestant]:
    """Return each way of ours to read this dataset that this machine has."""
    loaders: dict[str, Iterable[Batch]] = {f"reader, {packing(dataset)}": reader(dataset, config)}
    try:
        from dali_pipelines import loader  # noqa: PLC0415  (DALI is an extra)
    except ImportError:
        return {name: replaying(batches, reference) for name, batches in loaders.items()}
    for place in PLACES:
        try:
            loaders[dali_name(dataset, place)] = loader(dataset, override(config, f"data.decode={place}"))
        except RuntimeError:
            continue  # this machine or this store does not have the place
    return {name: replaying(batches, reference) for name, batches in loaders.items()}


def dali_name(dataset: PackedDataset, place: "Place") -> str:
    """Return the name of our graph for a dataset at a place."""
    return f"DALI {PLACES[place]}, {packing(dataset)}"


def packing(dataset: PackedDataset) -> str:
    """Return how a dataset is packed, in a word."""
    return str(dataset.manifest.get("codec", dataset.store)) if dataset.store == "video" else "JPEG"


def replaying(batches: Iterable[Batch], reference: Replay) -> Contestant:
    """Start a loader of the reference's plan and look at the frames of its first batches."""
    stream = chain.from_iterable(repeat(batches))  # epoch after epoch
    looked_at = islice((clip for batch in stream for clip in batch.clip), min(EXACT_CLIPS, len(reference)))
    return Contestant(stream, reference.config.data.prefetch, is_frame_exact(list(looked_at), reference))


def decoding_peers(dataset: PackedDataset, config: Config, videos: Path, reference: Replay) -> dict[str, Contestant]:
    """Start every peer that only brings its own way to decode."""
    found = {}
    for name, peer in PEERS.items():
        if reason := why_absent(peer, videos / dataset.index.name(int(reference.plan.video[0]))):
            leave_out(name, reason)
            continue
        replay = Replay(dataset, config, videos, peer.decode, peer.device)
        clips = (replay.read(position)[0] for position in range(min(EXACT_CLIPS, len(replay))))
        try:
            is_exact = is_frame_exact(clips, reference)
        except Exception as error:  # a foreign decoder may raise anything; the answer is a row less
            leave_out(name, f"it fails on one of the first clips ({type(error).__name__}: {error})".rstrip("."))
            continue
        if peer.device == "cpu":
            found[f"{name}, originals"] = Contestant(iter(replay.processes()), replay.ahead, is_exact)
        else:
            found[f"{name}, originals"] = Contestant(replay.threads(), config.data.prefetch, is_exact)
    return found


def dali_peers(dataset: PackedDataset, config: Config, videos: Path, mask_folder: Path, reference: Replay) -> dict[str, Contestant]:
    """Start the ways to have DALI read the originals; `mask_folder` is empty and takes what its own readers need."""
    place: Place = "gpu" if torch.cuda.is_available() else "cpu"
    starts: dict[str, Callable[..., Contestant]] = {
        f"DALI {PLACES[place]}, whole originals": start_whole_files,
        f"DALI's paired readers {PLACES[place]}, originals and mask videos": partial(start_paired_readers, mask_folder=mask_folder),
    }
    reason = why_no_dali(videos / dataset.index.name(int(reference.plan.video[0])), place)
    found = {}
    for name, start in starts.items():
        if reason:
            leave_out(name, reason)
            continue
        try:
            found[name] = start(dataset, config, videos, place=place, reference=reference)
        except RuntimeError as error:
            leave_out(name, what_dali_says(error))
    return found


def start_whole_files(dataset: PackedDataset, config: Config, videos: Path, *, place: "Place", reference: Replay) -> Contestant:
    """Start the replay of the plan on whole files."""
    from benchmarks.dali_originals import WholeFiles  # noqa: PLC0415

    return replaying(WholeFiles(dataset, Schedule(dataset, config, subset="train"), videos, place), reference)


def start_paired_readers(
    dataset: PackedDataset, config: Config, videos: Path, *, place: "Place", reference: Replay, mask_folder: Path
) -> Contestant:
    """Start DALI's readers, which choose clips of their own, and compare these with what they claim to be."""
    from benchmarks.dali_readers import PairedReaders, is_paired_exact  # noqa: PLC0415

    readers = PairedReaders(dataset, config, videos, mask_folder, place)
    stream = iter(readers)
    return Contestant(stream, readers.ahead, is_paired_exact(stream, dataset, videos, clips=min(EXACT_CLIPS, len(reference))))


def why_no_dali(path: Path, place: "Place") -> str:
    """Return why DALI cannot read a video at a place, as far as that is known beforehand."""
    try:
        import nvidia.dali  # noqa: F401, PLC0415
    except ImportError:
        return "DALI is not installed; `pip install objabn[cuda13]` brings it"
    with av.open(str(path)) as container:
        codec = container.streams.video[0].codec_context.name
    if place == "cpu" and codec not in DALI_CPU_CODECS:
        return f"without a GPU DALI decodes {', '.join(DALI_CPU_CODECS)} only, and {path.name} is {codec}"
    return ""


def what_dali_says(error: RuntimeError) -> str:
    """Return what went wrong in one line."""
    from dali_pipelines.probe import reason  # noqa: PLC0415

    return reason(error).rstrip(".")


def leave_out(name: str, reason: str) -> None:
    """Say who does not take part."""
    print(f"{name} is left out: {reason}.")
