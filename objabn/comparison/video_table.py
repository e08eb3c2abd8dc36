"""Numbers video by video: of a network's answer and of each map, filled block by block and kept in a file."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from objabn.comparison.quantities import QUANTITIES
from objabn.files import write_text
from objabn.metrics.map_scores import mean_of_finite

ANSWER_ROW = "answer"
"""Name of the row that holds what the network itself answers; the others are maps."""

Values = dict[str, dict[str, NDArray[np.float64]]]


class VideoTable:
    """Row (the network's answer, a map) by quantity by video; NaN is absent, and the first `finished` videos have been measured."""

    def __init__(self, videos: Sequence[str]) -> None:
        self.videos = tuple(videos)
        self.finished = 0
        self.values: Values = {}

    @property
    def is_finished(self) -> bool:
        """Whether every video has been measured."""
        return self.finished == len(self.videos)

    def put(self, place: int, row: str, quantity: str, value: float) -> None:
        """Enter the value of the video at a place of `videos`."""
        of_row = self.values.setdefault(row, {})
        if quantity not in of_row:
            of_row[quantity] = np.full(len(self.videos), np.nan)
        of_row[quantity][place] = value

    def rows(self) -> dict[str, dict[str, list[float | None]]]:
        """Return the values as JSON holds them, None for what is absent."""
        return {row: {name: listed(column_V) for name, column_V in columns.items()} for row, columns in self.values.items()}

    def write(self, path: Path) -> None:
        """Write the table to a file, whole or not at all."""
        values = {"finished": self.finished, "videos": self.videos, "values": self.rows()}
        write_text(path, json.dumps(values, allow_nan=False) + "\n")

    @classmethod
    def read(cls, path: Path, videos: Sequence[str]) -> "VideoTable":
        """Return the table in a file, or an empty one where there is none or none that can be read: it is measured anew."""
        table = cls(videos)
        try:
            found = json.loads(path.read_text())
            if tuple(found["videos"]) == table.videos:
                table.finished = int(found["finished"])
                table.values = {
                    row: {name: np.array(column, np.float64) for name, column in columns.items()}
                    for row, columns in found["values"].items()
                }
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return cls(videos)
        return table


class ViewValues:
    """What single views have, until all views of their videos are there."""

    def __init__(self) -> None:
        self.values: dict[tuple[int, str, str], list[float]] = {}

    def add(self, videos: Sequence[int], row: str, quantity: str, values_B: Sequence[float]) -> None:
        """Take one value of each view."""
        for video, value in zip(videos, values_B, strict=True):
            self.values.setdefault((video, row, quantity), []).append(value)

    def of_videos(self) -> dict[tuple[int, str, str], float]:
        """Return the mean of each over its views that have a value, where any has; of counts the sum."""
        found = {}
        for key, values in self.values.items():
            mean = float(mean_of_finite(np.array(values)[:, None])[0])
            found[key] = mean if QUANTITIES[key[2]].statistic != "sum" else sum(values)
        return found


def listed(column_V: NDArray[np.float64]) -> list[float | None]:
    """Return a column as JSON holds it."""
    return [None if np.isnan(value) else float(value) for value in column_V]


def table_name(method: str, about: Mapping[str, Any]) -> str:
    """Return the file name of a table that was made from all this: another cause is another name."""
    digits = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
    return f"{method}-{digits}.json"
