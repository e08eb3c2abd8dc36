"""The learning rate that follows the monitored subset: PyTorch's rules, known again after a kill, and refused where nobody measures."""

import random
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from toys import CLASSES, Recorder, Toy, toy_batch, toy_config

from objabn.config import Config, OptimConfig
from objabn.training.epochs import Measured
from objabn.training.logging import read_records
from objabn.training.loop import fit
from objabn.training.optim import learning_rate, plateaus
from objabn.training.scores import Accuracies
from objabn.training.signals import Interrupted

CLIPS = [toy_batch(seed) for seed in range(2)]


def config_of(**optim: object) -> Config:
    return toy_config(optim=OptimConfig(**{"epochs": 5, "batch": 4, "lr": 0.5, "schedule": "plateau", "plateau_epochs": 1} | optim))


def records(nlls: list[float], *, every: int = 1) -> list[dict]:
    return [{"epoch": every * (place + 1), "val_nll": nll} for place, nll in enumerate(nlls)]


@pytest.mark.parametrize("patience", [0, 1, 5])
def test_rates_are_those_of_torchs_own_scheduler(patience: int) -> None:
    generator = random.Random(patience)
    nlls = [generator.choice([0.5, 0.6, 0.7, 0.60001, 0.59999]) * 0.98**place for place in range(60)]
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=patience, eps=0.0)
    config = OptimConfig(lr=1.0, schedule="plateau", step_factor=0.5, plateau_epochs=patience)
    ours, theirs = [], []
    for epoch in range(1, len(nlls) + 1):
        scheduler.step(nlls[epoch - 1])
        theirs.append(optimizer.param_groups[0]["lr"])
        ours.append(learning_rate(config, 4 * epoch, steps_per_epoch=4, history=records(nlls[:epoch])))
    assert ours == pytest.approx(theirs)
    assert 2 <= plateaus(records(nlls), patience) < 60


def test_epochs_are_counted_and_not_evaluations() -> None:
    # Measured every third epoch: the best is that of epoch 3, epoch 6 is the third one without a better one.
    assert plateaus(records([1.0, 2.0], every=3), 2) == 1
    assert plateaus(records([1.0, 2.0], every=3), 3) == 0
    assert plateaus([{"epoch": 1}, {"epoch": 2}], 0) == 0, "epochs without a result are no plateau"


def test_the_warm_up_comes_first() -> None:
    config = OptimConfig(lr=0.8, schedule="plateau", plateau_epochs=0, warmup_epochs=1.0)
    history = records([1.0, 1.0])
    assert learning_rate(config, 1, steps_per_epoch=4, history=history) == pytest.approx(0.4)
    assert learning_rate(config, 8, steps_per_epoch=4, history=history) == pytest.approx(0.08)


@pytest.fixture
def nlls(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The negative log-likelihoods that the evaluations to come will find."""
    found: list[float] = []

    def measure(*_given: object) -> Measured:
        return Measured(Accuracies(videos=8, top1=50.0, top5=100.0, branch_top1=None, nll=found.pop(0), clip_top1=0.0), {})

    monkeypatch.setattr("objabn.training.loop.measure", measure)
    return found


def test_the_rate_falls_between_epochs_and_is_written_down(tmp_path: Path, nlls: list[float]) -> None:
    nlls += [1.0, 1.0, 1.0, 0.5, 0.6]
    config, recorder = config_of(), Recorder()
    fit(Toy(config), CLIPS, config, run_folder=tmp_path, monitor=CLIPS, monitor_subset="val", loggers=[recorder])
    # Epochs 2 and 3 are no better than the first; from epoch 4 on it is a tenth.
    assert recorder.of("step", "learning_rate") == pytest.approx([0.5] * 6 + [0.05] * 4)
    told = [record["learning_rate"] for record in read_records(tmp_path / "log.jsonl") if record["event"] == "epoch"]
    assert told == pytest.approx([0.5, 0.5, 0.5, 0.05, 0.05])


def test_other_schedules_leave_the_epochs_record_as_it_was(nlls: list[float]) -> None:
    nlls += [1.0] * 5
    config = config_of(schedule="constant")
    assert all("learning_rate" not in record for record in fit(Toy(config), CLIPS, config, monitor=CLIPS, loggers=[]).history)


class StopAt:
    """A logger that has the run stopped after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def log(self, record: dict) -> None:
        if record["step"] == self.step:
            signal.raise_signal(signal.SIGTERM)

    def close(self) -> None:
        pass


@pytest.mark.parametrize("step", [4, 7])
def test_a_resumed_run_is_the_straight_one_bit_for_bit(tmp_path: Path, step: int) -> None:
    # With labels that are wrong, what is learnt raises the NLL, and each rise lowers the rate.
    config = config_of(epochs=6, lr=0.03, plateau_epochs=0)
    wrong = [batch._replace(label=(batch.label + 1) % CLASSES) for batch in CLIPS]
    named = {"monitor": wrong, "monitor_subset": "val"}
    straight = fit(Toy(config), CLIPS, config, run_folder=tmp_path / "straight", loggers=[], **named)
    assert len({record["learning_rate"] for record in straight.history}) > 1
    with pytest.raises(Interrupted):
        fit(Toy(config), CLIPS, config, run_folder=tmp_path / "killed", loggers=[StopAt(step)], **named)
    resumed = fit(Toy(config, seed=9), CLIPS, config, run_folder=tmp_path / "killed", resume=True, loggers=[], **named)
    names = ("loss", "val_nll", "learning_rate")
    assert [[record[name] for name in names] for record in resumed.history] == [
        [record[name] for name in names] for record in straight.history
    ]
    files = [load_file(tmp_path / name / "last/model.safetensors") for name in ("straight", "killed")]
    assert all(torch.equal(value, files[1][name]) for name, value in files[0].items())


def test_a_plateau_needs_a_subset_that_is_looked_at(tmp_path: Path) -> None:
    config = config_of()
    never = replace(config, run=replace(config.run, evaluate_epochs=0))
    for settings, monitor, subset in ((config, None, "val"), (never, CLIPS, "val"), (config, CLIPS, "test")):
        with pytest.raises(ValueError, match=r"optim.schedule=plateau needs a subset `val` and run.evaluate_epochs of at least 1"):
            fit(Toy(config), CLIPS, settings, run_folder=tmp_path / "run", monitor=monitor, monitor_subset=subset, loggers=[])
    assert not (tmp_path / "run").exists()
