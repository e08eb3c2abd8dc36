"""A reproduction to read: as Markdown, and as one HTML file that needs nothing else, with curves over the epochs."""

from html import escape
from typing import Any

from objabn.comparison.layout import Entry, Layout
from objabn.comparison.markup import markdown
from objabn.reproduction.curves import NAMESPACE, picture
from objabn.reproduction.tables import tables

STYLE = """body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:75em;padding:0 1em;color:#222;background:#fff}
table{border-collapse:collapse;margin:.5em 0 2em}th,td{padding:.25em .7em;border-bottom:1px solid #ddd;text-align:right;vertical-align:top}
th.name,td.name{text-align:left}td.name{min-width:8em}
td.name,td:last-child{overflow-wrap:anywhere}td small{color:#777;display:block;white-space:nowrap}caption{text-align:left;font-weight:600}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}th,td{border-color:#444}td small{color:#999}}"""
PICTURE = "reproduction.svg"
"""Name of the file beside the page that holds `picture`."""


def notes(summary: dict[str, Any]) -> list[str]:
    """Return what one must know to read the tables."""
    made = f"objabn {summary['versions']['objabn']}, torch {summary['versions']['torch']}, {summary['machine']}"
    missing, (rows, columns) = summary["missing"], summary["grid"]
    others = {row["row"]: row["grid"] for row in summary["rows"] if row["grid"] != summary["grid"]}
    of_others = "".join(f", of {name} {high}x{wide}" for name, (high, wide) in others.items())
    unchosen = [row["row"] for row in summary["rows"] if row["epochs_chosen"] is None]
    is_mixed = 0 < len(unchosen) < len(summary["rows"])
    return [
        f"Made with `{summary['command']}`: {made}.",
        f"{summary['dataset']}, budget {summary['budget']}: {summary['clips']}; maps of {rows}x{columns} cells{of_others}. "
        "Entropies compare within one grid only, and the paper's are on another unless this one is 14x14.",
        f"{summary['videos']} test videos. In square brackets 95 % intervals over videos, each the mean of its seeds; behind ± that "
        "of the seeds; in round brackets what the paper has. A difference is of the same videos, and of the seeds that both rows have.",
        *([f"No epoch was chosen for {', '.join(unchosen)}, so all numbers are of the last one."] if is_mixed else []),
        *([f"Not finished yet: {', '.join(missing)}."] if missing else []),
    ]


def markdown_page(summary: dict[str, Any]) -> str:
    """Return the page as Markdown, which shows `PICTURE`."""
    # The notes hold a command, which is code.
    shown = f"![Curves over the epochs]({PICTURE})\n\n" if picture(summary) else ""
    title = f"# Reproduction of Object-ABN: {summary['dataset']}\n\n"
    return title + "\n\n".join(notes(summary)) + "\n\n" + shown + markdown(tables(summary), [])


def html_page(summary: dict[str, Any]) -> str:
    """Return the page as HTML; nothing in it is markup but what is written here."""
    title = escape(f"Reproduction of Object-ABN: {summary['dataset']}")
    body = [f"<p>{escape(note)}</p>" for note in notes(summary)] + [html_table(table) for table in tables(summary)]
    body.append(picture(summary).replace(NAMESPACE, ""))  # which within HTML goes without saying, and looks like an address
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"<title>{title}</title><style>{STYLE}</style><h1>{title}</h1>{''.join(body)}</html>\n"
    )


def html_table(table: Layout) -> str:
    """Return one table."""
    head = "".join(f"<th{name_class(place, table)}>{escape(text)}</th>" for place, text in enumerate(table.head))
    rows = "".join(f"<tr>{''.join(cell(entry, place, table) for place, entry in enumerate(row))}</tr>" for row in table.rows)
    return f"<table><caption>{escape(table.title)}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def cell(entry: Entry, place: int, table: Layout) -> str:
    """Return one number with its interval below."""
    below = f"<small>{escape(entry.interval)}</small>" if entry.interval else ""
    return f"<td{name_class(place, table)}>{escape(entry.text)}{below}</td>"


def name_class(place: int, table: Layout) -> str:
    """Return the mark of columns that say what a row is."""
    return ' class="name"' if place < table.names else ""
