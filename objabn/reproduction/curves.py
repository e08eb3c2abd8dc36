"""How maps and answers become over the epochs: curves as an SVG picture."""

import math
from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

Values = dict[str, Any]
OF_MAPS = {"entropy": "Entropy of the map (bits)", "mask_iou": "IoU of the map with the masks"}
OF_NETWORK = {"top1": "Top-1 (%)", "nll": "NLL"}
PANELS = OF_MAPS | OF_NETWORK
NAMESPACE = ' xmlns="http://www.w3.org/2000/svg"'
COLOURS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2", "#97bbf5", "#9c6b4e", "#9498a0")
STYLE = """text{font:12px system-ui,sans-serif;fill:#222}.rule{stroke:#ddd}.title{font-weight:600}
@media(prefers-color-scheme:dark){text{fill:#ddd}.rule{stroke:#444}}"""
WIDTH, HEIGHT = 400, 260
"""Of a panel's field, in pixels."""
LEFT, TOP, GAP, FOOT = 44, 28, 32, 44
LEGEND_LINE = 18
EXPERIMENTS = 4
"""Most rows that are shown for a claim that does not hold."""


class Curve(NamedTuple):
    """A row's numbers after each epoch."""

    row: str
    map: str | None
    """The one whose numbers are shown, where there is any."""
    epochs: list[float]
    panels: dict[str, list[float]]
    """By name of `PANELS` what was measured, a value for each of the epochs."""

    @property
    def dash(self) -> str:
        """How its line is broken: whole for a row of the table."""
        return ' stroke-dasharray="5 3"' if "~" in self.row else ""


def picture(summary: Values) -> str:
    """Return the SVG picture of the rows of the table and of those that explain a claim; nothing where no row was judged twice."""
    shown = chosen_curves(summary)
    if not shown:
        return ""
    names = [name for name in PANELS if any(name in curve.panels for curve in shown)]
    panels = "".join(
        f'<g transform="translate({left_of(place)},{TOP + (place // 2) * (TOP + HEIGHT + FOOT)})">{panel(shown, name)}</g>'
        for place, name in enumerate(names)
    )
    below = math.ceil(len(names) / 2) * (TOP + HEIGHT + FOOT)
    width, height = left_of(1) + WIDTH + GAP, below + LEGEND_LINE * (1 + math.ceil(len(shown) / 2))
    return (
        f'<svg{NAMESPACE} viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f"<style>{STYLE}</style>{panels}{legend(shown, below + LEGEND_LINE)}</svg>\n"
    )


def left_of(place: int) -> int:
    """Return where the left or right one of two columns begins."""
    return LEFT + (place % 2) * (LEFT + WIDTH + GAP)


def chosen_curves(summary: Values) -> list[Curve]:
    """Return the curves of answers, and of M_o, or of M_u where there is no M_o."""
    explaining = {each["experiment"] for claim in summary["claims"] for each in (claim["explained_by"] or [])[:EXPERIMENTS]}
    found = []
    for row in summary["rows"]:
        name, line = next((name for name in ("M_o", "M_u") if name in row["maps"]), None), row["curve"]
        keys = {panel: f"{panel}_{name}" for panel in OF_MAPS} | {panel: panel for panel in OF_NETWORK}
        panels = {panel: line[key] for panel, key in keys.items() if len(line.get(key, [])) > 1}
        if panels and ("~" not in row["row"] or row["row"] in explaining):
            found.append(Curve(row["row"], name, line["epoch"], panels))
    return found


def panel(curves: Sequence[Curve], name: str) -> str:
    """Return one field with its axes and lines."""
    shown = {place: curve for place, curve in enumerate(curves) if name in curve.panels}
    epochs = max(curve.epochs[-1] for curve in shown.values())
    values = [value for curve in shown.values() for value in curve.panels[name]]
    levels, steps = ticks(min(values), max(values)), [step for step in ticks(1, epochs) if step == int(step) and step >= 1]
    low, high = levels[0], levels[-1]

    def x(epoch: float) -> float:
        return WIDTH * (epoch - 1) / (max(epochs, steps[-1]) - 1)

    def y(value: float) -> float:
        return HEIGHT * (high - value) / (high - low)

    rules = [
        f'<line class="rule" x2="{WIDTH}" y1="{y(level):.1f}" y2="{y(level):.1f}"/>'
        f'<text x="-6" y="{y(level) + 4:.1f}" text-anchor="end">{level:g}</text>'
        for level in levels
    ]
    marks = [f'<text x="{x(step):.1f}" y="{HEIGHT + 16}" text-anchor="middle">{step:g}</text>' for step in steps]
    lines = [
        f'<polyline fill="none" stroke-width="2" stroke="{colour(place)}"{curve.dash} points="'
        + " ".join(f"{x(epoch):.1f},{y(value):.1f}" for epoch, value in zip(curve.epochs, curve.panels[name], strict=True))
        + f'"><title>{escape(curve.row)}</title></polyline>'
        for place, curve in shown.items()
    ]
    texts = f'<text class="title" y="-12">{PANELS[name]}</text><text x="{WIDTH}" y="{HEIGHT + 32}" text-anchor="end">epoch</text>'
    return texts + "".join([*rules, *marks, *lines])


def legend(curves: Sequence[Curve], top: int) -> str:
    """Return the names of the lines in two columns from a height on."""
    found = []
    for place, curve in enumerate(curves):
        left, base = left_of(place), top + LEGEND_LINE * (place // 2)
        line = f'<line x1="{left}" x2="{left + 24}" y1="{base - 4}" y2="{base - 4}" stroke-width="2" stroke="{colour(place)}"{curve.dash}/>'
        name = curve.row if curve.map is None else f"{curve.row}, {curve.map}"
        found.append(f'{line}<text x="{left + 30}" y="{base}">{escape(name)}</text>')
    return "".join(found)


def colour(place: int) -> str:
    """Return the colour of a line."""
    return COLOURS[place % len(COLOURS)]


def ticks(low: float, high: float) -> list[float]:
    """Return round levels around a range, about five of them."""
    span = (high - low) or 1.0
    unit = 10 ** math.floor(math.log10(span / 4))
    step = next(factor * unit for factor in (1, 2, 5, 10) if span / (factor * unit) <= 5)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(place * step, 10) for place in range(first, max(last, first + 1) + 1)]
