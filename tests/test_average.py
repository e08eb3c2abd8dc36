"""The average of the weights by hand, and that it is what is evaluated and kept."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from toys import Toy, nano, toy_batch, toy_config

from objabn.config import Config, LossConfig, OptimConfig
from objabn.evaluation import evaluate
from objabn.models.storage import load_model
from objabn.training.average import WeightAverage
from objabn.training.loop import fit


def config_of(ema: float, **optim: object) -> Config:
    return toy_config(optim=OptimConfig(**{"epochs": 3, "batch": 4, "lr": 1e-2, "ema": ema} | optim))


@pytest.mark.parametrize(
    ("decay", "expected"),
    [
        # Updates 0, 1, 2 decay by 0, 1/10, 2/11, and never by more than asked for.
        (0.999, [1.0, 0.1 * 1 + 0.9 * 2, (2 * 1.9 + 9 * 4) / 11]),
        (0.15, [1.0, 1.9, 0.15 * 1.9 + 0.85 * 4]),
    ],
)
def test_the_decay_warms_up_and_nothing_of_the_start_stays(decay: float, expected: list[float]) -> None:
    net = nn.Linear(1, 1, bias=False)
    average = WeightAverage(net, decay)
    found = []
    for number, weight in enumerate((1.0, 2.0, 4.0)):
        nn.init.constant_(net.weight, weight)
        average.update(net, number)
        found.append(average.net.weight.item())
    assert found == pytest.approx(expected)


def test_running_statistics_are_averaged_and_counters_copied() -> None:
    norm = nn.BatchNorm1d(1)
    average = WeightAverage(norm, 0.9)
    for number, mean in enumerate((1.0, 2.0)):
        norm.running_mean.fill_(mean)
        norm.num_batches_tracked.fill_(number + 5)
        average.update(norm, number)
    assert average.net.running_mean.item() == pytest.approx(0.1 * 1 + 0.9 * 2)
    assert average.net.num_batches_tracked.item() == 6
    assert not average.net.training


def test_plain_gradient_descent_averaged_by_hand() -> None:
    clips = [toy_batch(seed) for seed in range(3)]
    config = replace(config_of(0.9, epochs=1, name="sgd", momentum=0.0), loss=LossConfig(pc=0.0))
    steps = []
    for count in (1, 2, 3):
        net = Toy(config)
        fit(net, clips[:count], replace(config, optim=replace(config.optim, ema=0.0)), loggers=[])
        steps.append(net.to_map.weight.detach())
    net = Toy(config)
    fit(net, clips, config, loggers=[])
    torch.testing.assert_close(net.to_map.weight, (2 * (0.1 * steps[0] + 0.9 * steps[1]) + 9 * steps[2]) / 11)


def test_the_average_is_evaluated_kept_and_left_in_the_network(tmp_path: Path) -> None:
    config, clips = config_of(0.9), [toy_batch(seed) for seed in range(4)]
    net = nano(config)
    history = fit(net, clips, config, run_folder=tmp_path, monitor=clips, monitor_subset="val", loggers=[]).history
    last = load_model(tmp_path / "last/model.safetensors")
    assert evaluate(last, clips).nll == history[-1]["val_nll"]
    best = max(history, key=lambda record: (record["val_top1"], -record["epoch"]))
    assert evaluate(load_model(tmp_path / "best/model.safetensors"), clips).nll == best["val_nll"]
    state = load_file(tmp_path / "last/state.safetensors")
    for name, value in last.state_dict().items():
        assert torch.equal(net.state_dict()[name], value), "the network ends as the average"
    assert not torch.equal(state["net.branch.map_conv.weight"], last.branch.map_conv.weight)


def test_the_trained_network_is_the_same_with_an_average_beside_it(tmp_path: Path) -> None:
    clips, plain, averaged = [toy_batch(seed) for seed in range(2)], config_of(0.0), config_of(0.9)
    fit(nano(plain), clips, plain, run_folder=tmp_path / "plain", loggers=[])
    fit(nano(averaged), clips, averaged, run_folder=tmp_path / "averaged", loggers=[])
    trained = load_file(tmp_path / "averaged/last/state.safetensors")
    for name, value in load_file(tmp_path / "plain/last/model.safetensors").items():
        assert torch.equal(trained[f"net.{name}"], value)
    assert not [name for name in load_file(tmp_path / "plain/last/state.safetensors") if name.startswith("net.")]


def test_a_finished_run_gives_the_average_again(tmp_path: Path) -> None:
    config, clips = config_of(0.9), [toy_batch(0)]
    first, second = Toy(config), Toy(config, seed=1)
    fit(first, clips, config, run_folder=tmp_path, loggers=[])
    fit(second, clips, config, run_folder=tmp_path, resume=True, loggers=[])
    assert all(torch.equal(one, other) for one, other in zip(first.parameters(), second.parameters(), strict=True))
