"""The page on explaining networks runs from top to bottom, and knows every method."""

import re

import pytest
import torch
from test_docs import ROOT, execute, python_blocks

from objabn.explainers import METHODS

PAGE = ROOT / "docs/explaining.md"


@pytest.mark.slow
@pytest.mark.usefixtures("shallow")
def test_the_page_runs() -> None:
    pytest.importorskip("captum")
    torch.manual_seed(0)
    names: dict = {}
    execute(PAGE, names, python_blocks(PAGE))
    assert names["explanation"].maps.shape == (2, 1, 8, 32, 32)
    assert names["name"] == "layer4"


def test_the_table_has_every_method() -> None:
    assert re.findall(r"^\| `(\S+)` \|", PAGE.read_text(), re.MULTILINE) == list(METHODS)
