"""What follows an epoch: the best network so far, with ties and kills, and the end of patience."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from toys import Recorder, Toy, nano, toy_batch, toy_config

from objabn.config import Config, OptimConfig, RunConfig
from objabn.evaluation import evaluate
from objabn.models.storage import load_model
from objabn.training import epochs, saving
from objabn.training.epochs import Measured
from objabn.training.logging import read_records, sentence
from objabn.training.loop import FitResult, fit
from objabn.training.run_folder import is_finished, read_progress
from objabn.training.scores import Accuracies


class Killed(BaseException):
    """Stands for SIGKILL."""


def config_of(*, run: RunConfig | None = None, **optim: object) -> Config:
    return toy_config(optim=OptimConfig(**{"epochs": 9, "batch": 4, "lr": 1e-3} | optim), run=run)


@pytest.fixture
def top1s(monkeypatch: pytest.MonkeyPatch) -> list[float | tuple[float, float]]:
    """The accuracies that the evaluations to come will find, or pairs of accuracy and negative log-likelihood."""
    found: list[float | tuple[float, float]] = []

    def measure(*_given: object) -> Measured:
        value = found.pop(0)
        top1, nll = value if isinstance(value, tuple) else (value, 1.0)
        return Measured(Accuracies(videos=8, top1=top1, top5=100.0, branch_top1=None, nll=nll, clip_top1=0.0), {"entropy_M_o": 2.5})

    monkeypatch.setattr("objabn.training.loop.measure", measure)
    return found


def fit_val(config: Config, folder: Path | None = None, **named: object) -> FitResult:
    clips = [toy_batch(seed) for seed in range(2)]
    return fit(Toy(config), clips, config, run_folder=folder, monitor=clips, monitor_subset="val", **{"loggers": []} | named)


def weights_in(folder: Path) -> torch.Tensor:
    return load_file(folder / "model.safetensors")["classify.weight"]


def test_of_equal_results_the_earlier_epoch_is_the_best(tmp_path: Path, top1s: list[float]) -> None:
    top1s += [25.0, 50.0, 50.0]
    saved = []

    class Watch(Recorder):
        def log(self, record: dict) -> None:
            if record["event"] == "step" and record["step"] == 5:  # epochs have two steps: the checkpoint is that of epoch 2
                saved.append(weights_in(tmp_path / "last"))

    fit_val(config_of(epochs=3), tmp_path, loggers=[Watch()])
    progress = read_progress(tmp_path)
    assert (progress["best_top1"], progress["best_epoch"]) == (50.0, 2)
    assert torch.equal(weights_in(tmp_path / "best"), saved[0])
    assert not torch.equal(weights_in(tmp_path / "best"), weights_in(tmp_path / "last"))


def test_of_equal_accuracies_the_surer_epoch_is_the_best(tmp_path: Path, top1s: list[float | tuple[float, float]]) -> None:
    top1s += [(50.0, 0.9), (50.0, 0.4), (50.0, 0.6), (40.0, 0.1)]
    fit_val(config_of(epochs=4), tmp_path)
    progress = read_progress(tmp_path)
    assert (progress["best_top1"], progress["best_nll"], progress["best_epoch"]) == (50.0, 0.4, 2)


def test_an_accuracy_of_zero_is_a_best_too(tmp_path: Path, top1s: list[float]) -> None:
    top1s += [0.0]
    fit_val(config_of(epochs=1), tmp_path)
    assert (tmp_path / "best/model.safetensors").is_file()


def test_best_is_the_network_whose_accuracy_is_written_down(tmp_path: Path) -> None:
    config, clips = config_of(epochs=4, lr=1e-2), [toy_batch(seed) for seed in range(2)]
    history = fit(nano(config), clips, config, run_folder=tmp_path, monitor=clips, monitor_subset="val", loggers=[]).history
    best = read_progress(tmp_path)["best_epoch"]
    found = evaluate(load_model(tmp_path / "best/model.safetensors"), clips)
    assert (found.top1, found.nll) == (history[best - 1]["val_top1"], history[best - 1]["val_nll"])


@pytest.mark.parametrize("module", [epochs, saving])
def test_a_kill_around_best_changes_nothing(tmp_path: Path, top1s: list[float], monkeypatch: pytest.MonkeyPatch, module: object) -> None:
    accuracies = [25.0, 50.0, 40.0]
    top1s += accuracies
    fit_val(config_of(epochs=3), tmp_path / "straight")
    # Once best/ of the second epoch is written, and while it is written.
    name = "save" if module is epochs else "save_model"
    with monkeypatch.context() as patch:
        patch.setattr(module, name, killed_at_second(getattr(module, name)))
        top1s += accuracies
        with pytest.raises(Killed):
            fit_val(config_of(epochs=3), tmp_path / "killed")
    assert read_progress(tmp_path / "killed")["epoch"] == 1
    top1s[:] = accuracies[1:]
    fit_val(config_of(epochs=3), tmp_path / "killed", resume=True)
    assert torch.equal(weights_in(tmp_path / "killed/best"), weights_in(tmp_path / "straight/best"))
    assert read_progress(tmp_path / "killed")["best_epoch"] == 2


def killed_at_second(function: Callable[..., None]) -> Callable[..., None]:
    """The function, which kills the process instead when it is called for the second time."""
    calls = []

    def call(*given: object) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise Killed
        function(*given)

    return call


def test_patience_ends_a_run_that_then_is_finished(tmp_path: Path, top1s: list[float]) -> None:
    top1s += [25.0, 50.0, 40.0, 50.0, 60.0]
    config = config_of(patience_epochs=2)
    result = fit_val(config, tmp_path)
    why = "nothing better on val for 2 epochs than 50.0 % (NLL 1.000) after epoch 2"
    assert [record.get("stopped") for record in result.history] == [None, None, None, why]
    assert read_records(tmp_path / "log.jsonl")[-1]["stopped"] == why
    assert sentence(result.history[-1]).endswith(f"stopped: {why}")
    assert is_finished(tmp_path, config)
    assert fit_val(config, tmp_path, resume=True) == result
    assert top1s == [60.0], "no epoch more was evaluated"


def test_patience_is_asked_only_where_there_is_a_new_accuracy(top1s: list[float]) -> None:
    top1s += [50.0, 50.0]
    config = config_of(patience_epochs=1, run=RunConfig(device="cpu", evaluate_epochs=2, checkpoint_minutes=0))
    assert fit_val(config).epochs == 4


def test_a_run_that_has_its_epochs_is_not_called_stopped(top1s: list[float]) -> None:
    top1s += [50.0, 40.0, 30.0]
    result = fit_val(config_of(epochs=3, patience_epochs=2))
    assert result.epochs == 3
    assert "stopped" not in result.history[-1]


def test_patience_leaves_the_learning_rate_alone(top1s: list[float]) -> None:
    rates = []
    for patience in (0, 1):
        top1s[:] = [50.0] * 4
        recorder = Recorder()
        fit_val(config_of(epochs=4, patience_epochs=patience, schedule="cosine"), loggers=[recorder])
        rates.append(recorder.of("step", "learning_rate"))
    assert rates[1] == rates[0][:4]


def test_patience_needs_a_val_that_is_looked_at(tmp_path: Path) -> None:
    config, clips = config_of(patience_epochs=3), [toy_batch(0)]
    never = replace(config, run=replace(config.run, evaluate_epochs=0))
    for settings, monitor, subset in ((config, None, "val"), (config, clips, "test"), (never, clips, "val")):
        with pytest.raises(ValueError, match=r"optim.patience_epochs=3 needs a subset `val`.*data.val_fraction=0.2"):
            fit(Toy(config), clips, settings, run_folder=tmp_path / "run", monitor=monitor, monitor_subset=subset, loggers=[])
    assert not (tmp_path / "run").exists()
