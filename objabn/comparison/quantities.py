"""What a comparison measures: each quantity with its unit, which way is better, and whether it belongs to the network or to a map."""

from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Quantity:
    """One number a video, and how those of all videos become one."""

    title: str
    """Head of its column."""
    meaning: str
    """In a line."""
    better: Better | None = None
    """None where neither way is."""
    scale: float = 1.0
    """From a video's number to the one that is shown: 100 for per cent."""
    digits: int = 3
    """Behind the point."""
    statistic: Literal["mean", "median", "sum"] = "mean"
    """Over the videos; only a mean has an interval."""
    is_share: bool = False
    """A video's number is 0 or 1, or between where it has several views."""
    on_grid: bool = False
    """Compares within one size of the attention grid only."""
    meets_objects: bool = False
    """Compares a map with masks: what is good for others is bad for M_b, which shows what is no object."""


NETWORK: dict[str, Quantity] = {
    "top1": Quantity(
        title="top-1 (%)", meaning="videos whose highest class is the true one", better="higher", scale=100.0, digits=1, is_share=True
    ),
    "top5": Quantity(
        title="top-5 (%)",
        meaning="videos whose true class is among the five highest",
        better="higher",
        scale=100.0,
        digits=1,
        is_share=True,
    ),
    "nll": Quantity(title="NLL", meaning="-ln of the true class's probability", better="lower"),
}
"""Of the network's answer."""

PLACE: dict[str, Quantity] = {
    "entropy": Quantity(title="entropy (bits)", meaning="of each frame's histogram in 10 bins; lower is sharper", on_grid=True),
    "entropy_pixels": Quantity(
        title="entropy at pixels", meaning="the same of the map enlarged to the clip, which compares across grids, and with nothing else"
    ),
    "mask_iou": Quantity(
        title="mask IoU",
        meaning="overlap of the map's upper half with the objects; of M_b with what is none",
        better="higher",
        on_grid=True,
        meets_objects=True,
    ),
    "soft_iou": Quantity(
        title="soft IoU",
        meaning="sum of the smaller over sum of the larger of map and coverage, cell by cell; of M_b with what is no object",
        better="higher",
        on_grid=True,
        meets_objects=True,
    ),
    "pointing": Quantity(
        title="pointing", meaning="share of frames whose highest cell meets an object", better="higher", on_grid=True, meets_objects=True
    ),
    "energy_pointing": Quantity(
        title="energy pointing", meaning="share of the map that lies on objects", better="higher", on_grid=True, meets_objects=True
    ),
    "temporal_consistency": Quantity(title="consistency", meaning="likeness of maps of neighbouring frames", on_grid=True),
    "flat_frames": Quantity(title="flat frames", meaning="frames whose map is the same everywhere", digits=0, statistic="sum"),
}
"""Of where a map lies."""

ANSWER: dict[str, Quantity] = {
    "insertion": Quantity(
        title="insertion", meaning="mean probability while the clip appears from the map's highest places on", better="higher"
    ),
    "deletion": Quantity(
        title="deletion", meaning="mean probability while the clip vanishes from the map's highest places on", better="lower"
    ),
    "average_drop": Quantity(
        title="drop (%)", meaning="part of the probability that is lost where the clip is faded by the map", better="lower", digits=1
    ),
    "average_increase": Quantity(
        title="increase (%)",
        meaning="videos whose probability rises where the clip is faded by the map",
        better="higher",
        scale=100.0,
        digits=1,
        is_share=True,
    ),
    "seconds": Quantity(title="s/clip", meaning="time of the explanation alone, of a single clip; the median", statistic="median"),
}
"""Of what a map means for the answer, and what it costs."""

OF_MAPS = PLACE | ANSWER
QUANTITIES = NETWORK | OF_MAPS
MEASURES = tuple(name for name in OF_MAPS if name not in ("seconds", "flat_frames"))
"""What may be asked for; flat frames and seconds cost nothing."""


def chosen_measures(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the measures asked for in their own order, all where none is; ValueError for an unknown one."""
    for name in names:
        if name not in MEASURES:
            raise ValueError(f"There is no measure {name!r}; choose of {', '.join(MEASURES)}.")
    return tuple(name for name in MEASURES if name in names or not names)
