"""TensorBoard's file is read back, Weights & Biases runs offline; a resumed run goes on in both."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from toys import Recorder, Toy, toy_batch, toy_config

from objabn.config import Config, RunConfig
from objabn.training.loop import fit
from objabn.training.trackers import WeightsAndBiases, numbers


def config_of(*names: str, checkpoint_steps: int = 0) -> Config:
    return toy_config(
        run=RunConfig(device="cpu", log_steps=1, log_to=names, checkpoint_steps=checkpoint_steps, checkpoint_minutes=0), dropout=0.5
    )


class Dies(Recorder):
    """A logger that ends the process at a step."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def log(self, record: dict) -> None:
        if record["step"] == self.step:
            raise KeyboardInterrupt


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator").EventAccumulator(str(folder))
    accumulator.Reload()
    return {tag: [(event.step, event.value) for event in accumulator.Scalars(tag)] for tag in accumulator.Tags()["scalars"]}


def test_tensorboard_shows_what_the_log_holds_and_a_resumed_run_goes_on(tmp_path: Path) -> None:
    config, clips = config_of("tensorboard", checkpoint_steps=2), [toy_batch(seed) for seed in range(3)]
    recorder = Recorder()
    fit(Toy(config), clips, config, run_folder=tmp_path / "straight", monitor=clips, loggers=[recorder])
    straight = curves(tmp_path / "straight/tensorboard")
    assert straight["step/loss"] == [(step, pytest.approx(loss)) for step, loss in enumerate(recorder.of("step", "loss"), 1)]
    assert straight["epoch/test_nll"] == [(3 * i, pytest.approx(nll)) for i, nll in enumerate(recorder.of("epoch", "test_nll"), 1)]
    assert {"step/learning_rate", "epoch/top1", "epoch/mask"} < set(straight)
    assert "step/seconds" not in straight
    # The checkpoint is of step 4; step 5 is written, and hidden by the run that takes it again.
    with pytest.raises(KeyboardInterrupt):
        fit(Toy(config), clips, config, run_folder=tmp_path / "killed", monitor=clips, loggers=[Dies(6)])
    assert [step for step, _ in curves(tmp_path / "killed/tensorboard")["step/loss"]] == [1, 2, 3, 4, 5]
    fit(Toy(config), clips, config, run_folder=tmp_path / "killed", resume=True, monitor=clips, loggers=[])
    resumed = curves(tmp_path / "killed/tensorboard")
    for name in ("step/loss", "step/learning_rate", "epoch/test_nll", "epoch/loss"):
        assert resumed[name] == straight[name]


def test_words_and_positions_are_no_curves() -> None:
    record = {"event": "epoch", "epoch": 2, "step": 6, "seconds": 1.5, "loss": 0.5, "val_top1": 50.0, "stopped": "no better"}
    assert numbers(record) == {"epoch/loss": 0.5, "epoch/val_top1": 50.0}


class FakeWandb(SimpleNamespace):
    """Stands for the module: keeps what it is called with."""

    class Error(Exception):
        pass

    def init(self, **settings: object) -> SimpleNamespace:
        if self.error:
            raise self.Error(self.error)
        self.settings.append(settings)
        return SimpleNamespace(
            log=lambda values, step: self.logged.append((step, values)), finish=lambda: self.logged.append(("finished", {}))
        )


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> FakeWandb:
    module = FakeWandb(settings=[], logged=[], error=None)
    monkeypatch.setitem(sys.modules, "wandb", module)
    return module


def test_a_resumed_run_keeps_its_page(tmp_path: Path, wandb: FakeWandb) -> None:
    config, clips = config_of("wandb"), [toy_batch(0)]
    with pytest.raises(KeyboardInterrupt):
        fit(Toy(config), clips, config, run_folder=tmp_path / "mine", loggers=[Dies(2)])
    fit(Toy(config), clips, config, run_folder=tmp_path / "mine", resume=True, loggers=[])
    first, second = wandb.settings
    assert first == second
    assert first["id"] == (tmp_path / "mine/wandb_id").read_text()
    assert (first["project"], first["name"], first["resume"]) == ("objabn", "mine", "allow")
    assert first["config"]["optim"]["lr"] == config.optim.lr
    steps = [step for step, values in wandb.logged if "step/loss" in values or step == "finished"]
    assert steps == [1, "finished", 2, "finished"]


def test_a_page_that_does_not_open_is_one_sentence(tmp_path: Path, wandb: FakeWandb) -> None:
    wandb.error = "No API key configured."
    with pytest.raises(RuntimeError, match=r"did not open \(No API key configured\); WANDB_MODE=offline keeps"):
        WeightsAndBiases(tmp_path, Config())


@pytest.mark.slow
def test_weights_and_biases_for_real_and_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    for name in ("CONFIG_DIR", "CACHE_DIR", "DATA_DIR"):
        monkeypatch.setenv(f"WANDB_{name}", str(tmp_path / name))
    config, clips = config_of("wandb"), [toy_batch(0)]
    with pytest.raises(KeyboardInterrupt):
        fit(Toy(config), clips, config, run_folder=tmp_path / "run", loggers=[Dies(2)])
    fit(Toy(config), clips, config, run_folder=tmp_path / "run", resume=True, loggers=[])
    files = list((tmp_path / "run/wandb").glob("offline-run-*/*.wandb"))
    assert [path.stem for path in files] == [f"run-{(tmp_path / 'run/wandb_id').read_text()}"] * 2
    assert all(b"step/loss" in path.read_bytes() for path in files)


@pytest.mark.parametrize(("name", "module"), [("tensorboard", "torch.utils.tensorboard"), ("wandb", "wandb")])
def test_a_missing_package_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, module: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    config = config_of(name)
    with pytest.raises(RuntimeError, match=r"is not installed, and run.log_to asks for it; pip install 'objabn\[track\]'"):
        fit(Toy(config), [toy_batch(0)], config, run_folder=tmp_path / "run", loggers=[])


def test_places_that_do_not_exist_and_runs_without_a_folder_are_refused() -> None:
    with pytest.raises(ValueError, match=r"run.log_to=mlflow is not possible; it must be tensorboard, wandb"):
        config_of("mlflow")
    config = config_of("tensorboard")
    with pytest.raises(ValueError, match=r"run.log_to=tensorboard writes into the folder of a run"):
        fit(Toy(config), [toy_batch(0)], config, loggers=[])
