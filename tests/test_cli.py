"""The command line as a newcomer uses it: help everywhere, own videos from files to pictures, errors in one sentence."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner
from videos import numbered_frames, write_video

from cli.main import app

COMMANDS = {
    "demo": {"--compare", "--out", "--seed", "--data"},
    "prepare": {
        *("--videos", "--annotations", "--store", "--codec", "--quality", "--short-side", "--gop", "--out", "--workers", "--data"),
    },
    "masks": {"--segmenter", "--confidence", "--from", "--device", "--data"},
    "train": {
        *("--heads", "--system", "--backbone", "--recipe", "--epochs", "--batch", "--weights", "--fold", "--device", "--loader"),
        *("--pc", "--no-pc", "--out", "--seed", "--resume", "--set", "--dry-run", "--data"),
    },
    "evaluate": {"--dataset", "--subset", "--checkpoint", "--device", "--loader", "--json", "--data"},
    "explain": {"--method", "--out", "--device"},
    "export": {"--format", "--out"},
    "bench": {"--dataset", "--videos", "--json", "--data"},
}
SMALL = [
    *("--backbone", "x3d_nano", "--weights", "none", "--epochs", "1", "--batch", "2", "--device", "cpu"),
    *("--set", "data.crop_size=32", "--set", "data.short_side=32,36", "--set", "data.eval_short_side=32"),
    *("--set", "data.clip_frames=4", "--set", "model.cut=2", "--set", "data.val_fraction=0.5"),
]


def run(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
    return result.output


@pytest.fixture
def own_videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of class folders with eight little videos, and exact masks beside it; the working folder is its parent."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    for number in range(8):
        name = f"{'falling' if number % 2 else 'rising'}/clip {number}"
        write_video(tmp_path / "my videos" / f"{name}.mp4", numbered_frames(12, seed=number))
        masks = np.zeros((12, 48, 64), np.uint8)
        masks[:, 10:30, 20:50] = 1
        path = tmp_path / "my masks" / f"{name}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, mask=masks)
    return tmp_path / "my videos"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_helps_with_an_example_and_its_flags_are_frozen(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import typer

    flags = {
        name for parameter in typer.main.get_command(app).commands[command].params for name in parameter.opts + parameter.secondary_opts
    }
    assert {flag for flag in flags if flag.startswith("--")} == COMMANDS[command]
    monkeypatch.setenv("COLUMNS", "200")
    assert f"Example: objabn {command}" in run(command, "--help")


@pytest.mark.parametrize("loader", ["dali", "reader"])
def test_own_videos_from_files_to_pictures(own_videos: Path, loader: str) -> None:
    if loader == "dali":
        pytest.importorskip("nvidia.dali")
    assert "8 videos" in run("prepare", "my videos", "--workers", "1")
    assert "has no masks" in str(CliRunner().invoke(app, ["train", "my videos", *SMALL]).exception)
    assert "96 masks" in run("masks", "my videos", "--from", "my masks")
    run("train", "my videos", "--heads", "3", "--loader", loader, "--out", "runs/mine", *SMALL)
    evaluation = json.loads(Path("runs/mine/evaluation.json").read_text())
    assert (evaluation["subset"], evaluation["checkpoint"], evaluation["videos"], evaluation["skipped"]) == ("val", "best", 4, 0)
    assert set(evaluation["entropy"]) == {"M_u", "M_o", "M_b"}
    assert evaluation["grid"] == [8, 8]
    run("evaluate", "runs/mine", "--subset", "val", "--checkpoint", "last", "--json", "again.json")
    assert json.loads(Path("again.json").read_text())["checkpoint"] == "last"
    said = run("explain", "runs/mine", "my videos/rising/clip 0.mp4", "--out", "pictures")
    assert Path("pictures/clip 0.png").is_file()
    assert Path("pictures/clip 0.mp4").is_file()
    assert "rising" in said or "falling" in said
    run("export", "runs/mine", "--out", "net.safetensors")
    assert "%" in run("explain", "net.safetensors", "my videos/falling/clip 1.mp4", "--out", "more pictures")


def test_a_dry_run_shows_all_settings_and_touches_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shown = run("train", "ucf101", "--heads", "3", "--set", "optim.lr=0.5", "--dry-run")
    assert '"lr": 0.5' in shown
    assert '"heads": 3' in shown
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["train", "nowhere"], 1, "There is no packed dataset 'nowhere'"),
        (["train", "ucf101", "--heads", "0"], 2, "model.heads=0 is not possible"),
        (["train", "ucf101", "--set", "optim.learning=1"], 2, "There is no setting 'learning'"),
        (["prepare", "ucf101"], 2, "needs --videos"),
        (["evaluate", "nowhere"], 1, "nowhere"),
        (["train", "ucf101", "--loader", "magic"], 2, "magic"),
    ],
)
def test_errors_are_one_sentence_and_an_exit_code(words: list[str], code: int, message: str, tmp_path: Path) -> None:
    program = "import sys; from cli.main import run; sys.argv[0] = 'objabn'; run()"
    environment = {"PYTHONPATH": str(Path(__file__).parents[1]), "PATH": "", "COLUMNS": "200"}
    result = subprocess.run(
        [sys.executable, "-c", program, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == code, result.stderr
    assert message in result.stderr
    assert "Traceback" not in result.stderr
