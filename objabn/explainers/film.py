"""Films of explanations: the frames that the network saw, each map as heat and as contour, and the scores as they change."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch.nn import functional

from objabn.explainers.overlay import Picture, heat_colours, outline
from objabn.explainers.panels import (
    BRIGHT,
    CHART_HEIGHT,
    CLASS_COLOURS,
    DIM,
    GAP,
    HEADER_HEIGHT,
    LABEL_HEIGHT,
    Chart,
    Span,
    blank,
    clock,
    draw_label,
    draw_scores,
    draw_text,
    fitting,
    font,
)
from objabn.explainers.recording import Recording

HEAT = heat_colours(np.linspace(0, 1, 256, dtype=np.float32)).astype(np.uint16)
"""(256, 3) the colours of heat."""
MOST_COLUMNS = 7
"""Columns of a film, 1824 pixels; more maps stand below."""
CONTOUR, SHADE = (255, 226, 60), 0.45
"""The line around what lies above the threshold, and how bright what lies below it is shown."""


class Shot(NamedTuple):
    """One frame of a film."""

    window: int
    place: int
    """In the window."""
    frame: int
    """Number in the video."""
    seconds: float
    """In the video."""
    film_seconds: float
    """In the film."""


class Caption(NamedTuple):
    """What is written over a film."""

    video: str
    class_names: Sequence[str]
    """Of all K classes."""
    is_class_given: bool
    """Whether the class that is explained was asked for, and is not always the one predicted."""


def shots(recording: Recording) -> list[Shot]:
    """Return the frames of a film in order, as fast as in the video.

    Of windows that follow each other each frame is shown once; others are shown one by one, with no pause between them.
    """
    found: list[Shot] = []
    for number, window in enumerate(recording.windows):
        frames, places = np.unique(window.frames, return_index=True)
        usual = float(np.diff(window.seconds[places]).min(initial=1.0))
        for frame, place in zip(frames.tolist(), places.tolist(), strict=True):
            seconds, time, last = float(window.seconds[place]), 0.0, found[-1] if found else None
            if last is not None and recording.is_continuous and frame <= last.frame:
                continue
            if last is not None:
                is_next = recording.is_continuous or last.window == number
                time = last.film_seconds + min(seconds - last.seconds if is_next else usual, recording.longest_pause)
            found.append(Shot(number, place, frame, seconds, time))
    return found


class FilmDrawer:
    """Draws the frames of the film of one video."""

    def __init__(self, recording: Recording, caption: Caption, *, opacity: float, threshold: float) -> None:
        self.recording, self.caption, self.opacity, self.threshold = recording, caption, opacity, threshold
        self.side = recording.picture_size
        self.chances_MK = np.stack([window.probabilities for window in recording.windows])
        self.followed = np.argsort(-self.chances_MK.mean(0), kind="stable")[: len(CLASS_COLOURS)]
        pairs = len(recording.names) + 1
        blocks = -(-pairs // MOST_COLUMNS)
        self.columns = -(-pairs // blocks)
        self.width = self.columns * (self.side + GAP) + GAP
        chart_top = HEADER_HEIGHT + 2 * blocks * (LABEL_HEIGHT + self.side) + GAP
        self.chart = None
        if len(recording.windows) > 1:
            self.chart = Chart(self.spans(), left=GAP, top=chart_top, width=self.width - 2 * GAP)
        height = chart_top + (CHART_HEIGHT + GAP if self.chart else 0)
        self.ground = self.draw_ground(height + height % 2)

    def spans(self) -> list[Span]:
        """Return the windows of the chart: those that overlap share that time, and each lasts until the next where that is near."""
        windows = self.recording.windows
        gap = float(np.diff(np.unique(windows[0].seconds)).max(initial=0))
        begins, ends = ([float(extreme(window.seconds)) for window in windows] for extreme in (np.min, np.max))
        for number in range(1, len(windows)):
            begin, end = begins[number], ends[number - 1]
            if begin <= end and not self.recording.is_continuous:
                begins[number] = ends[number - 1] = (begin + end) / 2
            elif begin <= end + 2 * gap:
                begins[number] = ends[number - 1] = max(begin, end)
        return [Span(*each) for each in zip(begins, ends, self.chances_MK[:, self.followed], strict=True)]

    def corner(self, pair: int, row: int) -> tuple[int, int]:
        """Return left and top of a panel with its label: pairs of panels stand side by side, one below the other, in blocks of columns."""
        block, column = divmod(pair, self.columns)
        return GAP + column * (self.side + GAP), HEADER_HEIGHT + (2 * block + row) * (LABEL_HEIGHT + self.side)

    def draw_ground(self, height: int) -> Image.Image:
        """Draw what is the same in all frames."""
        ground = blank(self.width, height)
        draw = ImageDraw.Draw(ground)
        draw_label(draw, *self.corner(0, 0), self.side, "what the network sees")
        draw_label(draw, *self.corner(0, 1), self.side, "answer")
        for pair, (name, low, high) in enumerate(zip(self.recording.names, *self.recording.ranges().tolist(), strict=True), 1):
            draw_label(draw, *self.corner(pair, 0), self.side, name, f"{low:.2f} to {high:.2f}")
            draw_label(draw, *self.corner(pair, 1), self.side, name, f"above {low + self.threshold * (high - low):.2f}")
        if self.chart:
            self.chart.draw(draw)
        return ground

    def frames(self, wanted: Sequence[Shot]) -> Iterator[tuple[Shot, Picture]]:
        """Yield the frames of the film for these shots, in the order of windows."""
        shown, panels, ground = -1, np.zeros(0, np.uint8), self.ground
        for shot in wanted:
            if shot.window != shown:
                shown, panels, ground = shot.window, self.panels(shot.window), self.with_answer(shot.window)
            yield shot, self.compose(ground, panels[:, shot.place], shot)

    def panels(self, window: int) -> Picture:
        """Return (1 + 2 N, T, Y, X, 3): the pictures of a window, and each map over them as heat, then as contour."""
        pictures_TYXC = self.recording.pictures(window)
        maps_NTYX = functional.interpolate(
            torch.from_numpy(self.recording.stretched(window)), (self.side, self.side), mode="bilinear"
        ).numpy()
        heats = [heat_over(pictures_TYXC, map_TYX, self.opacity) for map_TYX in maps_NTYX]
        contours = [contour_over(pictures_TYXC, map_TYX, self.threshold) for map_TYX in maps_NTYX]
        return np.stack([pictures_TYXC, *heats, *contours])

    def with_answer(self, window: int) -> Image.Image:
        """Return the ground with what the network says of a window."""
        ground = self.ground.copy()
        draw, chances_K = ImageDraw.Draw(ground), self.chances_MK[window]
        names = [self.caption.class_names[number] for number in self.followed]
        left, top = self.corner(0, 1)
        explained = self.caption.class_names[self.recording.windows[window].explained] if self.caption.is_class_given else ""
        draw_scores(draw, left, top + LABEL_HEIGHT, self.side, names, chances_K[self.followed].tolist(), explained=explained)
        self.draw_header(draw, int(chances_K.argmax()), float(chances_K.max()), explained)
        return ground

    def draw_header(self, draw: ImageDraw.ImageDraw, best: int, chance: float, explained: str) -> None:
        """Write the answer, what else is explained, and as far as there is room the video's name."""
        name, middle, size, clock_width = self.caption.class_names[best], HEADER_HEIGHT / 2, 16, 70
        text = f"{name}  {100 * chance:.1f} %" + (f", explained: {explained}" if explained not in ("", name) else "")
        answer = fitting(text, self.width - clock_width - 20, size)
        draw_text(draw, GAP + 6, middle, answer, size=size)
        room = self.width - clock_width - font(size).getlength(answer) - 40
        if room > 80:
            draw_text(draw, self.width - clock_width, middle, fitting(self.caption.video, room), anchor="rm", fill=DIM)

    def compose(self, ground: Image.Image, panels: Picture, shot: Shot) -> Picture:
        """Return one frame of the film."""
        image = ground.copy()
        draw = ImageDraw.Draw(image)
        draw_text(draw, self.width - 8, HEADER_HEIGHT / 2, clock(shot.seconds, tenths=True), anchor="rm", fill=BRIGHT)
        if self.chart:
            self.chart.draw_cursor(draw, shot.seconds)
        frame = np.asarray(image).copy()
        maps = len(self.recording.names)
        for place, panel_YXC in enumerate(panels):
            left, top = self.corner(place, 0) if place <= maps else self.corner(place - maps, 1)
            top += LABEL_HEIGHT
            frame[top : top + self.side, left : left + self.side] = panel_YXC
        return frame


def heat_over(pictures_TYXC: Picture, map_TYX: NDArray[np.float32], opacity: float) -> Picture:
    """Lay a map in [0, 1] over pictures as heat; `overlay` in whole numbers, without its line."""
    share = round(256 * opacity)
    heat_TYXC = HEAT[np.rint(255 * map_TYX.clip(0, 1)).astype(np.uint8)]
    return ((pictures_TYXC.astype(np.uint16) * np.uint16(256 - share) + heat_TYXC * np.uint16(share) + np.uint16(128)) >> 8).astype(
        np.uint8
    )


def contour_over(pictures_TYXC: Picture, map_TYX: NDArray[np.float32], threshold: float) -> Picture:
    """Draw a line around where a map in [0, 1] reaches a threshold, and show the rest darker."""
    is_inside = map_TYX >= threshold
    shaded = (pictures_TYXC * np.float32(SHADE)).astype(np.uint8)
    drawn = np.where(is_inside[..., None], pictures_TYXC, shaded)
    drawn[outline(is_inside) | outline(~is_inside)] = CONTOUR
    return drawn
