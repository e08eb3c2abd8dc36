"""What the page on viewing shows in Python runs as it stands."""

from pathlib import Path

import pytest
import torch
from test_docs import execute, python_blocks
from toys import nano, toy_batch, toy_config

PAGE = Path(__file__).parents[1] / "docs/view.md"


@pytest.mark.usefixtures("shallow")
def test_python_on_the_page_runs() -> None:
    names: dict = {"net": nano(toy_config()), "clip": toy_batch(0, clips=2).clip}
    execute(PAGE, names, python_blocks(PAGE))
    assert names["change"].sum(1).abs().max() < 1e-6
    assert names["change"].abs().max() > 0
    before, after = names["intervention"].own.maps, names["maps"]
    assert after.mean() < before.mean()
    assert not torch.equal(names["answer"].logits, names["output"].logits)
