"""The masks of a packed dataset as videos, which is how a loader that reads nothing but videos must be given them."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

from objabn.data.dataset import PackedDataset
from objabn.machine import thread_count

BLACK, WHITE, NO_COLOUR = 16, 235, 128
"""Limited range."""
THRESHOLD = 127
"""Red above this is mask: no pixel changed sides in masks of UCF101 that were written and read again."""
KEY_FRAME_DISTANCE = 12
"""Frames; DALI's maintainers advise 5 to 15."""
VP9 = {"crf": "20", "b": "0", "g": str(KEY_FRAME_DISTANCE), "deadline": "realtime", "cpu-used": "8", "threads": "1"}
ONE_FRAME_A_PACKET = {"lag-in-frames": "0", "auto-alt-ref": "0"}


def write_mask_videos(dataset: PackedDataset, rows: NDArray[np.int64], folder: Path) -> list[Path]:
    """Write one VP9 video for each row, with as many frames as were packed, and return their paths in the order of `rows`."""
    paths = [folder / f"{row}.webm" for row in rows.tolist()]
    with ThreadPoolExecutor(thread_count()) as pool:
        list(pool.map(partial(write_mask_video, dataset), rows.tolist(), paths))
    return paths


def write_mask_video(dataset: PackedDataset, row: int, path: Path) -> None:
    """Write the masks of one video, white on black; an odd last row or column is left out."""
    with av.open(os.fspath(path), "w") as container:
        rate = Fraction(float(dataset.index.fps[row])).limit_denominator(1001)
        stream = cast(VideoStream, container.add_stream("libvpx-vp9", rate=rate, options=VP9 | ONE_FRAME_A_PACKET))
        stream.height, stream.width, stream.pix_fmt = dataset.index.height[row] // 2 * 2, dataset.index.width[row] // 2 * 2, "yuv420p"
        for planes in mask_planes(dataset, row):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")))
        container.mux(stream.encode(None))


def mask_planes(dataset: PackedDataset, row: int, *, frames_at_once: int = 32) -> Iterator[NDArray[np.uint8]]:
    """Yield each mask as yuv420p planes below each other, (Y * 3 / 2, X)."""
    count = int(dataset.index.frames[row])
    for start in range(0, count, frames_at_once):
        for mask in dataset.masks(row, np.arange(start, min(start + frames_at_once, count))).mask:
            height, width = mask.shape[0] // 2 * 2, mask.shape[1] // 2 * 2
            planes = np.full((height * 3 // 2, width), NO_COLOUR, np.uint8)
            planes[:height] = np.where(mask[:height, :width], WHITE, BLACK)
            yield planes
