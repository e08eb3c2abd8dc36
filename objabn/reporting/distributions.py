"""How the entropies of maps are spread over videos."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from objabn.reporting.predictions import Predictions

BINS = 24


@dataclass(frozen=True, kw_only=True, slots=True)
class Histogram:
    """One map of several runs; a run without that map has None."""

    map: str
    low: float
    """In bits, where the first bin begins; the same for all maps, so that they can be compared."""
    high: float
    counts: list[list[int] | None]
    means: list[float | None]


def entropy_histograms(runs: Sequence[Predictions]) -> list[Histogram]:
    """Return one histogram a map, over the range that the maps of all runs have together."""
    names = list(dict.fromkeys(name for run in runs for video in run.videos for name in video.entropy))
    values = {name: [[video.entropy[name] for video in run.videos if name in video.entropy] for run in runs] for name in names}
    everything = [bits for of_map in values.values() for of_run in of_map for bits in of_run]
    if not everything:
        return []
    low, high = np.floor(10 * min(everything)) / 10, np.ceil(10 * max(everything) + 1e-9) / 10
    high = max(high, low + 0.1)
    return [
        Histogram(
            map=name,
            low=float(low),
            high=float(high),
            counts=[np.histogram(bits, BINS, (low, high))[0].tolist() if bits else None for bits in of_map],
            means=[float(np.mean(bits)) if bits else None for bits in of_map],
        )
        for name, of_map in values.items()
    ]
