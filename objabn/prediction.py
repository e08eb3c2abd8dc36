"""What a network says of whole videos and of cameras: scores of classes, of each clip and of all together."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from objabn.config import DataConfig
from objabn.explainers.streams import Counted, measure, moments_of
from objabn.explainers.windows import Clips, Window, needed_rate, slide, spread
from objabn.models.network import AttentionNetwork, evaluating
from objabn.training.precision import as_float32

Probabilities = NDArray[np.float64]
"""(K,) in [0, 1]."""


class ClipAnswer(NamedTuple):
    """What a network says of one clip."""

    first_frame: int
    last_frame: int
    begin: float
    end: float
    """Seconds at which these frames are shown."""
    probabilities: Probabilities
    """Mean of the softmax over the crops."""


class VideoAnswer(NamedTuple):
    """What a network says of a video."""

    frames: int
    """Of the whole video."""
    seconds: float
    clips: tuple[ClipAnswer, ...]

    @property
    def probabilities(self) -> Probabilities:
        """Mean over the clips, as `objabn evaluate` takes it."""
        return np.mean([clip.probabilities for clip in self.clips], 0)


def predict_video(
    net: AttentionNetwork,
    video: Path,
    data: DataConfig,
    *,
    clips: Clips = 1,
    crops: int = 1,
    on_progress: Callable[[float], None] | None = None,
) -> VideoAnswer:
    """Return what a network says of a video file or a folder of frames; `clips` and `crops` as of `read_windows`.

    One clip and one crop are those of `objabn evaluate`, but for the compression of the packed dataset. Raises as `read_windows` does.
    """
    data = dataclasses.replace(data, views=(1 if clips == "all" else clips, crops))
    if clips == "all":
        counted = Counted(moments_of(video))
        found = tuple(answers(net, slide(counted, data, needed_rate(video, data)), data, on_progress))
        return VideoAnswer(counted.frames, counted.seconds, found)
    extent = measure(video)
    found = tuple(answers(net, spread(video, extent, data), data, on_progress))
    return VideoAnswer(extent.frames, float(extent.frames / extent.fps), found)


def answers(
    net: AttentionNetwork, windows: Iterable[Window], data: DataConfig, on_progress: Callable[[float], None] | None = None
) -> Iterator[ClipAnswer]:
    """Yield what a network says of each window, as soon as it is read."""
    place = next(net.parameters()).device
    for window in windows:
        with torch.inference_mode(), evaluating(net):
            logits_CK = as_float32(net(window.clips(data.crop_size).to(place))).logits
        probabilities_K = logits_CK.double().softmax(1).mean(0).cpu().numpy()
        first, last = int(window.frames.min()), int(window.frames.max())
        yield ClipAnswer(first, last, float(window.seconds.min()), float(window.seconds.max()), probabilities_K)
        if on_progress is not None:
            on_progress(window.share)


def likeliest(class_names: Sequence[str], probabilities_K: Probabilities, *, top: int) -> list[dict[str, Any]]:
    """Return the classes of the highest probabilities, of equal ones the lower number first."""
    order = np.argsort(-probabilities_K, kind="stable")[:top].tolist()
    return [{"class": class_names[number], "number": number, "probability": round(float(probabilities_K[number]), 6)} for number in order]


def class_names_of(net: AttentionNetwork) -> tuple[str, ...]:
    """Return the names of a network's classes, or numbers where it knows none."""
    return net.class_names or tuple(f"class {number}" for number in range(net.classes))
