"""`objabn compare` on little runs: the numbers of `evaluate`, files, what is kept, and what is refused; and the page that tells of it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from commands import run, write_own_videos
from toys import FRAMES, SIZE, toy_config
from typer.testing import CliRunner

from cli.main import app
from objabn.checkpoint import write_checkpoint
from objabn.comparison.quantities import QUANTITIES
from objabn.files import write_json
from objabn.models.build import build_model
from objabn.models.storage import save_model
from objabn.settings import to_dict

PAGE = Path(__file__).parents[1] / "docs" / "comparing.md"
FAST = ("--method", "attention,3dcam", "--measure", "entropy,mask_iou,pointing", "--bootstrap", "100")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs of one dataset, which have not learnt anything."""
    root = tmp_path_factory.mktemp("compare")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        write_own_videos(root)
        run("prepare", "my videos", "--workers", "1")
        run("masks", "my videos", "--from", "my masks")
        for name, heads in (("one", 1), ("three", 3)):
            write_run(root / "runs" / name, heads)
    return root


def write_run(folder: Path, heads: int) -> None:
    """Write the folder of a run as training leaves it."""
    toy = toy_config()
    data = replace(toy.data, dataset="my videos", val_fraction=0.5, loader="reader", threads=1)
    config = replace(toy, data=data, model=replace(toy.model, heads=heads), optim=replace(toy.optim, batch=3))
    net = build_model(config.model, classes=2, clip_frames=FRAMES, clip_size=SIZE, class_names=("falling", "rising"))
    folder.mkdir(parents=True)
    write_json(folder / "config.json", to_dict(config))
    write_checkpoint(folder, "last", lambda place: save_model(net, place / "model.safetensors"))


@pytest.fixture(autouse=True)
def working_folder(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


def test_two_runs_side_by_side() -> None:
    said = run("compare", "runs/one", "runs/three", *FAST, "--json", "all.json", "--markdown", "all.md", "--latex", "all.tex")
    found = json.loads(Path("all.json").read_text())
    for of_run in found["runs"]:
        run("evaluate", f"runs/{of_run['name']}")
        expected = json.loads(Path(f"runs/{of_run['name']}/evaluation.json").read_text())
        for quantity in ("top1", "nll"):
            assert of_run["answer"][quantity]["value"] == expected[quantity]
        for quantity in ("entropy", "mask_iou", "pointing"):
            assert {name: of_run["maps"][name][quantity]["value"] for name in expected["entropy"]} == expected[quantity]
        assert "3dcam" in of_run["maps"]
    assert found["videos_of_subset"] == len(found["videos"]) == 4
    assert "three - one" in said and "4 videos (all)" in said and "top-1 (%)" in said
    assert "**Networks**" in Path("all.md").read_text() and r"\toprule" in Path("all.tex").read_text()
    # The same again takes what was kept, and says the same.
    again = run("compare", "runs/one", "runs/three", *FAST)
    assert "one: measured before." in again and "three: measured before." in again
    assert again.partition("Networks")[2] == said.partition("Networks")[2].partition("Written to")[0]


def test_a_few_videos_of_one_run_are_kept_elsewhere() -> None:
    words = ("compare", "runs/one", "--videos", "2", "--method", "attention", "--measure", "deletion", "--steps", "1", "--out", "kept")
    said = run(*words, "--dry-run")
    assert said == "one: about 8 passes (attention 8), some 1 min here.\n"
    assert not Path("kept").exists()
    said = run(*words)
    assert "2 videos (2 of 4, spread over the classes)" in said and "this is a trial" in said
    assert [path.name.partition("-")[0] for path in Path("kept").iterdir()] == ["attention"]


def test_what_does_not_compare_is_refused() -> None:
    shutil.copytree("runs/one", "runs/divided")
    config = json.loads(Path("runs/divided/config.json").read_text())
    config["data"]["val_fraction"] = 0.1
    Path("runs/divided/config.json").write_text(json.dumps(config))
    shutil.copytree("runs/one", "runs/elsewhere")
    config["data"] |= {"val_fraction": 0.5, "dataset": "theirs"}
    Path("runs/elsewhere/config.json").write_text(json.dumps(config))
    refused = {
        ("runs/divided",): "hold out other videos (data.fold, data.val_fraction)",
        ("runs/elsewhere",): "say with --dataset on which to compare",
        ("runs/one",): "runs/one is given twice",
        ("runs/three", "--baseline", "runs/none"): "--baseline runs/none is none of the runs; choose of one, three",
        ("runs/three", "--measure", "iou"): "There is no measure 'iou'",
        ("runs/three", "--method", "cam"): "There is no method 'cam'",
        ("runs/nowhere",): "is not the folder of a run",
    }
    for words, sentence in refused.items():
        assert sentence in str(CliRunner().invoke(app, ["compare", "runs/one", *words]).exception), words


def test_the_page_tells_every_quantity() -> None:
    text = PAGE.read_text()
    for name, quantity in QUANTITIES.items():
        assert f"`{name}`" in text and quantity.title in text, name
