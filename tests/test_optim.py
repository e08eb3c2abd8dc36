"""The learning rate by hand, and which weights decay."""

import pytest
import torch
from torch import nn
from toys import Recorder, nano, toy_batch, toy_config

from objabn.config import OptimConfig
from objabn.training.loop import fit
from objabn.training.optim import build_optimizer, clip_gradients, learning_rate, parameter_groups, set_learning_rate


def rates(config: OptimConfig, steps: range, steps_per_epoch: int = 4) -> list[float]:
    return [learning_rate(config, step, steps_per_epoch=steps_per_epoch) for step in steps]


def test_warm_up_rises_in_equal_steps_to_the_full_rate() -> None:
    config = OptimConfig(lr=0.8, epochs=3, warmup_epochs=1.0)
    assert rates(config, range(6)) == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.8])


def test_half_an_epoch_of_warm_up() -> None:
    assert rates(OptimConfig(lr=1.0, epochs=3, warmup_epochs=0.5), range(3)) == pytest.approx([0.5, 1.0, 1.0])


def test_cosine_falls_from_the_full_rate_to_zero_after_the_warm_up() -> None:
    # 12 steps, 4 of warm-up: the cosine has 8, so it has passed its half at step 8 and would be zero at step 12.
    config = OptimConfig(lr=0.8, epochs=3, warmup_epochs=1.0, schedule="cosine")
    assert rates(config, range(4, 13, 4)) == pytest.approx([0.8, 0.4, 0.0])
    assert rates(config, range(6, 7)) == pytest.approx([0.4 * (1 + 0.5**0.5)])


def test_step_schedule_multiplies_at_each_epoch_named() -> None:
    config = OptimConfig(lr=1.0, epochs=4, schedule="step", step_epochs=(1, 3), step_factor=0.1)
    assert rates(config, range(16)) == pytest.approx([1.0] * 4 + [0.1] * 8 + [0.01] * 4)


def test_constant_is_constant() -> None:
    assert set(rates(OptimConfig(lr=0.3), range(100))) == {0.3}


def small_net() -> tuple[nn.Module, nn.Module]:
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1, bias=False))
    prototypes = nn.Module()
    prototypes.centers = nn.Parameter(torch.ones(5, 3))
    return net, prototypes


def test_only_weights_decay() -> None:
    net, prototypes = small_net()
    decayed, norms_and_biases, centers = parameter_groups(net, prototypes, OptimConfig(weight_decay=0.1))
    assert [tuple(p.shape) for p in decayed["params"]] == [(3, 2), (1, 3)]
    assert [tuple(p.shape) for p in norms_and_biases["params"]] == [(3,), (3,), (3,)]
    assert centers["params"] == [prototypes.centers]
    assert [group["weight_decay"] for group in (decayed, norms_and_biases, centers)] == [0.1, 0.0, 0.0]


def test_prototypes_may_have_a_rate_of_their_own() -> None:
    net, prototypes = small_net()
    *others, centers = parameter_groups(net, prototypes, OptimConfig(prototype_factor=100.0, branch_factor=2.0))
    assert centers["factor"] == 100.0
    assert 100.0 not in [group["factor"] for group in others]


def test_the_gain_of_the_maps_may_have_a_rate_of_its_own() -> None:
    net = nano(toy_config())
    groups = parameter_groups(net, nn.Module(), OptimConfig(map_gain_factor=50.0, branch_factor=2.0))
    (gain,) = [group for group in groups if group["factor"] == 100.0]
    assert [id(parameter) for parameter in gain["params"]] == [id(net.branch.map_norm.weight)]
    assert sum(len(group["params"]) for group in groups) == len(list(net.parameters()))


def test_without_such_a_gain_it_is_refused() -> None:
    net, _ = small_net()
    with pytest.raises(ValueError, match=r"optim.map_gain_factor=50.0 is for the batch norm before the maps"):
        parameter_groups(net, nn.Module(), OptimConfig(map_gain_factor=50.0))


def test_no_prototypes_no_group_and_frozen_weights_stay_out() -> None:
    net, _ = small_net()
    net[2].weight.requires_grad_(False)
    groups = parameter_groups(net, nn.Module(), OptimConfig())
    assert [len(group["params"]) for group in groups] == [1, 3]


@pytest.mark.parametrize(("name", "expected"), [("sgd", 1 - 0.5 * 0.1), ("adamw", 1 - 0.5 * 0.1)])
def test_decay_shrinks_weights_by_rate_times_decay_and_prototypes_not_at_all(name: str, expected: float) -> None:
    net, prototypes = small_net()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(1.0)
    optimizer = build_optimizer(net, prototypes, OptimConfig(name=name, lr=0.5, weight_decay=0.1))
    for parameter in [*net.parameters(), prototypes.centers]:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    torch.testing.assert_close(net[0].weight, torch.full((3, 2), expected))
    assert net[0].bias.tolist() == [1.0] * 3
    assert torch.equal(prototypes.centers, torch.ones(5, 3))


@pytest.mark.parametrize(("nesterov", "second"), [(False, 1.9), (True, 2.71)])
def test_nesterovs_momentum_by_hand(nesterov: bool, second: float) -> None:
    # Gradients of 1 and a momentum of .9: v = 1, 1.9; the plain step is v, Nesterov's is 1 + .9 v: 1.9, 2.71.
    net = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(net.weight)
    optimizer = build_optimizer(net, nn.Module(), OptimConfig(name="sgd", lr=1.0, momentum=0.9, nesterov=nesterov))
    moved = []
    for _ in range(2):
        before = net.weight.item()
        net.weight.grad = torch.ones(1, 1)
        optimizer.step()
        moved.append(before - net.weight.item())
    assert moved == pytest.approx([1.9 if nesterov else 1.0, second])


def test_nesterov_belongs_to_sgd_with_momentum() -> None:
    for settings in ({"name": "adam"}, {"name": "sgd", "momentum": 0.0}):
        with pytest.raises(ValueError, match=r"optim.nesterov=True is not possible; it must be false without name=sgd and momentum"):
            OptimConfig(nesterov=True, **settings)


def test_the_rate_reaches_every_group() -> None:
    optimizer = build_optimizer(*small_net(), OptimConfig())
    set_learning_rate(optimizer, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25] * 3


def factor_of_each(config: OptimConfig) -> dict[str, float]:
    """Which multiple of the learning rate each parameter of a small X3D has, through the optimiser."""
    net = nano(toy_config())
    optimizer = build_optimizer(net, nn.Module(), config)
    set_learning_rate(optimizer, 0.5)
    rates = {id(parameter): group["lr"] for group in optimizer.param_groups for parameter in group["params"]}
    return {name: rates[id(parameter)] / 0.5 for name, parameter in net.named_parameters()}


def test_backbone_and_branch_have_rates_of_their_own_and_the_classifier_the_full_one() -> None:
    factors = factor_of_each(OptimConfig(backbone_factor=0.25, branch_factor=2.0))
    assert {name.split(".")[0] for name, factor in factors.items() if factor == 2.0} == {"branch"}
    assert {name for name, factor in factors.items() if factor == 1.0} == {"backbone.blocks.5.proj.weight", "backbone.blocks.5.proj.bias"}
    assert all(factors[name] == 0.25 for name in ("backbone.blocks.0.conv.conv_t.weight", "backbone.blocks.5.pool.pre_conv.weight"))
    assert set(factor_of_each(OptimConfig()).values()) == {1.0}


def test_groups_stay_few() -> None:
    net = nano(toy_config())
    groups = parameter_groups(net, nn.Module(), OptimConfig(weight_decay=0.1, backbone_factor=0.5, branch_factor=0.5))
    assert [(group["factor"], group["weight_decay"]) for group in groups] == [(1.0, 0.1), (1.0, 0.0), (0.5, 0.1), (0.5, 0.0)]
    assert sum(len(group["params"]) for group in groups) == len(list(net.parameters()))


def test_a_factor_of_zero_moves_nothing() -> None:
    config = toy_config(optim=OptimConfig(epochs=1, batch=4, lr=0.1, weight_decay=0.1, name="adamw", backbone_factor=0.0))
    net, reference = nano(config), nano(config)
    fit(net, [toy_batch(0)], config, loggers=[])
    moved = {name for name, value in reference.named_parameters() if not torch.equal(value, net.get_parameter(name))}
    assert {name for name in moved if name.startswith("backbone")} == {"backbone.blocks.5.proj.weight", "backbone.blocks.5.proj.bias"}
    assert "branch.map_conv.weight" in moved


def test_the_log_names_the_rates_that_differ() -> None:
    config, recorder = toy_config(optim=OptimConfig(epochs=2, batch=4, lr=0.5, schedule="cosine", backbone_factor=0.1)), Recorder()
    fit(nano(config), [toy_batch(0)], config, loggers=[recorder])
    assert recorder.of("step", "learning_rate") == [0.5, 0.25]
    assert recorder.of("step", "backbone_learning_rate") == [0.05, 0.025]
    assert "branch_learning_rate" not in recorder.records[0]


def test_clipping_scales_the_common_norm() -> None:
    net, prototypes = nn.Linear(1, 1, bias=False), nn.Module()
    prototypes.centers = nn.Parameter(torch.zeros(1))
    optimizer = build_optimizer(net, prototypes, OptimConfig())
    net.weight.grad, prototypes.centers.grad = torch.tensor([[3.0]]), torch.tensor([4.0])
    clip_gradients(optimizer, 1.0)
    torch.testing.assert_close(net.weight.grad, torch.tensor([[0.6]]))
    torch.testing.assert_close(prototypes.centers.grad, torch.tensor([0.8]))


def test_the_rate_grows_with_the_batch_only_where_that_is_asked_for() -> None:
    settings = {"lr": 1e-4, "batch": 1024, "base_batch": 16, "epochs": 2}
    plain, linear, root = (OptimConfig(scale_lr=way, **settings) for way in ("none", "linear", "root"))
    assert [rates(config, range(1))[0] for config in (plain, linear, root)] == pytest.approx([1e-4, 64e-4, 8e-4])
    warm = OptimConfig(scale_lr="linear", warmup_epochs=1.0, schedule="cosine", **settings)
    assert rates(warm, range(4)) == pytest.approx([16e-4, 32e-4, 48e-4, 64e-4])
    stepped = OptimConfig(scale_lr="root", schedule="step", step_epochs=(1,), **settings)
    assert rates(stepped, range(3, 5)) == pytest.approx([8e-4, 8e-5])
    halved = OptimConfig(scale_lr="linear", lr=1e-4, batch=8, base_batch=16)
    assert rates(halved, range(1)) == pytest.approx([5e-5]), "smaller batches have smaller rates"


def test_the_log_shows_the_rate_that_is_taken() -> None:
    config = toy_config(optim=OptimConfig(epochs=1, batch=64, lr=1e-4, scale_lr="root"))
    recorder = Recorder()
    fit(nano(config), [toy_batch(0)], config, loggers=[recorder])
    assert recorder.of("step", "learning_rate") == pytest.approx([2e-4])
