"""Drawing: maps over frames as heat with a contour, labels, and the strip of the papers' figures."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Picture = NDArray[np.uint8]
"""(Y, X, 3) RGB, with axes before them where there are several."""

# Heat runs through a curve between these colours, dark to bright, so that it reads on paper and for the colour-blind.
COLOURS = np.array([[20, 10, 60], [170, 0, 140], [255, 100, 0], [255, 255, 150]], dtype=np.float64)
LABEL_HEIGHT = 24


def stretch(map_TYX: NDArray[np.float32], low: float | None = None, high: float | None = None) -> NDArray[np.float32]:
    """Stretch the map of a clip to [0, 1] over all its frames, so that frames stay comparable; a flat one becomes zeros.

    `low` and `high` are the ends where the clip is part of something longer.
    """
    low = float(map_TYX.min()) if low is None else low
    high = float(map_TYX.max()) if high is None else high
    return (map_TYX - low) / (high - low) if high > low else np.zeros_like(map_TYX)


def heat_colours(heat: NDArray[np.float32]) -> Picture:
    """Return (..., 3) RGB of values in [0, 1]: the Bezier polynomial of degree 3 through the first and last of `COLOURS`."""
    heat = heat[..., None].astype(np.float64)
    weights = ((1 - heat) ** 3, 3 * heat * (1 - heat) ** 2, 3 * heat**2 * (1 - heat), heat**3)
    return np.rint(sum(weight * colour for weight, colour in zip(weights, COLOURS, strict=True))).astype(np.uint8)


def overlay(frames_TYXC: Picture, map_TYX: NDArray[np.float32], *, opacity: float = 0.5, contour: float | None = 0.5) -> Picture:
    """Lay a map with values in [0, 1] over frames as heat, with a white line where it crosses `contour`."""
    if frames_TYXC.shape[:-1] != map_TYX.shape:
        raise ValueError(f"The map is {map_TYX.shape} and the frames are {frames_TYXC.shape[:-1]}; enlarge it with objabn.explain first.")
    mixed = np.rint((1 - opacity) * frames_TYXC + opacity * heat_colours(map_TYX)).astype(np.uint8)
    if contour is not None:
        mixed[outline(map_TYX >= contour)] = 255
    return mixed


def outline(is_inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the cells of (..., Y, X) regions that touch a cell outside above, below, left or right; the border is no outside."""
    edges = [(0, 0)] * (is_inside.ndim - 2) + [(1, 1), (1, 1)]
    around = np.pad(is_inside, edges, mode="edge")
    above, below = around[..., :-2, 1:-1], around[..., 2:, 1:-1]
    left, right = around[..., 1:-1, :-2], around[..., 1:-1, 2:]
    return is_inside & ~(above & below & left & right)


def with_label(picture: Picture, text: str) -> Picture:
    """Return the picture under a dark bar with text."""
    bar = Image.new("RGB", (picture.shape[1], LABEL_HEIGHT), (24, 24, 24))
    ImageDraw.Draw(bar).text((6, 4), text, fill=(255, 255, 255), font=ImageFont.load_default(14))
    return np.concatenate([np.asarray(bar), picture])


def strip(
    frames_TYXC: Picture,
    maps_NTYX: NDArray[np.float32],
    names: Sequence[str],
    *,
    title: str,
    every: int = 2,
    opacity: float = 0.5,
    contour: float | None = 0.5,
    ranges: NDArray[np.float32] | None = None,
) -> Picture:
    """Return the figure of a clip: a row of every second frame, and for each map a row with its heat over them.

    Each row has a bar with its name and the range of the map's values, which are stretched to it: that of these frames, or
    `ranges` (2, N) of a longer video; the title stands on top.
    """
    low_N, high_N = ranges if ranges is not None else (maps_NTYX.min((1, 2, 3)), maps_NTYX.max((1, 2, 3)))
    shown_TYXC = frames_TYXC[::every]
    rows = [with_label(np.concatenate(list(shown_TYXC), axis=1), title)]
    for map_TYX, name, low, high in zip(maps_NTYX[:, ::every], names, low_N, high_N, strict=True):
        heat_TYXC = overlay(shown_TYXC, stretch(map_TYX, low, high), opacity=opacity, contour=contour)
        rows.append(with_label(np.concatenate(list(heat_TYXC), axis=1), described(name, low, high)))
    return np.concatenate(rows)


def magnify(pictures: NDArray[Any], axes_YX: tuple[int, int], *, least_pixels: int = 128) -> NDArray[Any]:
    """Repeat pixels so often that small pictures have `least_pixels` rows; larger ones stay as they are."""
    times = max(1, -(-least_pixels // pictures.shape[axes_YX[0]]))
    return pictures.repeat(times, axes_YX[0]).repeat(times, axes_YX[1])


def describe(name: str, map_TYX: NDArray[np.float32]) -> str:
    """Return a map's name with the range of its values."""
    return described(name, float(map_TYX.min()), float(map_TYX.max()))


def described(name: str, low: float, high: float) -> str:
    """Return a map's name with a range of values."""
    return f"{name}  {low:.2f} to {high:.2f}"
