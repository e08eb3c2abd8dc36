"""What the frames of a film are put together from: text, bars of scores, and a chart of scores over time."""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

GROUND, PLATE, DIM, BRIGHT = (16, 16, 19), (38, 38, 44), (150, 150, 158), (240, 240, 240)
"""Colours of what lies between panels, of what text stands on, of side remarks and of text."""
CLASS_COLOURS = ((86, 180, 233), (230, 159, 0), (0, 190, 140), (240, 228, 66), (214, 130, 180))
"""Of the classes that are followed, the likeliest first: after Okabe and Ito, told apart by the colour-blind too."""
LABEL_HEIGHT, HEADER_HEIGHT, CHART_HEIGHT = 22, 30, 118
TEXT_SIZE = 13
PANEL, GAP = 256, 4
"""Pixels of the sides of panels, and between them."""
CHART_LEFT, CHART_BOTTOM, CHART_EDGE = 48, 20, 12
"""Pixels left of the chart's curves, below them, and around the others."""


class Span(NamedTuple):
    """One window in a chart."""

    begin: float
    end: float
    """Seconds."""
    scores: NDArray[np.float64]
    """(C,) of the classes that are followed, in [0, 1]."""


@cache
def font(size: int = TEXT_SIZE) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """Return the font that comes with Pillow."""
    return ImageFont.load_default(size)


def fitting(text: str, width: float, size: int = TEXT_SIZE) -> str:
    """Return text cut, with an ellipsis in its middle, so that it takes at most `width` pixels."""
    if font(size).getlength(text) <= width:
        return text
    kept = len(text) - 1
    while kept > 1 and font(size).getlength(shortened(text, kept)) > width:
        kept -= 1
    return shortened(text, kept)


def shortened(text: str, kept: int) -> str:
    """Return the first and the last of `kept` letters of a text around an ellipsis."""
    return f"{text[: kept - kept // 3]}…{text[len(text) - kept // 3 :]}"


def draw_text(
    draw: ImageDraw.ImageDraw,
    left: float,
    middle: float,
    text: str,
    *,
    anchor: str = "lm",
    fill: tuple[int, ...] = BRIGHT,
    size: int = TEXT_SIZE,
) -> None:
    """Write one line of text whose middle stands at a height."""
    draw.text((left, middle), text, fill=fill, font=font(size), anchor=anchor)


def draw_label(draw: ImageDraw.ImageDraw, left: int, top: int, width: int, text: str, remark: str = "") -> None:
    """Write a name over a panel, and a remark at its right end where there is room."""
    middle, room = top + LABEL_HEIGHT / 2, width - 12
    name = fitting(text, room)
    draw_text(draw, left + 6, middle, name)
    if font().getlength(name) + font().getlength(remark) + 12 <= room:
        draw_text(draw, left + width - 6, middle, remark, anchor="rm", fill=DIM)


def draw_scores(
    draw: ImageDraw.ImageDraw, left: int, top: int, size: int, names: Sequence[str], scores: Sequence[float], *, explained: str = ""
) -> None:
    """Draw a bar for each class in a square; a mark stands before the one that is explained."""
    row = size / len(CLASS_COLOURS)
    thick = max(4, round(row * 0.2))
    draw.rectangle((left, top, left + size - 1, top + size - 1), fill=PLATE)
    for place, (name, score, colour) in enumerate(zip(names, scores, CLASS_COLOURS, strict=False)):
        middle = top + place * row + row * 0.32
        percent = f"{100 * score:.1f} %"
        shown = f"> {name}" if name == explained else name
        draw_text(draw, left + 10, middle, fitting(shown, size - 34 - font().getlength(percent)))
        draw_text(draw, left + size - 10, middle, percent, anchor="rm")
        bar_top = top + place * row + row * 0.56
        draw.rectangle((left + 10, bar_top, left + size - 11, bar_top + thick), fill=GROUND)
        if (length := round((size - 21) * score)) > 0:
            draw.rectangle((left + 10, bar_top, left + 10 + length, bar_top + thick), fill=colour)


class Chart:
    """The scores of the followed classes over the time of a video, a step for each window."""

    def __init__(self, spans: Sequence[Span], *, left: int, top: int, width: int) -> None:
        self.spans, self.left, self.top, self.width = spans, left, top, width
        self.end = max(1e-6, *(span.end for span in spans))

    def x(self, seconds: float) -> float:
        """Return the column of a time."""
        return self.left + CHART_LEFT + (self.width - CHART_LEFT - CHART_EDGE) * min(seconds / self.end, 1.0)

    def y(self, score: float) -> float:
        """Return the row of a score."""
        room = CHART_HEIGHT - CHART_BOTTOM - CHART_EDGE
        return self.top + CHART_EDGE + room * (1 - score)

    def draw(self, draw: ImageDraw.ImageDraw) -> None:
        """Draw all but the cursor."""
        draw.rectangle((self.left, self.top, self.left + self.width - 1, self.top + CHART_HEIGHT - 1), fill=PLATE)
        for score in (0.0, 0.5, 1.0):
            draw.line((self.x(0), self.y(score), self.x(self.end), self.y(score)), fill=(70, 70, 78))
            draw_text(draw, self.left + CHART_LEFT - 6, self.y(score), f"{100 * score:.0f} %", anchor="rm", fill=DIM, size=11)
        for seconds, text in ticks(self.end):
            draw.line((self.x(seconds), self.y(0), self.x(seconds), self.y(0) + 4), fill=DIM)
            draw_text(draw, self.x(seconds), self.y(0) + 12, text, anchor="mm", fill=DIM, size=11)
        # The likeliest class is drawn last, over the others.
        for place in reversed(range(len(self.spans[0].scores))):
            points = [point for span in self.spans for point in self.step(span, place)]
            draw.line(points, fill=CLASS_COLOURS[place], width=2)

    def step(self, span: Span, place: int) -> list[tuple[float, float]]:
        """Return both ends of a window's step."""
        height = self.y(float(span.scores[place]))
        return [(self.x(span.begin), height), (self.x(span.end), height)]

    def draw_cursor(self, draw: ImageDraw.ImageDraw, seconds: float) -> None:
        """Mark a time."""
        column = self.x(seconds)
        draw.line((column, self.y(1) - 5, column, self.y(0) + 3), fill=BRIGHT, width=2)


def ticks(end: float, most: int = 8) -> list[tuple[float, str]]:
    """Return round times from 0 to the end with their names, at most `most` beside the first."""
    steps = (0.001, 0.01, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200)
    step = next((step for step in steps if end / step <= most), end / most)
    times = [place * step for place in range(int(end / step + 1e-9) + 1)]
    return [(time, clock(time) if step >= 1 else f"{time:.4g} s") for time in times]


def clock(seconds: float, *, tenths: bool = False) -> str:
    """Return a time as people write it: 0:07, 12:34, 1:02:03; with tenths 0:07.3."""
    tenth = round(10 * seconds) if tenths else 10 * int(seconds)
    hours, minutes, whole = tenth // 36000, tenth // 600 % 60, tenth // 10 % 60
    end = f"{whole:02d}" + (f".{tenth % 10}" if tenths else "")
    return f"{hours}:{minutes:02d}:{end}" if hours else f"{minutes}:{end}"


def blank(width: int, height: int) -> Image.Image:
    """Return an empty ground."""
    return Image.new("RGB", (width, height), GROUND)
