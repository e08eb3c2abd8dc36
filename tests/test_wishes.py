"""The page of wishes leaves none blank and points to what is there."""

import re
from pathlib import Path

import pytest
from commands import loaded

from cli.commands import COMMANDS

ROOT = Path(__file__).parents[1]
ROWS = [line.strip("| ").split(" | ") for line in (ROOT / "docs/wishes.md").read_text().splitlines() if re.match(r"\| \S", line)]
WISHES = [row for row in ROWS if row[-2] in ("now", "in part", "planned")]


def test_all_wishes_are_there_and_none_is_blank() -> None:
    numbered = [row for row in WISHES if row[0].isdigit()]
    assert [int(row[0]) for row in numbered] == list(range(1, 26))
    assert len(WISHES) == 29
    for row in WISHES:
        assert all(cell.strip() for cell in row)
        assert re.search(r"\w+/[\w-]+#\d+", row[-3]), row


@pytest.mark.parametrize("row", WISHES, ids=lambda row: row[0])
def test_what_an_answer_names_is_there(row: list[str]) -> None:
    answer = row[-1]
    for path in re.findall(r"`((?:tests|objabn)/[\w/]+\.py)`", answer):
        assert (ROOT / path).is_file(), path
    for page in re.findall(r"\]\((\w+\.md)\)", answer):
        assert (ROOT / "docs" / page).is_file(), page
    for command, options in re.findall(r"`objabn (\w+)([^`]*)`", answer):
        assert command in COMMANDS
        known = {flag for parameter in loaded(command).params for flag in parameter.opts}
        assert set(re.findall(r"--[\w-]+", options)) <= known
    assert row[-2] != "now" or re.search(r"tests/|make setup|objabn explain", answer), "an answer that holds now is tested"
