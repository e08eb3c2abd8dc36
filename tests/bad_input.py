"""What docs/bad_input.md promises to say: the tests take their sentences from its tables."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from cli import main

PAGE = Path(__file__).parents[1] / "docs" / "bad_input.md"


class Row(NamedTuple):
    """A row of a table: a case, what is said, how the command ends, and which test holds it."""

    case: str
    said: str
    exit_code: str
    test: str


def rows() -> dict[str, Row]:
    tables = re.findall(r"^\| case \|.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE.read_text(), re.MULTILINE)
    lines = [line for table in tables for line in table.splitlines()]
    found = [Row(*(cell.strip() for cell in line.strip("|").split(" | "))) for line in lines]
    assert len({row.case for row in found}) == len(found), "a case stands in the tables twice"
    return {row.case: row for row in found}


def pattern(case: str) -> re.Pattern[str]:
    """Return the sentence of a case, in which … stands for anything."""
    return re.compile(".*".join(map(re.escape, rows()[case].said.strip("` ").split("…"))), re.DOTALL)


def assert_said(case: str, text: str) -> None:
    assert pattern(case).search(text), f"{case}: expected\n  {rows()[case].said}\nbut said was\n  {text}"


class Told(NamedTuple):
    """How a command ended, and all that it said."""

    exit_code: int
    text: str


def objabn(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str | Path) -> Told:
    """Run the command line in this process as the program itself does."""
    capsys.readouterr()
    monkeypatch.setattr("sys.argv", ["objabn", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        main.run()
    said = capsys.readouterr()
    return Told(int(stop.value.code or 0), said.out + said.err)


def assert_told(case: str, told: Told) -> None:
    """Check sentence and exit code of a case, and that no traceback came with it."""
    assert_said(case, told.text)
    assert told.exit_code == int(rows()[case].exit_code), told.text
    assert "Traceback" not in told.text
