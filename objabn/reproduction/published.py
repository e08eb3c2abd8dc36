"""What Object-ABN reports (Nitta et al. 2022, tables 1 and 2), by data set and row; where it reports nothing there is nothing."""

from typing import NamedTuple


class Published(NamedTuple):
    """One row of a table of the paper."""

    top1: float
    """In percent, as `top5`."""
    top5: float
    entropy: dict[str, float]
    """In bits, by map, on a grid of 14x14 presumably."""


PUBLISHED: dict[str, dict[str, Published]] = {
    "ucf101": {
        "abn": Published(93.96, 99.15, {"M_u": 3.064}),
        "abn+pc": Published(94.68, 99.47, {"M_u": 3.041}),
        "mask": Published(93.62, 99.26, {"M_o": 2.026}),
        "mask+pc": Published(93.80, 98.97, {"M_o": 1.469}),
        "mha": Published(88.93, 98.04, {"M_u": 2.850, "M_o": 1.360, "M_b": 1.356}),
        "mha+pc": Published(87.76, 97.27, {"M_u": 2.815, "M_o": 1.388, "M_b": 1.414}),
    },
    "ssv2": {
        "abn": Published(54.63, 83.23, {"M_u": 2.887}),
        "mask": Published(54.83, 82.73, {"M_o": 2.331}),
        "mask+pc": Published(54.97, 83.15, {"M_o": 2.427}),
        "mha+pc": Published(55.05, 83.60, {"M_u": 2.921, "M_o": 2.236, "M_b": 2.237}),
    },
}
"""Table 2's check marks of its last two rows are shifted in print; which losses they had follows from the maps that they report."""
