"""Fewer videos than there are: spread over the classes, and the same ones whoever asks."""

import zlib

import numpy as np
from numpy.typing import NDArray

from objabn.data.index import Index


def spread_videos(index: Index, rows: NDArray[np.int64], count: int | None) -> NDArray[np.int64]:
    """Return `count` of the rows in ascending order: one of each class, then a second, and so on; more contain fewer.

    Which one of a class is told by a hash of its name, since neighbours in a list are often pieces of one recording; ValueError for none.
    """
    if count is None or count >= len(rows):
        return rows
    if count < 1:
        raise ValueError(f"--videos {count} is not possible; it must be 1 or more.")
    waiting: dict[int, list[int]] = {}
    for row in sorted(rows.tolist(), key=lambda row: zlib.crc32(index.name(row).encode(errors="surrogateescape"))):
        waiting.setdefault(int(index.label[row]), []).append(row)
    rounds = [(turn, row) for of_class in waiting.values() for turn, row in enumerate(of_class)]
    # A stable sort keeps the order of classes, which is that of their first hashes, within each turn.
    return np.sort(np.array([row for _, row in sorted(rounds, key=lambda pair: pair[0])[:count]], np.int64))
