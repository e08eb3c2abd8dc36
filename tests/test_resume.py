"""A run that was killed and resumed ends with the very tensors of one that was not."""

import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from toys import Recorder, Toy, nano, toy_batch, toy_config

from objabn import checkpoint as checkpoint_module
from objabn.checkpoint import find_checkpoint, settle, write_checkpoint
from objabn.config import Config, LossConfig, OptimConfig, RunConfig
from objabn.training.logging import read_records
from objabn.training.loop import fit
from objabn.training.run_folder import consumed_samples
from objabn.types import Batch

pytestmark = pytest.mark.usefixtures("shallow")


class Killed(BaseException):
    """Stands for SIGKILL: nothing in between may catch it."""


class Balanced(list):
    """Batches that know how many training videos each class has."""

    class_counts = (4, 2, 6)


class Mortal(Balanced):
    """Batches that kill the process when one too many is asked for."""

    def __init__(self, batches: list[Batch], lives: int) -> None:
        super().__init__(batches)
        self.lives = lives

    def __iter__(self) -> Iterator[Batch]:
        for batch in super().__iter__():
            if self.lives == 0:
                raise Killed
            self.lives -= 1
            yield batch


def config_of(*, accumulate: int = 1, checkpoint_steps: int = 0, name: str = "adam") -> Config:
    optim = OptimConfig(name=name, epochs=2, batch=4 * accumulate, accumulate=accumulate, lr=1e-2, schedule="cosine", clip_norm=1.0)
    # Two runs that each look for the fastest kernels may find others, and then not have the same bits: test_training_kernels.py
    run = RunConfig(device="cpu", log_steps=2, checkpoint_steps=checkpoint_steps, checkpoint_minutes=0, kernels="stock")
    return toy_config(optim=optim, run=run, dropout=0.5)


def tensors_of(folder: Path) -> dict[str, torch.Tensor]:
    found = load_file(folder / "last" / "model.safetensors") | load_file(folder / "last" / "state.safetensors")
    # Seconds are the one thing that may differ: they are also part of what was read at the last line of the log.
    for name in ("meter.times", "meter.read"):
        found.pop(name)
    return found


def assert_same_end(one: Path, other: Path) -> None:
    first, second = tensors_of(one), tensors_of(other)
    assert first.keys() == second.keys()
    assert any(name.startswith("optimizer.") for name in first)
    assert any(name.startswith("objective.") for name in first), "the prototypes are part of it"
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


def disturb() -> None:
    """Leave the generators as a new process would: somewhere else."""
    torch.manual_seed(999)
    random.seed(999)
    np.random.seed(999)


@pytest.mark.parametrize(
    ("lives", "batches", "accumulate", "checkpoint_steps", "name"),
    [
        (3, 3, 1, 0, "adam"),  # three steps are one epoch, then it is killed
        (5, 4, 1, 3, "adamw"),  # from a checkpoint in the middle of the first epoch
        (9, 6, 2, 1, "sgd"),  # in the middle of the second epoch and of an accumulation
        (8, 7, 2, 2, "adam"),  # seven batches are three steps; the last one is dropped
    ],
)
def test_three_steps_kill_resume_three_steps_equal_six_straight(
    tmp_path: Path, lives: int, batches: int, accumulate: int, checkpoint_steps: int, name: str
) -> None:
    config = config_of(accumulate=accumulate, checkpoint_steps=checkpoint_steps, name=name)
    clips = [toy_batch(seed) for seed in range(batches)]
    fit(nano(config), clips, config, run_folder=tmp_path / "straight", monitor=clips[:1], loggers=[])
    with pytest.raises(Killed):
        fit(nano(config), Mortal(clips, lives), config, run_folder=tmp_path / "killed", monitor=clips[:1], loggers=[])
    assert 0 < consumed_samples(tmp_path / "killed") <= 4 * lives
    disturb()
    fit(nano(config, seed=5), clips, config, run_folder=tmp_path / "killed", resume=True, monitor=clips[:1], loggers=[])
    assert_same_end(tmp_path / "straight", tmp_path / "killed")
    assert [loss_of(record) for record in log_of(tmp_path / "killed")] == [loss_of(record) for record in log_of(tmp_path / "straight")]


@pytest.mark.parametrize(
    ("lives", "settings"),
    [
        (4, {"ema": 0.9}),  # three batches an epoch: killed in the second one
        (3, {"freeze": ("stem", "norms"), "ema": 0.5}),
        (5, {"backbone_factor": 0.1, "branch_factor": 2.0, "weight_decay": 0.1, "name": "adamw"}),
        (4, {"epochs": 9, "lr": 1e-30, "patience_epochs": 1}),  # nothing gets better: the second epoch is the last
    ],
)
def test_every_way_of_learning_is_resumed_exactly(tmp_path: Path, lives: int, settings: dict[str, object]) -> None:
    config = config_of(checkpoint_steps=2)
    loss = LossConfig(label_smoothing=0.1, class_weights="balanced")
    config = replace(config, loss=loss, optim=replace(config.optim, **settings))
    clips, named = Balanced(toy_batch(seed) for seed in range(3)), {"monitor": [toy_batch(9)], "monitor_subset": "val", "loggers": []}
    straight = fit(nano(config), clips, config, run_folder=tmp_path / "straight", **named)
    assert straight.epochs == 2
    with pytest.raises(Killed):
        fit(nano(config), Mortal(clips, lives), config, run_folder=tmp_path / "killed", **named)
    disturb()
    fit(nano(config, seed=5), clips, config, run_folder=tmp_path / "killed", resume=True, **named)
    assert_same_end(tmp_path / "straight", tmp_path / "killed")
    assert [loss_of(record) for record in log_of(tmp_path / "killed")] == [loss_of(record) for record in log_of(tmp_path / "straight")]
    best = [load_file(tmp_path / name / "best/model.safetensors") for name in ("straight", "killed")]
    assert all(torch.equal(value, best[1][name]) for name, value in best[0].items())


def log_of(folder: Path) -> list[dict]:
    return read_records(folder / "log.jsonl")


def loss_of(record: dict) -> tuple:
    return record["event"], record["epoch"], record["step"], record["loss"], record["top1"], record.get("test_nll")


class Counting:
    """A loader that keeps count, as those of real data do."""

    def __init__(self, batches: list[Batch], start_sample: int = 0) -> None:
        self.batches, self.state = batches, start_sample

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.batches[self.state // 4 % len(self) :]:
            self.state += 4
            yield batch


def test_a_loader_that_keeps_count_is_not_skipped_but_checked(tmp_path: Path) -> None:
    config, clips = config_of(checkpoint_steps=2), [toy_batch(seed) for seed in range(3)]
    fit(Toy(config), Counting(clips), config, run_folder=tmp_path / "straight", loggers=[])
    with pytest.raises(Killed):
        fit(Toy(config), Mortal(clips, 5), config, run_folder=tmp_path / "killed", loggers=[])
    start = consumed_samples(tmp_path / "killed")
    assert start == 4 * 4
    with pytest.raises(ValueError, match=r"stands at sample 0, the run at 16.*consumed_samples"):
        fit(Toy(config), Counting(clips), config, run_folder=tmp_path / "killed", resume=True, loggers=[])
    fit(Toy(config), Counting(clips, start), config, run_folder=tmp_path / "killed", resume=True, loggers=[])
    assert_same_end(tmp_path / "straight", tmp_path / "killed")


def test_resume_begins_continues_and_ends(tmp_path: Path) -> None:
    config, clips, folder = config_of(), [toy_batch(0)], tmp_path / "run"
    assert consumed_samples(folder) == 0
    first = fit(Toy(config), clips, config, run_folder=folder, resume=True, loggers=[])
    with pytest.raises(ValueError, match="holds a run already; continue it with --resume"):
        fit(Toy(config), clips, config, run_folder=folder, loggers=[])
    recorder = Recorder()
    again = fit(Toy(config), clips, config, run_folder=folder, resume=True, loggers=[recorder])
    assert recorder.records == [], "a finished run is not trained further"
    assert again == first


def test_resume_refuses_settings_that_lead_elsewhere_and_takes_those_that_do_not(tmp_path: Path) -> None:
    config, clips = config_of(), [toy_batch(0)]
    fit(Toy(config), clips, config, run_folder=tmp_path, resume=True, loggers=[])
    other = replace(config, optim=replace(config.optim, lr=0.5))
    with pytest.raises(ValueError, match=r"begun with other settings \(optim.lr\)"):
        fit(Toy(config), clips, other, run_folder=tmp_path, resume=True, loggers=[])
    elsewhere = replace(config, run=replace(config.run, log_steps=7), data=replace(config.data, loader="reader"))
    fit(Toy(config), clips, elsewhere, run_folder=tmp_path, resume=True, loggers=[])


@pytest.mark.parametrize("count", [2, 4])
def test_a_run_does_not_go_on_with_more_or_fewer_videos(tmp_path: Path, count: int) -> None:
    config, clips = config_of(checkpoint_steps=1), [toy_batch(seed) for seed in range(4)]
    with pytest.raises(Killed):
        fit(Toy(config), Mortal(clips[:3], 4), config, run_folder=tmp_path, loggers=[])
    with pytest.raises(ValueError, match=f"An epoch has {count} steps and had 3 when the run began"):
        fit(Toy(config), clips[:count], config, run_folder=tmp_path, resume=True, loggers=[])


def test_lines_after_the_checkpoint_are_dropped_from_the_log(tmp_path: Path) -> None:
    config, clips = config_of(checkpoint_steps=3), [toy_batch(seed) for seed in range(5)]
    with pytest.raises(Killed):
        fit(Toy(config), Mortal(clips, 4), config, run_folder=tmp_path, loggers=[])
    assert [record["step"] for record in log_of(tmp_path)] == [2, 4]
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"event": "step", "epo')  # cut short by the kill
    fit(Toy(config), clips, config, run_folder=tmp_path, resume=True, loggers=[])
    assert [record["step"] for record in log_of(tmp_path)] == [2, 4, 5, 6, 8, 10, 10]


def write_number(folder: Path, number: int) -> None:
    write_checkpoint(folder, "last", lambda place: (place / "number.txt").write_text(str(number)))


@pytest.mark.parametrize("moment", range(6))
def test_a_kill_at_any_moment_of_the_swap_leaves_a_whole_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int) -> None:
    write_number(tmp_path, 1)
    moments: Iterator[None] = iter([None] * moment)

    def mortal(function):  # noqa: ANN001, ANN202
        def call(*given, **named):  # noqa: ANN002, ANN003, ANN202
            if next(moments, moment) is not None:
                raise Killed
            return function(*given, **named)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", mortal(Path.rename))
        patch.setattr(checkpoint_module, "write_json", mortal(checkpoint_module.write_json))
        patch.setattr(checkpoint_module, "remove", mortal(checkpoint_module.remove))
        with pytest.raises(Killed):
            write_number(tmp_path, 2)
    found = find_checkpoint(tmp_path)
    # Before the write are two removals of leftovers; then manifest, rename, rename, removal of the old one.
    assert (found / "number.txt").read_text() == ("1" if moment <= 3 else "2")
    settle(tmp_path, "last")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last"]
    write_number(tmp_path, 3)
    assert (tmp_path / "last" / "number.txt").read_text() == "3"


def test_resume_after_a_kill_between_the_two_renames(tmp_path: Path) -> None:
    config, clips = config_of(), [toy_batch(seed) for seed in range(3)]
    fit(Toy(config), clips, config, run_folder=tmp_path / "straight", loggers=[])
    with pytest.raises(Killed):
        fit(Toy(config), Mortal(clips, 3), config, run_folder=tmp_path / "killed", loggers=[])
    shutil.move(tmp_path / "killed" / "last", tmp_path / "killed" / "last.tmp")
    (tmp_path / "killed" / "last.old").mkdir()
    fit(Toy(config), clips, config, run_folder=tmp_path / "killed", resume=True, loggers=[])
    assert_same_end(tmp_path / "straight", tmp_path / "killed")
    assert not (tmp_path / "killed" / "last.old").exists()


def test_a_file_cut_short_is_not_taken_for_a_checkpoint(tmp_path: Path) -> None:
    write_number(tmp_path, 12)
    (tmp_path / "last" / "number.txt").write_text("1")
    assert find_checkpoint(tmp_path) is None


def train_until_killed(folder: Path) -> None:
    """What a subprocess of the next test runs: slow steps, each with a checkpoint."""
    config = config_of(checkpoint_steps=1)
    fit(Toy(config), [toy_batch(seed) for seed in range(40)], config, run_folder=folder, resume=True, loggers=[])


@pytest.mark.slow
def test_real_kills_at_any_moment_change_nothing(tmp_path: Path) -> None:
    train_until_killed(tmp_path / "straight")
    code = "import sys; from pathlib import Path; from test_resume import train_until_killed; train_until_killed(Path(sys.argv[1]))"
    command = [sys.executable, "-c", code, str(tmp_path / "killed")]
    kills = 0
    for milliseconds in (50, 150, 250):
        process = subprocess.Popen(command, cwd=Path(__file__).parent)
        before = consumed_samples(tmp_path / "killed")
        while process.poll() is None and consumed_samples(tmp_path / "killed") == before:
            time.sleep(0.001)
        time.sleep(milliseconds / 1000)
        process.kill()
        kills += process.wait() == -signal.SIGKILL
    assert kills >= 1, "one was killed on its way"
    train_until_killed(tmp_path / "killed")
    assert_same_end(tmp_path / "straight", tmp_path / "killed")
