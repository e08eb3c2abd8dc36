"""What was found in a video, window by window: small numbers in memory, pictures and maps on disk, so that length costs no memory."""

import io
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from objabn.explainers.explanation import Explanation
from objabn.explainers.maps_file import from_levels, to_levels, write_maps
from objabn.explainers.panels import PANEL
from objabn.explainers.windows import Window

PICTURE_QUALITY = 95
"""Of the JPEGs in which the pictures wait to be drawn on."""


class Found(NamedTuple):
    """What stands in memory of a window."""

    frames: NDArray[np.int64]
    """(T,)."""
    seconds: NDArray[np.float64]
    """(T,)."""
    logits: NDArray[np.float32]
    """(K,)."""
    explained: int
    """Number of the class that is explained."""
    low: NDArray[np.float32]
    """(N,) lowest value of each map."""
    high: NDArray[np.float32]
    """(N,) highest value of each map."""

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """(K,)."""
        return torch.from_numpy(self.logits).double().softmax(0).numpy()


class Recording:
    """Windows of one video with their maps; the files that hold them have no name and go with the process, however it ends."""

    def __init__(self, folder: Path, *, clip_size: int, is_continuous: bool = False, longest_pause: float = float("inf")) -> None:
        """Begin with no window.

        `is_continuous` says that windows follow each other; frames of a film stand at most `longest_pause` seconds.
        """
        self.clip_size, self.is_continuous, self.longest_pause = clip_size, is_continuous, longest_pause
        self.picture_size = PANEL
        self.names: tuple[str, ...] = ()
        self.windows: list[Found] = []
        self.rois: list[list[float]] = []
        self.levels = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  (closed with the recording)
        self.jpegs = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self.places: list[list[tuple[int, int]]] = []
        """Start and length of each picture of each window."""

    def __enter__(self) -> "Recording":
        return self

    def __exit__(self, *_: object) -> None:
        self.levels.close()
        self.jpegs.close()

    def add(self, window: Window, clip: Tensor, explanations: list[Explanation]) -> None:
        """Keep a window, the clip (1, 3, T, Y, X) that the network saw of it, and its explanations, all with the same names each time."""
        self.names = unique([name for found in explanations for name in found.names])
        maps_NTYX = torch.cat([found.maps[0] for found in explanations]).float().cpu().numpy()
        low, high = maps_NTYX.min((1, 2, 3)), maps_NTYX.max((1, 2, 3))
        self.levels.write(to_levels(maps_NTYX, *(each[:, None, None, None] for each in (low, high))).tobytes())
        first = explanations[0]
        logits_K = first.logits[0].detach().float().cpu().numpy()
        self.windows.append(Found(window.frames, window.seconds, logits_K, int(first.classes[0]), low, high))
        self.rois = window.rois.tolist()
        shown = clip if self.picture_size == self.clip_size else window.clips(self.picture_size)
        self.places.append([self.keep_picture(picture_YXC) for picture_YXC in shown[0].permute(1, 2, 3, 0).numpy()])

    def keep_picture(self, picture_YXC: NDArray[np.uint8]) -> tuple[int, int]:
        """Write a picture behind the others and return where it stands."""
        buffer = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(picture_YXC)).save(buffer, "JPEG", quality=PICTURE_QUALITY, subsampling=0)
        start = self.jpegs.seek(0, io.SEEK_END)
        return start, self.jpegs.write(buffer.getbuffer())

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """M, N, T, Y, X of all maps."""
        return len(self.windows), len(self.names), len(self.windows[0].frames), self.clip_size, self.clip_size

    def pictures(self, window: int) -> NDArray[np.uint8]:
        """Return (T, Y, X, 3) the crop that the network saw of a window, as large as pictures are shown."""
        shown = []
        for start, length in self.places[window]:
            self.jpegs.seek(start)
            shown.append(np.asarray(Image.open(io.BytesIO(self.jpegs.read(length)))))
        return np.stack(shown)

    def maps(self, window: int) -> NDArray[np.float32]:
        """Return (N, T, Y, X) the maps of a window."""
        shape = self.shape[1:]
        size = int(np.prod(shape))
        self.levels.seek(window * size)
        levels = np.frombuffer(self.levels.read(size), np.uint8).reshape(shape)
        low, high = (each[:, None, None, None] for each in (self.windows[window].low, self.windows[window].high))
        return from_levels(levels, low, high)

    def ranges(self) -> NDArray[np.float32]:
        """Return (2, N) the lowest and the highest value of each map in the whole video."""
        return np.stack([np.min([w.low for w in self.windows], 0), np.max([w.high for w in self.windows], 0)])

    def stretched(self, window: int) -> NDArray[np.float32]:
        """Return (N, T, Y, X) the maps of a window stretched to [0, 1] over the whole video, so that all its frames compare."""
        low, high = (each[:, None, None, None] for each in self.ranges())
        return (self.maps(window) - low) / np.where(high > low, high - low, 1)

    def write_maps(self, path: Path, about: dict[str, Any]) -> None:
        """Write all maps to a file for `read_maps`."""
        columns = [np.stack(column) for column in zip(*self.windows, strict=True)]
        tensors = dict(zip(("frames", "seconds", "logits", "classes", "low", "high"), columns, strict=True))
        described = about | {"map_names": self.names, "rois": self.rois}
        write_maps(path, self.levels, self.shape, tensors, described)


def unique(names: list[str]) -> tuple[str, ...]:
    """Return names of which none occurs twice: the second of a name gets a number."""
    return tuple(name if name not in names[:place] else f"{name} {names[:place].count(name) + 1}" for place, name in enumerate(names))
