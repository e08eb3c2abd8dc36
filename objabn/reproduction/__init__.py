"""The paper's table made anew: which rows it has, how each is trained, and what they come to, with intervals."""

from objabn.reproduction.curves import picture
from objabn.reproduction.pages import PICTURE, html_page, markdown_page
from objabn.reproduction.rows import BUDGETS, DATASETS, TABLE, Row, find_rows, row_config
from objabn.reproduction.runs import RowRuns, SeedRun
from objabn.reproduction.summary import summarize

__all__ = [
    "BUDGETS",
    "DATASETS",
    "PICTURE",
    "TABLE",
    "Row",
    "RowRuns",
    "SeedRun",
    "find_rows",
    "html_page",
    "markdown_page",
    "picture",
    "row_config",
    "summarize",
]
