"""Tables of a comparison as Markdown, to be pasted into an issue, and as LaTeX with booktabs, to be put into a paper."""

import re
from collections.abc import Sequence

from objabn.comparison.layout import Entry, Layout

LATEX = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}"},
    "\n": " ",
    # At the beginning of a row these would belong to the line break before it.
    **{"[": "{[}", "*": "{*}"},
}
MAP_NAME = re.compile(r"\b(H\()?M_([A-Za-z0-9]{1,2})(?![\w])(?(1)\))")


def markdown(tables: Sequence[Layout], notes: Sequence[str]) -> str:
    """Return the tables with their titles, and the notes behind them, as GitHub reads Markdown."""
    return "\n\n".join([*map(markdown_table, tables), *map(markdown_text, notes)]) + "\n"


def markdown_table(table: Layout) -> str:
    """Return one table."""
    sides = ["---" if place < table.names else "---:" for place in range(len(table.head))]
    lines = [[markdown_text(text) for text in table.head], sides, *([markdown_entry(entry) for entry in row] for row in table.rows)]
    return "\n".join([f"**{markdown_text(table.title)}**", "", *(f"| {' | '.join(line)} |" for line in lines)])


def markdown_entry(entry: Entry) -> str:
    """Return a number, bold where it is, and its interval."""
    text = markdown_text(entry.text)
    return f"{f'**{text}**' if entry.is_bold else text} {entry.interval}".strip()


def markdown_text(text: str) -> str:
    """Return text in which nothing is markup."""
    return re.sub(r"([\\|*`<~\[\]])", r"\\\1", " ".join(text.split()))


def latex(tables: Sequence[Layout], notes: Sequence[str]) -> str:
    """Return one table environment each, the notes as text below; the document needs the package booktabs."""
    body = "\n\n".join(latex_table(table) for table in tables)
    return f"% needs \\usepackage{{booktabs}}\n{body}\n\n" + "\n".join(f"\\noindent {latex_text(note)}\n" for note in notes)


def latex_table(table: Layout) -> str:
    """Return one table."""
    sides = "l" * table.names + "r" * (len(table.head) - table.names)
    rows = [" & ".join(latex_entry(entry) for entry in row) + r" \\" for row in table.rows]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{latex_text(table.title)}}}",
            rf"\begin{{tabular}}{{{sides}}}",
            r"\toprule",
            " & ".join(map(latex_text, table.head)) + r" \\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def latex_entry(entry: Entry) -> str:
    """Return a number, bold where it is, and its interval in small print."""
    text = latex_text(entry.text)
    number = rf"\textbf{{{text}}}" if entry.is_bold else text
    return f"{number} {{\\scriptsize {entry.interval}}}" if entry.interval else number


def latex_text(text: str) -> str:
    """Return text in which nothing is markup, with names of maps as formulas."""
    parts, end = [], 0
    for found in MAP_NAME.finditer(text):
        name = rf"M_{{\mathrm{{{found[2]}}}}}"
        parts += [escaped(text[end : found.start()]), f"$H({name})$" if found[1] else f"${name}$"]
        end = found.end()
    return "".join([*parts, escaped(text[end:])])


def escaped(text: str) -> str:
    """Return text in which nothing is markup."""
    return "".join(LATEX.get(letter, letter) for letter in text)
