"""Where frames are decoded and warped: the places a machine has for a store, and a trial of each to find the fastest."""

import time
from collections.abc import Callable, Iterable
from itertools import chain, islice, repeat
from typing import Any, Literal, NamedTuple

import torch

from objabn.config import Config
from objabn.data.dataset import PackedDataset

Place = Literal["cpu", "hybrid", "gpu"]
"""All on the CPU; decoded on the CPU and warped on the GPU; all on the GPU (its JPEG engines or NVDEC)."""

TRIAL_SECONDS = 2.0


class Choice(NamedTuple):
    """A place, and what was measured to choose it."""

    place: Place
    clips_per_second: dict[str, float]
    """Of each place that was tried; empty where there was nothing to choose."""
    failures: dict[str, str]
    """What DALI said of the places that do not work here."""


def possible_places(dataset: PackedDataset, config: Config) -> tuple[Place, ...]:
    """Return the places that `data.decode` and this machine leave, the one to be preferred first; RuntimeError where there is none."""
    decode = config.data.decode
    wants_gpu = decode in ("gpu", "hybrid") or (decode == "auto" and config.run.device != "cpu")
    has_gpu = torch.cuda.is_available()
    if decode in ("gpu", "hybrid") and not has_gpu:
        raise RuntimeError(f"data.decode={decode} needs a GPU and torch sees none; take data.decode=cpu.")
    is_h264 = dataset.store == "video" and dataset.manifest.get("codec") == "h264"
    places: tuple[Place, ...] = ("gpu", "hybrid") if wants_gpu and has_gpu else ("cpu",)
    possible = tuple(place for place in places if decode in ("auto", place) and (place == "gpu" or not is_h264))
    if not possible:
        raise RuntimeError(
            f"DALI decodes H.264 on a GPU only and {dataset.name} is packed with it; take --loader reader, "
            "or pack with --codec vp9 or --store frames."
        )
    return possible


def choose_place(places: tuple[Place, ...], start: Callable[[Place], Iterable[Any]], clips_per_batch: int) -> Choice:
    """Return the fastest of several places, each tried for about two seconds; RuntimeError where none works."""
    if len(places) == 1:
        return Choice(places[0], {}, {})
    rates: dict[str, float] = {}
    failures: dict[str, str] = {}
    for place in places:
        try:
            rates[place] = clips_per_batch * batches_per_second(start(place))
        except RuntimeError as error:
            failures[place] = str(error).splitlines()[0]
    if not rates:
        raise RuntimeError(f"DALI cannot decode on this machine: {failures}; take --loader reader, and see `objabn doctor`.")
    return Choice(max(places, key=lambda place: rates.get(place, 0.0)), rates, failures)


def batches_per_second(batches: Iterable[Any], *, seconds: float = TRIAL_SECONDS) -> float:
    """Return how many batches a loader gives, once its first ones are there."""
    stream = chain.from_iterable(repeat(batches))  # epoch after epoch
    for _ in islice(stream, 2):
        pass
    count, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < seconds:
        next(stream)
        count += 1
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return count / (time.perf_counter() - begin)
