"""The command line as a newcomer uses it: help everywhere, own videos from files to pictures, errors in one sentence."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import SMALL, loaded, run, write_own_videos
from typer.testing import CliRunner

from cli import main
from cli.main import app

COMMANDS = {
    "demo": {"--compare", "--out", "--seed", "--data"},
    "prepare": {
        *("--videos", "--annotations", "--store", "--codec", "--quality", "--short-side", "--gop", "--fps"),
        *("--out", "--workers", "--data"),
    },
    "masks": {"--segmenter", "--confidence", "--from", "--device", "--data"},
    "train": {
        *("--heads", "--system", "--backbone", "--recipe", "--epochs", "--batch", "--weights", "--fold", "--device", "--loader"),
        *("--finetune", "--pc", "--no-pc", "--out", "--seed", "--resume", "--set", "--dry-run", "--data"),
    },
    "evaluate": {
        *("--dataset", "--subset", "--checkpoint", "--views", "--device", "--loader", "--set", "--boxes", "--protocol", "--map"),
        *("--json", "--data"),
    },
    "explain": {
        *("--method", "--class", "--clips", "--layer", "--iterations", "--areas", "--format", "--opacity", "--threshold", "--out"),
        *("--checkpoint", "--device", "--overwrite"),
    },
    "predict": {"--top", "--clips", "--views", "--out", "--checkpoint", "--device"},
    "compare": {
        *("--method", "--measure", "--class", "--layer", "--dataset", "--subset", "--checkpoint", "--videos", "--steps", "--tolerance"),
        *("--baseline", "--bootstrap", "--seed", "--json", "--markdown", "--latex", "--out", "--dry-run", "--device", "--loader", "--data"),
    },
    "report": {"--out", "--dataset", "--subset", "--checkpoint", "--clips", "--method", "--device", "--loader", "--data"},
    "export": {"--format", "--out"},
    "doctor": {"--json", "--data"},
    "models": {"--backbone", "--clip-frames", "--clip-size", "--json"},
    "bench": {"--dataset", "--videos", "--size", "--json", "--data"},
}


@pytest.fixture
def own_videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of class folders with eight little videos, and exact masks beside it; the working folder is its parent."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    write_own_videos(tmp_path)
    return tmp_path / "my videos"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_helps_with_an_example_and_its_flags_are_frozen(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = {name for parameter in loaded(command).params for name in parameter.opts + parameter.secondary_opts}
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
    said = run("evaluate", "runs/mine", "--subset", "val", "--checkpoint", "last", "--json", "again.json")
    assert json.loads(Path("again.json").read_text())["checkpoint"] == "last"
    assert "again.json" in said
    assert "evaluation.json" not in said
    assert json.loads(Path("runs/mine/evaluation.json").read_text()) == evaluation, "the numbers of the best network stay"
    said = run("explain", "runs/mine", "my videos/rising/clip 0.mp4", "--out", "pictures")
    assert Path("pictures/clip 0.png").is_file()
    assert Path("pictures/clip 0.mp4").is_file()
    assert re.search(r"clip 0\.mp4: (rising|falling)  \d+\.\d %\n  pictures/clip 0\.png\n  pictures/clip 0\.mp4", said)
    run("export", "runs/mine", "--out", "net.safetensors")
    again = run("explain", "net.safetensors", "my videos/falling/clip 1.mp4", "--out", "more pictures")
    assert again.startswith("clip 1.mp4: "), "nothing about its clips has to be assumed"


def test_ctrl_c_is_a_short_message_and_an_exit_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(*_given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("objabn.exporting.export", interrupt)
    monkeypatch.setattr("sys.argv", ["objabn", "export", "runs/mine"])
    with pytest.raises(SystemExit) as stop:
        main.run()
    assert stop.value.code == 130
    assert capsys.readouterr().err == "objabn: interrupted.\n"


def test_plain_abn_has_no_pc_loss_unless_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shown = [run("train", "ucf101", "--dry-run", *flags) for flags in (["--system", "abn"], ["--system", "abn", "--pc"], [])]
    assert [re.search(r"^loss\.pc=(\S+)", text, re.MULTILINE)[1] for text in shown] == ["0.0", "0.0001", "0.0001"]


def test_several_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    for words in (["compare", "runs/mine"], ["report", "runs/mine"], ["prepare", "demo"]):
        error = CliRunner().invoke(app, words).exception
        assert str(error) == f"objabn {words[0]} is one process and WORLD_SIZE=4 asks for 4; start it without torchrun."


def test_a_dry_run_shows_all_settings_and_touches_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shown = run("train", "ucf101", "--heads", "3", "--set", "optim.lr=0.5", "--dry-run")
    lines = {line.partition("=")[0]: re.split(r"=|  +", line)[1:] for line in shown.splitlines()}
    assert lines["optim.lr"] == ["0.5", "command line"]
    assert lines["model.heads"] == ["3", "command line"]
    assert lines["optim.epochs"] == ["50", "Object-ABN section 4.2"]
    assert lines["loss.pc"] == ["0.0", "Object-ABN table 1: with three maps the PC loss costs 1.2 points"]
    assert lines["run.seed"] == ["0", "default of objabn"]
    assert lines["data.short_side"] == ["256,320", "Object-ABN section 4.2"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("system", ["object_abn", "abn", "st_abn", "saliency_lstm", "gated", "plain"])
def test_what_a_dry_run_shows_can_be_given_again(system: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shown = run("train", "ssv2", "--system", system, "--dry-run")
    given = [word for line in shown.splitlines()[1:-1] for word in ("--set", line.partition("  ")[0])]
    again = run("train", "nothing", *given, "--dry-run")
    settings = [[line.partition("  ")[0] for line in text.splitlines()[1:-1]] for text in (shown, again)]
    assert settings[0] == settings[1]
    assert len(settings[0]) == len({line.partition("=")[0] for line in settings[0]}) > 70


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
