"""What the pages show runs as it stands: every Python block, in order, in one namespace, on small videos."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from commands import write_own_videos
from toys import toy_config

import objabn
from objabn.data.demo import make_demo

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def python_blocks(page: Path) -> list[str]:
    """Return the Python blocks of a page, each moved down to its own line so that errors name it."""
    text = page.read_text()
    found = re.finditer(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return ["\n" * text.count("\n", 0, block.start(1)) + block[1] for block in found]


def execute(page: Path, names: dict[str, object], blocks: list[str]) -> None:
    for block in blocks:
        exec(compile(block, page, "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_on_every_page_is_python(page: Path) -> None:
    for block in python_blocks(page):
        compile(block, page, "exec")


@pytest.mark.usefixtures("shallow")
def test_the_python_page_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nvidia.dali")
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    write_own_videos(tmp_path)
    names: dict = {}
    execute(ROOT / "docs/python.md", names, python_blocks(ROOT / "docs/python.md"))
    assert names["evaluation"].videos == 4
    assert names["result"].epochs == 2
    assert Path("looks.png").is_file()
    assert {path.name for path in Path("published").iterdir()} == {"README.md", "config.json", "model.safetensors"}


def test_the_readme_runs_with_a_small_network_and_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nvidia.dali")
    monkeypatch.chdir(tmp_path)
    make_demo(Path("data/ucf101"), train=4, test=4, size=48, frames=10)
    small = toy_config()
    small = replace(small, model=replace(small.model, heads=3), optim=replace(small.optim, epochs=1))
    create = objabn.create_model

    def create_small(backbone: str, *, weights: str, classes: int, **settings: object) -> object:
        assert (backbone, weights, classes) == ("x3d_m", "kinetics400", 101)
        return create("x3d_nano", classes=4, clip_frames=4, clip_size=32, cut=2, **settings)

    monkeypatch.setattr(objabn, "recipe", lambda dataset, heads: small if (dataset, heads) == ("ucf101", 3) else None, raising=False)
    monkeypatch.setattr(objabn, "create_model", create_small, raising=False)
    names = {"clip": torch.zeros(1, 3, 4, 32, 32, dtype=torch.uint8)}
    execute(ROOT / "README.md", names, python_blocks(ROOT / "README.md"))
    assert objabn.load_model("model.safetensors").map_names == ("M_u", "M_o", "M_b")
