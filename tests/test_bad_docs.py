"""docs/bad_input.md is held to the tests that are held to the code."""

from pathlib import Path

import pytest
from bad_input import Row, pattern, rows

TESTS = Path(__file__).parent


@pytest.mark.parametrize("row", rows().values(), ids=lambda row: row.case)
def test_every_row_has_the_test_that_it_names(row: Row) -> None:
    assert f'"{row.case}"' in (TESTS / row.test).read_text()
    assert int(row.exit_code) in (0, 1, 2, 130, 143)
    assert len(row.said.replace("…", "")) > 10
    assert pattern(row.case).search(row.said.replace("…", "xyz"))


def test_there_are_as_many_rows_as_there_were() -> None:
    """A table that can no longer be read would hold nothing to anything."""
    assert len(rows()) > 90
