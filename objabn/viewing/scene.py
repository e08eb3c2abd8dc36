"""One clip on the page: what the network answers to it, and to its maps as somebody edits them; nothing here knows of a page."""

from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from time import perf_counter
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from objabn.explainers import explain
from objabn.explainers.intervention import Intervention
from objabn.explainers.windows import Window
from objabn.metrics import attention_entropy
from objabn.models.network import AttentionNetwork
from objabn.viewing.painting import Brush, Change, MapEditor, Maps


class ShownMap(NamedTuple):
    """A map as the page shows it."""

    values: Maps
    """(T, y, x) in [0, 1]."""
    low: float
    """Least value before anybody edited it, where stretched colours begin; those of edited maps then stay comparable."""
    high: float
    """Largest value before anybody edited it."""
    entropies: list[float]
    """(T,) bits."""
    edited: list[bool]
    """(T,)."""
    is_editable: bool
    """Whether the network goes by it, so that painting on it means something."""


class View(NamedTuple):
    """What of a map is looked at."""

    frame: int = 0
    threshold: float = 0.5
    is_stretched: bool = True
    """Whether colours and threshold go from the map's own least value to its largest, and not from 0 to 1."""


class Bar(NamedTuple):
    """A class and its probability."""

    name: str
    probability: float
    own: float
    """Probability by the network's own maps."""


class Scene:
    """A clip, the network's answer, and the answer to edited maps. Methods that say so take a while and may run beside the others."""

    def __init__(self, net: AttentionNetwork, window: Window, size: int) -> None:
        """Look at the clip at size x size pixels; this takes a while."""
        self.net = net
        self.window = window
        clip_BCTYX = window.clips(size)[:1]
        self.frames_TYXC: NDArray[np.uint8] = clip_BCTYX[0].permute(1, 2, 3, 0).numpy()
        with torch.inference_mode():
            self.intervention = Intervention(net, clip_BCTYX)
            own = self.intervention.own
            self.own_K: NDArray[np.float32] = own.logits[0].float().softmax(0).cpu().numpy()
            own_NTyx: Maps = own.maps[0].float().cpu().numpy()
        self.clip_BCTYX = clip_BCTYX
        self.now_K = self.own_K
        self.seconds = 0.0
        self.explained: dict[str, Maps] = {}
        self.editor = MapEditor(own_NTyx, self.intervention.drawn_frames, open_value=self.intervention.open_value)

    def answer(self) -> None:
        """Have the network answer to the maps as they are; this takes a while."""
        maps_NTyx, start = self.editor.maps.copy(), perf_counter()
        with torch.inference_mode():
            self.now_K = self.intervention.answer(torch.from_numpy(maps_NTyx)[None]).logits[0].float().softmax(0).cpu().numpy()
        self.seconds = perf_counter() - start

    def explain(self, method: str, is_stopped: Callable[[], bool]) -> None:
        """Draw the map of a post-hoc method for the class that is predicted by the network's own maps; this takes a while.

        `is_stopped` is asked before each pass through the network, and ends it without a map.
        """
        if method in self.explained:
            return
        # Explainers hook into the network, which answers to others meanwhile.
        net = deepcopy(self.net)
        net.register_forward_pre_hook(lambda *_: refuse_to_go_on(is_stopped))
        with suppress(StoppedError):
            explanation = explain(net, self.clip_BCTYX, method=method)
            self.explained[method] = explanation.maps[0, 0].float().cpu().numpy()

    def has(self, name: str) -> bool:
        """Whether a map is the network's own, or was drawn by a method before."""
        return name in self.explained or name in self.net.map_names

    def shown(self, name: str) -> ShownMap:
        """Return a map that there is, as it is to be shown."""
        if name in self.explained:
            values = original = self.explained[name]
            edited = [False] * len(values)
        else:
            place = self.net.map_names.index(name)
            values, original, edited = self.editor.maps[place], self.editor.own[place], self.editor.edited_frames(place)
        entropies = attention_entropy(torch.from_numpy(values)).tolist()
        return ShownMap(values, float(original.min()), float(original.max()), entropies, edited, name not in self.explained)

    def stroke(self, name: str, points: list[list[float]], brush: Brush, *, frame: int | None, is_new: bool) -> None:
        """Draw on a map of the network, in one frame or (None) in all."""
        self.editor.stroke(self.net.map_names.index(name), points, brush, frame=frame, is_new=is_new)

    def change(self, name: str, change: Change, view: View, *, frame: int | None) -> None:
        """Change what is inside the contour, in one frame or (None) in all."""
        self.editor.change(self.net.map_names.index(name), change, is_inside(self.shown(name), view), frame=frame)

    def bars(self, count: int = 5) -> list[Bar]:
        """Return the most probable classes, most probable first; the one predicted by the network's own maps is among them."""
        best = np.argsort(-self.now_K, kind="stable")[:count].tolist()
        predicted = int(self.own_K.argmax())
        if predicted not in best:
            best[-1] = predicted
        return [Bar(class_name(self.net, number), float(self.now_K[number]), float(self.own_K[number])) for number in best]


class StoppedError(Exception):
    """Nobody waits for this any more."""


def refuse_to_go_on(is_stopped: Callable[[], bool]) -> None:
    """Raise StoppedError where a computation is stopped."""
    if is_stopped():
        raise StoppedError


def is_inside(shown: ShownMap, view: View) -> NDArray[np.bool_]:
    """Return which cells (T, y, x) the page draws inside the contour."""
    if not view.is_stretched:
        return shown.values >= view.threshold
    span = shown.high - shown.low
    return (shown.values - shown.low) / (span or 1) >= view.threshold


def class_name(net: AttentionNetwork, number: int) -> str:
    """Return the name of a class, or its number where classes have no names."""
    return net.class_names[number] if net.class_names else f"class {number}"
