"""Where tables are printed: as wide as the terminal, and wide enough for every table where there is none."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

WIDTH_IN_FILES = 180
"""Characters of a line where nobody says how many fit."""


def table_console() -> "Console":
    """Return a console for tables."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console.width = WIDTH_IN_FILES
    return console
