"""`objabn report` on runs of a small packed dataset: what it writes, what it keeps, what it refuses."""

import json
import re
import shutil
from pathlib import Path

import pytest
from commands import SMALL, run, write_own_videos
from typer.testing import CliRunner

from cli.main import app

READER = [*SMALL, "--loader", "reader", "--set", "data.threads=1"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a packed dataset `data/mine` and the runs `runs/objects` and `runs/plain`."""
    root = tmp_path_factory.mktemp("report")
    write_own_videos(root)
    data = ["--data", str(root / "data")]
    run("prepare", str(root / "my videos"), "--out", str(root / "data/mine"), "--workers", "1")
    run("masks", "mine", "--from", str(root / "my masks"), *data)
    run("train", "mine", *READER, "--heads", "3", "--out", str(root / "runs/objects"), *data)
    run("train", "mine", *READER, "--system", "abn", "--out", str(root / "runs/plain"), *data)
    return root


@pytest.fixture(autouse=True)
def working_folder(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(trained / "runs", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("OBJABN_DATA", str(trained / "data"))


def shown(path: str) -> dict:
    return json.loads(re.search(r'id="data">(.*?)</script>', Path(path).read_text(), re.DOTALL)[1])


def test_a_run_is_shown_with_its_maps_and_masks_and_its_scores_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    said = run("report", "runs/objects", "--method", "attention,3dcam")
    assert re.search(r"Written to runs/objects/report\.html \(0\.\d MB\); open it in a browser\.", said)
    data = shown("runs/objects/report.html")
    kept = json.loads(Path("runs/objects/predictions.json").read_text())
    assert data["quantities"][0]["runs"][0][0] == kept["evaluation"]["top1"]
    assert kept["evaluation"] == json.loads(Path("runs/objects/evaluation.json").read_text())
    assert (data["subset"], len(data["gallery"]), len(kept["videos"])) == ("val", 4, 4)
    assert [shown_map["name"] for shown_map in data["gallery"][0]["runs"][0]["clip"]["maps"]] == ["M_u", "M_o", "M_b", "3dcam", "mask"]
    assert [row["name"] for row in data["settings"] if row["recipe"]][:2] == ["data.clip_frames", "data.short_side"]
    before = Path("runs/objects/predictions.json").stat().st_mtime_ns
    monkeypatch.setattr("cli.compose.evaluate_run", None)
    run("report", "runs/objects", "--clips", "2", "--out", "again.html")
    assert len(shown("again.html")["gallery"]) == 2
    assert Path("runs/objects/predictions.json").stat().st_mtime_ns == before, "nothing was evaluated again"


def test_scores_of_other_weights_are_not_taken_for_these() -> None:
    run("report", "runs/objects", "--clips", "0")
    before = json.loads(Path("runs/objects/predictions.json").read_text())
    assert shown("runs/objects/report.html")["gallery"] == []
    shutil.rmtree("runs/objects/best")
    shutil.copytree("runs/plain/last", "runs/objects/best")
    run("report", "runs/objects", "--clips", "0")
    after = json.loads(Path("runs/objects/predictions.json").read_text())
    assert (list(before["evaluation"]["entropy"]), list(after["evaluation"]["entropy"])) == (["M_u", "M_o", "M_b"], ["M_u"])


def test_runs_stand_side_by_side() -> None:
    assert "Written to runs/report.html" in run("report", "runs/plain", "runs/objects", "--clips", "1")
    data = shown("runs/report.html")
    assert [each["name"] for each in data["runs"]] == ["plain", "objects"]
    assert [each["maps"] for each in data["runs"]] == [["M_u"], ["M_u", "M_o", "M_b"]]
    assert [each["clip"]["sprite"]["picture"] for each in data["gallery"][0]["runs"]] == [0, 0]
    assert "model.system" in [row["name"] for row in data["settings"] if row["differs"]]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["runs/objects", "--method", "magic"], "There is no method 'magic'"),
        (["runs/nowhere"], "runs/nowhere is not the folder of a run"),
        (["runs/objects", "--subset", "test"], "The subset 'test' of fold 1 is empty"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_a_sentence(words: list[str], message: str) -> None:
    assert message in str(CliRunner().invoke(app, ["report", *words]).exception)
