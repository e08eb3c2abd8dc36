"""Fragmented MP4 taken apart at its boxes, and put together again from any of its fragments."""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def boxes(data: bytes) -> list[tuple[bytes, int, int]]:
    """Return (type, start, stop) of the top-level boxes (ISO/IEC 14496-12 section 4.2)."""
    found, start = [], 0
    while start + 8 <= len(data):
        size = int.from_bytes(data[start : start + 4], "big")
        if not 8 <= size <= len(data) - start:
            raise RuntimeError(f"The MP4 is damaged: at byte {start} it has a box of {size} bytes, which must lie inside the file.")
        found.append((data[start + 4 : start + 8], start, start + size))
        start += size
    return found


def split_fragments(data: bytes) -> list[bytes]:
    """Cut a fragmented MP4 into its init segment and one piece (moof + mdat) per fragment."""
    starts = [start for kind, start, _ in boxes(data) if kind == b"moof"]
    trailer = [start for kind, start, _ in boxes(data) if kind == b"mfra"]
    edges = [0, *starts, trailer[0] if trailer else len(data)]
    return [data[start:stop] for start, stop in itertools.pairwise(edges)]


def join_fragments(
    init: NDArray[np.uint8], fragments: Sequence[NDArray[np.uint8]], timed: Sequence[NDArray[np.uint8]]
) -> NDArray[np.uint8]:
    """Put fragments after an init segment, giving each the decode time that its counterpart in `timed` has."""
    data = np.concatenate([init, *fragments])
    start = len(init)
    for fragment, counterpart in zip(fragments, timed, strict=True):
        place = time_field(fragment)
        data[start + place.start : start + place.stop] = counterpart[time_field(counterpart)]
        start += len(fragment)
    return data


def time_field(fragment: NDArray[np.uint8]) -> slice:
    """Return where a fragment holds its 64-bit base media decode time (box `tfdt`, version 1)."""
    head = fragment[:512].tobytes()
    start = head.find(b"tfdt")
    if start < 0 or head[start + 4] != 1:
        raise RuntimeError("The MP4 is damaged: a fragment has no decode time (box tfdt, version 1).")
    return slice(start + 8, start + 16)
