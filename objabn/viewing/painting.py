"""Painting on maps: strokes and whole regions, each undone by one step."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from objabn.explainers.intervention import frame_groups

Maps = NDArray[np.float32]
"""(N, T, y, x), or fewer axes."""
Change = Literal["keep", "remove", "invert", "open"]
MOST_STEPS = 100
"""Steps that can be undone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Brush:
    """How a stroke changes what it covers."""

    radius: float = 0.08
    """In sides of the picture."""
    strength: float = 1.0
    """How far a stroke moves a value, from 0 (not at all) to 1 (all the way)."""
    is_eraser: bool = False
    """Values go to 0 and not to 1."""


class MapEditor:
    """The maps of a clip while somebody changes them; `own` are those that the network drew.

    A backbone that merges frames draws one map for several: `drawn_frames` tells of each map how many there are, and what is
    done to a frame is done to all that share its map.
    """

    def __init__(self, own_NTyx: Maps, drawn_frames: Sequence[int], *, open_value: float = 1.0) -> None:
        self.own = own_NTyx
        self.maps = own_NTyx.copy()
        self.open_value = open_value
        self.groups = [frame_groups(own_NTyx.shape[1], count) for count in drawn_frames]
        self.steps: list[Maps] = []
        # Of the stroke that is being drawn: the maps before it, and what it has covered.
        self.before: Maps | None = None
        self.weights = np.zeros(own_NTyx.shape[2:], np.float32)

    def stroke(self, place: int, points: Sequence[Sequence[float]], brush: Brush, *, frame: int | None, is_new: bool) -> None:
        """Draw along points (x, y) in [0, 1] on the map at a place, in one frame or (None) in all.

        A stroke may come in pieces, of which the first is new; it covers no cell more than once.
        """
        if is_new or self.before is None:
            self.remember()
            self.before, self.weights = self.steps[-1], np.zeros_like(self.weights)
        self.weights = np.maximum(self.weights, stroke_weights(points, brush.radius, self.weights.shape))
        frames = self.together(place, frame)
        before_Tyx = self.before[place, frames]
        target = 0.0 if brush.is_eraser else 1.0
        self.maps[place, frames] = before_Tyx + brush.strength * self.weights * (target - before_Tyx)

    def change(self, place: int, change: Change, is_inside_Tyx: NDArray[np.bool_], *, frame: int | None) -> None:
        """Keep only what is inside, remove it, turn values round, or open the map: it then hides nothing."""
        self.remember()
        frames = self.together(place, frame)
        values, is_inside = self.maps[place, frames], is_inside_Tyx[frames]
        self.maps[place, frames] = {
            "keep": np.where(is_inside, values, 0),
            "remove": np.where(is_inside, 0, values),
            "invert": 1 - values,
            "open": np.full_like(values, self.open_value),
        }[change]

    def undo(self) -> None:
        """Take back the last step, if there is one."""
        if self.steps:
            self.maps, self.before = self.steps.pop(), None

    def reset(self) -> None:
        """Go back to the network's own maps; this can be undone."""
        if self.is_edited:
            self.remember()
            self.maps = self.own.copy()

    @property
    def is_edited(self) -> bool:
        """Whether any value differs from the network's own."""
        return not np.array_equal(self.maps, self.own)

    def edited_frames(self, place: int) -> list[bool]:
        """Return of each frame whether the map at a place differs from the network's own."""
        return [bool(differs) for differs in (self.maps[place] != self.own[place]).any((1, 2))]

    def together(self, place: int, frame: int | None) -> list[int]:
        """Return the frames that share the map of a frame, or (None) all frames."""
        groups = self.groups[place]
        return [each for group in groups if frame is None or frame in group for each in group]

    def remember(self) -> None:
        """Keep the maps as they are, to be returned to."""
        self.steps, self.before = [*self.steps[1 - MOST_STEPS :], self.maps.copy()], None


def stroke_weights(points: Sequence[Sequence[float]], radius: float, size_yx: tuple[int, ...]) -> NDArray[np.float32]:
    """Return how much of each cell (y, x) a round brush covers along points (x, y) in [0, 1].

    1 within the radius, 0 beyond it, and linear over the width of a cell in between; no brush is narrower than a cell.
    """
    rows, columns = size_yx
    cell = 1 / max(rows, columns)
    y, x = (np.arange(count) + 0.5 for count in size_yx)
    centres_yx2 = np.stack(np.broadcast_arrays((x / columns)[None, :], (y / rows)[:, None]), -1)
    corners = np.asarray(points, np.float64).reshape(-1, 2)
    distance = np.full(size_yx, np.inf)
    for start, end in zip(corners, [*corners[1:], corners[-1]], strict=True):
        along = end - start
        share = ((centres_yx2 - start) @ along / max(float(along @ along), 1e-12)).clip(0, 1)
        distance = np.minimum(distance, np.linalg.norm(centres_yx2 - start - share[..., None] * along, axis=-1))
    return ((max(radius, cell / 2) - distance) / cell + 0.5).clip(0, 1).astype(np.float32)
