"""`objabn evaluate --views`: many views of each video from the command line, through both loaders."""

import json
import re
import shutil
from pathlib import Path

import pytest
from commands import SMALL, run, write_own_videos
from typer.testing import CliRunner

from cli.evaluate import clips_and_crops
from cli.main import app

READER = [*SMALL, "--loader", "reader", "--set", "data.threads=1"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a packed dataset and two runs, of which one is evaluated with 2 x 3 views by itself."""
    root = tmp_path_factory.mktemp("views")
    write_own_videos(root)
    data = ["--data", str(root / "data")]
    run("prepare", str(root / "my videos"), "--out", str(root / "data/mine"), "--workers", "1")
    run("masks", "mine", "--from", str(root / "my masks"), *data)
    run("train", "mine", *READER, "--out", str(root / "plain"), *data)
    run("train", "mine", *READER, "--set", "data.views=2,3", "--out", str(root / "views"), *data)
    return root


@pytest.fixture(autouse=True)
def working_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("OBJABN_DATA", "data")


def numbers(file: str) -> dict:
    return json.loads(Path(file).read_text())


def test_views_are_counted_and_both_loaders_agree() -> None:
    pytest.importorskip("nvidia.dali")
    own = Path("plain/evaluation.json").read_text()
    said = [
        run("evaluate", "plain", "--views", "3x3", "--loader", loader, "--json", f"{loader}.json", "--set", "data.stride_frames=1")
        for loader in ("dali", "reader")
    ]
    assert all(
        re.search(r"top-1 \d+\.\d\d %  \(single views \d+\.\d\d %, 9 a video\)", text) and "Written to plain" not in text for text in said
    )
    assert Path("plain/evaluation.json").read_text() == own
    dali, reader = numbers("dali.json"), numbers("reader.json")
    assert (dali["views"], dali["videos"], dali["skipped"], dali["grid"]) == (9, 4, 0, [8, 8])
    assert dali["nll"] == pytest.approx(reader["nll"], rel=0.02)
    assert dali["entropy"]["M_o"] == pytest.approx(reader["entropy"]["M_o"], abs=0.05)
    assert dali["nll"] != numbers("plain/evaluation.json")["nll"], "other views, other numbers"


def test_a_single_view_is_the_runs_own_and_prints_no_views() -> None:
    own = numbers("plain/evaluation.json")
    Path("plain/evaluation.json").unlink()
    said = run("evaluate", "plain", "--views", "1")
    assert "Written to plain/evaluation.json." in said
    assert "views" not in said
    assert numbers("plain/evaluation.json") == own


def test_a_run_can_have_several_views_of_its_own() -> None:
    own = numbers("views/evaluation.json")
    assert own["views"] == 6
    assert "Written to views/evaluation.json." in run("evaluate", "views")
    assert numbers("views/evaluation.json") == own
    assert "Written to" not in run("evaluate", "views", "--views", "2x1")


def test_larger_crops_are_seen_on_a_larger_grid() -> None:
    sizes = ["--set", "data.crop_size=48", "--set", "data.short_side=48,48", "--set", "data.eval_short_side=48"]
    own = Path("plain/evaluation.json").read_text()
    assert "Written to plain" not in run("evaluate", "plain", *sizes, "--json", "larger.json")
    assert Path("plain/evaluation.json").read_text() == own
    assert numbers("larger.json")["grid"] == [12, 12]


def test_a_dataset_that_numbers_the_classes_otherwise_is_refused() -> None:
    shutil.copytree("data/mine", "data/turned")
    manifest = Path("data/turned/manifest.json")
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"classes": ["rising", "falling"]}))
    refused = CliRunner().invoke(app, ["evaluate", "plain", "--dataset", "turned"])
    assert "'rising' is class 1 of plain and class 0 of my videos; pack that with lists in the run's order." in str(refused.exception)
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"classes": ["Falling down", "rising"]}))
    assert "4 videos" in run("evaluate", "plain", "--dataset", "turned"), "names may be written otherwise"


def test_clips_alone_have_one_crop_and_nonsense_is_refused() -> None:
    assert [clips_and_crops(text) for text in ("10x3", "10", "1x1")] == ["10,3", "10,1", "1,1"]
    for nonsense in ("ten", "10x", "x3", "10x3x2", "-1x3", "10,3", ""):
        with pytest.raises(ValueError, match="write CLIPSxCROPS, for example 10x3, or CLIPS alone"):
            clips_and_crops(nonsense)
    refused = CliRunner().invoke(app, ["evaluate", "plain", "--views", "0x3"])
    assert isinstance(refused.exception, ValueError)
    assert "data.views=(0, 3) is not possible" in str(refused.exception)
