"""What changing a row does to its numbers, over the videos and the seeds that both rows have."""

import math
from collections.abc import Sequence
from typing import Any

from objabn.comparison.bootstrap import Interval
from objabn.comparison.video_table import ANSWER_ROW
from objabn.reproduction.claims import Place, paired
from objabn.reproduction.runs import RowRuns, row_named

OF_NETWORK = ("top1", "nll")
OF_MAPS = ("entropy", "mask_iou")


def change_values(row: RowRuns, rows: Sequence[RowRuns], checkpoint: str, *, resamples: int, seed: int) -> dict[str, Any] | None:
    """Return a changed row's numbers less those of the row it changes, with intervals; None where that one has not been trained."""
    base = None if row.row.base is None else row_named(rows, row.row.base)
    if base is None:
        return None

    def less(map_name: str, quantity: str) -> dict[str, Any] | None:
        place = Place(row.row.name, map_name, quantity)
        difference = paired(row, place, base, place, checkpoint, resamples=resamples, seed=seed)
        return None if difference is None else difference_values(difference)

    theirs = base.values(checkpoint).values
    common = [name for name in row.values(checkpoint).values if name != ANSWER_ROW and name in theirs]
    of_maps = {quantity: {name: less(name, quantity) for name in common} for quantity in OF_MAPS}
    return {"base": base.row.name, **{quantity: less(ANSWER_ROW, quantity) for quantity in OF_NETWORK}, **of_maps}


def difference_values(difference: Interval) -> dict[str, Any]:
    """Return a difference as JSON holds it."""
    return {"difference": round(difference.value, 4), "interval": ends(difference.low, difference.high)}


def ends(low: float, high: float) -> list[float] | None:
    """Return both ends of an interval rounded, or None where they are not known."""
    return None if math.isnan(low) else [round(low, 4), round(high, 4)]
