"""The command line under torchrun: numbers are those of one process, and a run outlives the death of any of its processes."""

import json
import signal
from pathlib import Path

import pytest
from commands import SMALL, run, write_own_videos
from ranks import COMMAND, kill_when, run_ranks, torchrun, wait_for
from safetensors.torch import load_file

from objabn.training.logging import read_records

TRAIN = [
    *("train", "mine", *SMALL, "--epochs", "4", "--loader", "reader", "--set", "data.threads=1"),
    *("--set", "run.log_steps=1", "--set", "run.checkpoint_steps=1"),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The option that names the folder of a small packed dataset with masks, `mine`."""
    root = tmp_path_factory.mktemp("commands")
    write_own_videos(root)
    run("prepare", str(root / "my videos"), "--out", str(root / "data/mine"))
    run("masks", "mine", "--from", str(root / "my masks"), "--data", str(root / "data"))
    return ["--data", str(root / "data")]


@pytest.mark.slow
def test_evaluation_over_ranks_equals_one_rank_exactly(data: list[str], tmp_path: Path) -> None:
    said = run_ranks(COMMAND, *TRAIN, *data, "--out", tmp_path / "run")
    assert "The run is in" in said[0]
    assert said[1] == ""
    trained = json.loads((tmp_path / "run/evaluation.json").read_text())
    for number, views in enumerate(("1x1", "2x3")):
        files = [tmp_path / f"{name}{number}.json" for name in ("one", "two", "three")]
        for world, file in enumerate(files, 1):
            words = ["evaluate", tmp_path / "run", "--views", views, "--json", file, *data]
            said = run_ranks(COMMAND, *words, world=world)
            assert said[1:] == [""] * (world - 1)
        one, *others = (json.loads(file.read_text()) for file in files)
        assert one["videos"] == 4
        assert others == [one, one], "three ranks have two blocks of videos, and one of nothing"
        assert one == trained or views == "2x3"


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_rank_is_started_again_and_nothing_is_counted_twice(data: list[str], tmp_path: Path, rank: int) -> None:
    run_ranks(COMMAND, *TRAIN, *data, "--out", tmp_path / "straight")
    launcher = torchrun(*TRAIN, *data, "--out", tmp_path / "killed", restarts=1)
    kill_when(launcher, rank, tmp_path / "killed/log.jsonl", '"step": 3,')
    printed, said = launcher.communicate(timeout=240)
    assert launcher.returncode == 0, said
    assert "The run is in" in printed
    straight, killed = (read_records(tmp_path / name / "log.jsonl") for name in ("straight", "killed"))
    assert [record["step"] for record in killed] == [record["step"] for record in straight] == [1, 2, 2, 3, 4, 4, 5, 6, 6, 7, 8, 8]
    assert [record["loss"] for record in killed] == [record["loss"] for record in straight]
    ours, theirs = (load_file(tmp_path / name / "last/model.safetensors") for name in ("killed", "straight"))
    assert all(bool((value == theirs[name]).all()) for name, value in ours.items())
    assert (tmp_path / "killed/evaluation.json").read_text() == (tmp_path / "straight/evaluation.json").read_text()


@pytest.mark.slow
def test_torchrun_is_stopped_and_another_number_of_processes_goes_on(data: list[str], tmp_path: Path) -> None:
    launcher = torchrun(*TRAIN, *data, "--out", tmp_path / "run", "--set", "run.checkpoint_steps=0")
    wait_for(launcher, tmp_path / "run/log.jsonl", '"step": 3,')
    launcher.send_signal(signal.SIGTERM)
    printed, said = launcher.communicate(timeout=240)
    assert launcher.returncode != 0
    assert "Training stopped at SIGTERM. Its checkpoint is in" in printed, said
    assert json.loads((tmp_path / "run/last/state.json").read_text())["progress"]["step"] >= 3, (
        "a checkpoint that only the signal asked for"
    )
    run(*TRAIN, *data, "--out", str(tmp_path / "run"), "--resume")
    steps = [record["step"] for record in read_records(tmp_path / "run/log.jsonl")]
    assert steps == [1, 2, 2, 3, 4, 4, 5, 6, 6, 7, 8, 8]


@pytest.mark.slow
def test_a_batch_that_ranks_cannot_share_is_refused(data: list[str], tmp_path: Path) -> None:
    said = run_ranks(f"import sys; sys.stderr = sys.stdout; {COMMAND}", *TRAIN, *data, "--out", tmp_path / "run", "--batch", "3", code=2)
    assert said[0].endswith("objabn: optim.batch=3 is not possible; it must be a multiple of accumulate x ranks = 2.\n")
    assert not (tmp_path / "run/config.json").exists()
