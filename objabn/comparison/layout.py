"""The tables of a comparison, as the paper has them: networks first, then maps, then differences; how they look is for others."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from objabn.comparison.bootstrap import Interval
from objabn.comparison.comparison import Comparison
from objabn.comparison.differences import Cell, Difference
from objabn.comparison.quantities import ANSWER, NETWORK, PLACE, QUANTITIES, Quantity
from objabn.comparison.video_table import ANSWER_ROW

PAPER_ORDER = ("M_u", "M_o", "M_b")
"""Of columns."""


class Entry(NamedTuple):
    """What stands in a place of a table."""

    text: str = ""
    interval: str = ""
    is_bold: bool = False


class Layout(NamedTuple):
    """A table of text: the first `names` columns say what a row is."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]
    names: int


Row = tuple[str, str]
"""A run and its answer or a map."""


def layouts(comparison: Comparison) -> list[Layout]:
    """Return the tables that have a number in them."""
    tables = [
        networks(comparison),
        maps(comparison, "Where maps lie", PLACE),
        maps(comparison, "What maps mean for the answer, and what they cost", ANSWER),
        network_differences(comparison),
        map_differences(comparison, "Differences of maps: where they lie", PLACE),
        map_differences(comparison, "Differences of maps: what they mean", ANSWER),
    ]
    return [table for table in tables if table.rows and len(table.head) > table.names]


def networks(comparison: Comparison) -> Layout:
    """Lay out one network a row: accuracies, and the entropy of each of its own maps (Object-ABN, Tables 1 and 2)."""
    own = {name for run in comparison.runs for name in run.values.map_names}
    names = [name for name in PAPER_ORDER if name in own] + sorted(own - set(PAPER_ORDER))
    rows = []
    for run in comparison.runs:
        label = run.values.name
        cells = [Cell(label, ANSWER_ROW, quantity) for quantity in NETWORK] + [Cell(label, name, "entropy") for name in names]
        rows.append([Entry(label), Entry(run.losses), *(value_entry(comparison, cell) for cell in cells)])
    head = [quantity.title for quantity in NETWORK.values()] + [f"H({name})" for name in names]
    return filled("Networks", ("run", "losses"), head, rows)


def maps(comparison: Comparison, title: str, quantities: dict[str, Quantity]) -> Layout:
    """Lay out one map a row, those of one run together."""
    rows = []
    for run in comparison.runs:
        for place, row in enumerate(run.values.maps):
            cells = [Cell(run.values.name, row, quantity) for quantity in quantities]
            rows.append([Entry("" if place else run.values.name), Entry(row), *(value_entry(comparison, cell) for cell in cells)])
    return filled(title, ("run", "map"), [quantity.title for quantity in quantities.values()], rows)


def network_differences(comparison: Comparison) -> Layout:
    """Lay out what each run has more or less than the baseline, and whether their errors may be chance."""
    found = {(each.cell.run, each.cell.quantity): each for each in comparison.found.differences if each.cell.row == ANSWER_ROW}
    rows = []
    for run in dict.fromkeys(run for run, _ in found):
        differences = [found.get((run, quantity)) for quantity in NETWORK]
        p = found[run, "top1"].p if (run, "top1") in found else None
        rows.append([Entry(f"{run} - {comparison.baseline}"), *map(difference_entry, differences), Entry("" if p is None else p_text(p))])
    head = [*(quantity.title for quantity in NETWORK.values()), "p (top-1, McNemar)"]
    return filled("Differences of networks", ("runs",), head, rows)


def map_differences(comparison: Comparison, title: str, quantities: dict[str, Quantity]) -> Layout:
    """Lay out maps less those that they are compared with."""
    found: dict[tuple[Row, Row], dict[str, Difference]] = {}
    for each in comparison.found.differences:
        if each.cell.quantity in quantities:
            found.setdefault((each.cell[:2], each.against[:2]), {})[each.cell.quantity] = each
    rows = [[Entry(pair_text(*pair)), *(difference_entry(by_name.get(name)) for name in quantities)] for pair, by_name in found.items()]
    return filled(title, ("maps",), [quantity.title for quantity in quantities.values()], rows)


def filled(title: str, names: tuple[str, ...], head: Sequence[str], rows: Sequence[Sequence[Entry]]) -> Layout:
    """Return a table without the columns in which nothing stands."""
    count = len(names)
    kept = [place for place in range(len(head)) if any(row[count + place].text for row in rows)]
    return Layout(
        title,
        (*names, *(head[place] for place in kept)),
        tuple((*row[:count], *(row[count + place] for place in kept)) for row in rows),
        count,
    )


def value_entry(comparison: Comparison, cell: Cell) -> Entry:
    """Return a number with its interval."""
    interval = comparison.found.estimates.get(cell)
    if interval is None or math.isnan(interval.value):
        return Entry()
    digits = QUANTITIES[cell.quantity].digits
    return Entry(f"{interval.value:.{digits}f}", interval_text(interval, f".{digits}f"), cell in comparison.found.best)


def difference_entry(difference: Difference | None) -> Entry:
    """Return a difference with its sign and interval, bold where that leaves out 0."""
    if difference is None or math.isnan(difference.interval.value):
        return Entry()
    digits, interval = QUANTITIES[difference.cell.quantity].digits, difference.interval
    return Entry(signed(interval.value, digits), interval_text(interval, f"+.{digits}f"), interval.leaves_out_zero)


def signed(value: float, digits: int) -> str:
    """Write a difference; what is rounded to 0 has no sign."""
    text = f"{value:+.{digits}f}"
    return text.lstrip("+-") if float(text) == 0 else text


def interval_text(interval: Interval, form: str) -> str:
    """Write both ends, or nothing where they are not known."""
    return "" if math.isnan(interval.low) else f"[{interval.low:{form}}, {interval.high:{form}}]"


def p_text(p: float) -> str:
    """Write a probability."""
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def pair_text(first: Row, second: Row) -> str:
    """Write which map is compared with which: the run once where it is one, the map once where that is one."""
    if first[0] == second[0]:
        return f"{first[0]}: {first[1]} - {second[1]}"
    if first[1] == second[1]:
        return f"{first[1]}: {first[0]} - {second[0]}"
    return f"{first[0]} {first[1]} - {second[0]} {second[1]}"
