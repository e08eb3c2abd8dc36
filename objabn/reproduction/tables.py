"""The tables of a reproduction, from its plain values; how they look is for others."""

from collections.abc import Callable, Sequence
from typing import Any

from objabn.comparison.layout import Entry, Layout
from objabn.reproduction.rows import FEWER

Values = dict[str, Any]
DIGITS = {"top1": 1, "top5": 1, "nll": 3}
MAP_ORDER = ("M_u", "M_o", "M_b")


def tables(summary: Values) -> list[Layout]:
    """Return the paper's table, what its claims come to, where maps lie, and the rows that change one thing or learn from few clips."""
    rows = summary["rows"]
    whole = [row for row in rows if "~" not in row["row"]]
    few = [row for row in rows if f"~{FEWER}" in row["row"]]
    changed = [row for row in rows if row not in whole and row not in few]
    is_chosen = summary["checkpoint"] == "best"
    versions: dict[str, Callable[[Values], Values]] = {"last epoch": (lambda row: row["last"]) if is_chosen else (lambda row: row)}
    if is_chosen:
        versions = {"epoch chosen on val": lambda row: row} | versions
    found = [paper_table(f"Test videos, {name}", whole, of) for name, of in versions.items()]
    found += [claims_table(summary["claims"]), map_table("Where maps lie", whole)]
    found += [change_table(f"One thing changed, {name}", changed, of) for name, of in versions.items()]
    found += [change_table(f"Few training clips, {name}", few, of) for name, of in versions.items()]
    return [table for table in found if table.rows]


def paper_table(title: str, rows: Sequence[Values], of: Callable[[Values], Values]) -> Layout:
    """Lay out accuracies and the entropy of each map, the paper's numbers in brackets behind ours (Object-ABN, tables 1 and 2)."""
    names = map_names(rows)
    lines = [
        (
            Entry(row["row"]),
            Entry(str(row["seeds"])),
            *(entry(of(row)[quantity], digits) for quantity, digits in DIGITS.items()),
            *(entry(of(row)["entropy"].get(name), 3) for name in names),
        )
        for row in rows
    ]
    head = ("row", "seeds", "top-1 (%)", "top-5 (%)", "NLL", *(f"H({name})" for name in names))
    return Layout(title, head, tuple(lines), 1)


def map_table(title: str, rows: Sequence[Values]) -> Layout:
    """Lay out one map a row: sharpness on its grid and enlarged to pixels, and how it meets objects."""
    quantities = {
        "entropy": "entropy (bits)",
        "entropy_pixels": "entropy at pixels",
        "mask_iou": "mask IoU",
        "soft_iou": "soft IoU",
        "pointing": "pointing",
    }
    lines = [
        (Entry("" if place else row["row"]), Entry(name), *(entry(row[quantity].get(name), 3, is_beside=False) for quantity in quantities))
        for row in rows
        for place, name in enumerate(row["entropy"])
    ]
    return Layout(title, ("row", "map", *quantities.values()), tuple(lines), 2)


def change_table(title: str, rows: Sequence[Values], of: Callable[[Values], Values]) -> Layout:
    """Lay out rows, and what each number has more than that of the row they are compared with, one map a line."""
    head = (
        "row",
        "less",
        "seeds",
        "top-1 (%)",
        "difference",
        "NLL",
        "difference",
        "map",
        "entropy",
        "difference",
        "mask IoU",
        "difference",
    )
    return Layout(title, head, tuple(line for row in rows for line in change_lines(row, of(row))), 2)


def change_lines(row: Values, values: Values) -> list[tuple[Entry, ...]]:
    """Return the lines of one changed row, the first of which has its name and what the network answers."""
    change: Values = values["change"] or {"base": "", "top1": None, "nll": None, "entropy": {}, "mask_iou": {}}
    first = [Entry(row["row"]), Entry(change["base"]), Entry(str(row["seeds"]))]
    for quantity in ("top1", "nll"):
        first += beside(values[quantity], change[quantity], DIGITS[quantity])
    lines = []
    for place, name in enumerate(values["entropy"] or [""]):
        line = [Entry()] * len(first) if place else list(first)
        line.append(Entry(name))
        for quantity in ("entropy", "mask_iou"):
            line += beside(values[quantity].get(name), change[quantity].get(name), 3)
        lines.append(tuple(line))
    return lines


def beside(values: Values | None, change: Values | None, digits: int) -> tuple[Entry, Entry]:
    """Return a number, and what it has more than that of the row it is compared with."""
    number = Entry() if values is None else Entry(f"{values['mean']:.{digits}f}")
    if change is None:
        return number, Entry()
    form = f"+.{digits}f"
    return number, Entry(f"{change['difference']:{form}}", interval(change["interval"], form))


def claims_table(claims: Sequence[Values]) -> Layout:
    """Lay out what the paper claims, what it came to here, and what explains it where it does not hold."""
    lines = [
        (
            Entry(claim["claim"]),
            Entry(claim["number"]),
            Entry(f"{claim['difference']:+.3f}", interval(claim["interval"], "+.3f")),
            Entry("" if claim["published"] is None else f"{claim['published']:+.3f}"),
            Entry("yes" if claim["holds"] else "no"),
            Entry("; ".join(map(experiment, (claim["explained_by"] or [])[:4]))),
        )
        for claim in claims
    ]
    return Layout("Claims", ("claim", "number", "here", "published", "holds", "what moves it"), tuple(lines), 2)


def experiment(values: Values) -> str:
    """Write what changing one thing did."""
    return f"{values['experiment']} {values['difference']:+.3f} {interval(values['interval'], '+.3f')}"


def entry(values: Values | None, digits: int, *, is_beside: bool = True) -> Entry:
    """Return a number, its deviation over seeds, the interval over videos, and in brackets what the paper has."""
    if values is None:
        return Entry()
    deviation = "" if values["std"] is None else f" ± {values['std']:.{digits}f}"
    published = values.get("published") if is_beside else None
    beside = "" if published is None else f" ({published:.{min(digits + 1, 3)}f})"
    return Entry(f"{values['mean']:.{digits}f}{deviation}{beside}", interval(values["interval"], f".{digits}f"))


def interval(both: Sequence[float] | None, form: str) -> str:
    """Write both ends, or nothing."""
    return "" if both is None else f"[{both[0]:{form}}, {both[1]:{form}}]"


def map_names(rows: Sequence[Values]) -> list[str]:
    """Return the names of all maps of the networks' own, the paper's first."""
    own = {name for row in rows for name in row["maps"]}
    return [name for name in MAP_ORDER if name in own] + sorted(own - set(MAP_ORDER))
