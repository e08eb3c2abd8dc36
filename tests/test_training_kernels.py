"""The kernels of a run: chosen when it begins, the same when it goes on, and gone from the network afterwards."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_resume import Killed, Mortal, assert_same_end
from toys import nano, toy_batch, toy_config

from objabn.config import Config, OptimConfig, RunConfig
from objabn.kernels import optimize
from objabn.kernels.modules import DepthwiseConv3d
from objabn.training.kernels import chosen_kernels
from objabn.training.loop import fit
from objabn.training.precision import resolve_precision

pytestmark = pytest.mark.usefixtures("shallow")


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch) -> Config:
    """Settings of a run that looks for kernels, and a trial that always finds others than PyTorch's own."""

    def other_ways(clip: torch.Tensor, kernel: tuple[int, int, int], stride: int) -> dict[str, dict[str, float]]:
        return {"forward": {"stock": 1.0}, "input_gradient": {"flipped": 1.0, "stock": 2.0}, "weight_gradient": {"stock": 1.0}}

    monkeypatch.setattr(optimize, "time_directions", other_ways)
    return toy_config(run=RunConfig(device="cpu", log_steps=1, checkpoint_minutes=0))


def test_a_run_keeps_its_kernels_and_gives_the_network_back_as_it_was(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches, net = [toy_batch(0), toy_batch(1)], nano(config)
    fit(net, batches, replace(config, optim=replace(config.optim, epochs=1)), run_folder=tmp_path, loggers=[])
    assert not [module for module in net.modules() if isinstance(module, DepthwiseConv3d)]
    kept = json.loads((tmp_path / "kernels.json").read_text())
    assert kept["ways"]
    assert {ways["input_gradient"] for ways in kept["ways"].values()} == {"flipped"}
    # A run that goes on tries nothing.
    monkeypatch.setattr(optimize, "time_directions", None)
    with chosen_kernels(net, config, resolve_precision("cpu", "off"), tmp_path):
        assert [module for module in net.modules() if isinstance(module, DepthwiseConv3d)]


def test_a_killed_run_goes_on_with_its_kernels_to_the_same_bits(config: Config, tmp_path: Path) -> None:
    config = replace(config, optim=OptimConfig(epochs=2, batch=4, lr=1e-2), run=replace(config.run, checkpoint_steps=2))
    batches = [toy_batch(seed) for seed in range(3)]
    fit(nano(config), batches, config, run_folder=tmp_path / "straight", loggers=[])
    with pytest.raises(Killed):
        fit(nano(config), Mortal(batches, 5), config, run_folder=tmp_path / "killed", loggers=[])
    fit(nano(config, seed=5), batches, config, run_folder=tmp_path / "killed", resume=True, loggers=[])
    ways = json.loads((tmp_path / "killed/kernels.json").read_text())["ways"].values()
    assert {found["input_gradient"] for found in ways} == {"flipped"}
    assert_same_end(tmp_path / "straight", tmp_path / "killed")


@pytest.mark.parametrize("setting", [{"kernels": "stock"}, {"deterministic": True}])
def test_repeatable_runs_look_for_none(config: Config, setting: dict[str, object], tmp_path: Path) -> None:
    net = nano(config)
    with chosen_kernels(net, replace(config, run=replace(config.run, **setting)), resolve_precision("cpu", "off"), tmp_path):
        assert not [module for module in net.modules() if isinstance(module, DepthwiseConv3d)]
    assert not (tmp_path / "kernels.json").exists()
