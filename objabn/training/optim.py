"""How the weights move: parameter groups, optimisers, and the learning rate as a pure function of the step."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from objabn.config import OptimConfig
from objabn.models.network import AttentionNetwork
from objabn.training.parts import part_of

MAP_GAIN = "branch.map_norm.weight"
"""Name of the parameter that `map_gain_factor` is about."""
PLATEAU_THRESHOLD = 1e-4
"""Part of the lowest NLL by which another one must be lower."""


def build_optimizer(net: AttentionNetwork, objective: nn.Module, config: OptimConfig) -> Optimizer:
    """Return the optimiser over the network and the objective's prototypes, of the fused kernels, which can leave a step out."""
    groups = parameter_groups(net, objective, config)
    if config.name != "sgd":
        return {"adam": Adam, "adamw": AdamW}[config.name](groups, lr=config.lr, fused=True)
    optimizer = SGD(groups, lr=config.lr, momentum=config.momentum, nesterov=config.nesterov, fused=True)
    if config.momentum:
        # Otherwise a first step that is left out would leave them as they come, uninitialised.
        for parameter in (parameter for group in optimizer.param_groups for parameter in group["params"]):
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def parameter_groups(net: AttentionNetwork, objective: nn.Module, config: OptimConfig) -> list[dict[str, Any]]:
    """Return the trainable parameters as groups, one for each `factor` of the learning rate and for with and without decay.

    Weights decay; norms and biases (at most one axis) do not, nor do the prototypes, which come last. ValueError where
    `map_gain_factor` finds no gain.
    """
    if config.map_gain_factor != 1 and MAP_GAIN not in dict(net.named_parameters()):
        raise ValueError(
            f"optim.map_gain_factor={config.map_gain_factor} is for the batch norm before the maps of abn, object_abn and st_abn, "
            "and this network has none; leave it 1."
        )
    alike: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for path, parameter in net.named_parameters():
        if parameter.requires_grad:
            alike.setdefault((rate_factor(config, net, path), parameter.ndim > 1), []).append(parameter)
    groups = [
        {"params": alike[factor, decays], "weight_decay": config.weight_decay * decays, "factor": factor}
        for factor, decays in sorted(alike, reverse=True)
    ]
    prototypes = [parameter for parameter in objective.parameters() if parameter.requires_grad]
    return [*groups, {"params": prototypes, "weight_decay": 0.0, "factor": config.prototype_factor}] if prototypes else groups


def rate_factor(config: OptimConfig, net: AttentionNetwork, path: str) -> float:
    """Return the learning rate of a parameter as a multiple of `lr`."""
    factors = {
        "stem": config.backbone_factor,
        "tail": config.backbone_factor,
        "branch": config.branch_factor,
        "gate": config.branch_factor,
    }
    return factors.get(part_of(net, path), 1.0) * (config.map_gain_factor if path == MAP_GAIN else 1.0)


def learning_rate(config: OptimConfig, step: int, *, steps_per_epoch: int, history: Iterable[dict[str, Any]] = ()) -> float:
    """Return the learning rate of a step counted from 0: a linear warm-up to `lr`, then the schedule.

    The first step of the warm-up takes lr / warm-up steps, its last one lr. The cosine falls from lr after the warm-up
    towards 0, which the step after the last one would have. `step` counts its epochs from the start of the run.
    `plateau` follows from the records of the epochs before, `history`.
    """
    warmup_steps = round(config.warmup_epochs * steps_per_epoch)
    highest = highest_rate(config)
    if step < warmup_steps:
        return highest * (step + 1) / warmup_steps
    if config.schedule == "cosine":
        part = (step - warmup_steps) / max(1, config.epochs * steps_per_epoch - warmup_steps)
        return highest * 0.5 * (1 + math.cos(math.pi * part))
    if config.schedule == "step":
        passed = sum(step >= epoch * steps_per_epoch for epoch in config.step_epochs)
        return highest * config.step_factor**passed
    if config.schedule == "plateau":
        return highest * config.step_factor ** plateaus(history, config.plateau_epochs)
    return highest


def highest_rate(config: OptimConfig) -> float:
    """Return `lr`, or with `scale_lr` that times batch / base_batch (Goyal et al. 2017) or its root (Krizhevsky 2014)."""
    growth = config.batch / config.base_batch
    return config.lr * {"none": 1.0, "linear": growth, "root": math.sqrt(growth)}[config.scale_lr]


def plateaus(history: Iterable[dict[str, Any]], patience_epochs: int) -> int:
    """Return how often more than `patience_epochs` epochs in a row had no lower NLL on the monitored subset, as their records tell.

    The rules are those of PyTorch's ReduceLROnPlateau: lower is lower by a ten-thousandth, and after a plateau the
    epochs are counted from 0. Whatever the records hold is known again when a run is resumed.
    """
    best, begin, count = math.inf, 0, 0
    for record in history:
        nll = next((value for name, value in record.items() if name.endswith("_nll")), None)
        if nll is None:
            continue
        if nll < best * (1 - PLATEAU_THRESHOLD):
            best, begin = nll, record["epoch"]
        elif record["epoch"] - begin > patience_epochs:
            begin, count = record["epoch"], count + 1
    return count


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Give every group its multiple of this learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["factor"]


def learning_rates(config: OptimConfig, rate: float) -> dict[str, float]:
    """Return the learning rate for the log, and those of backbone and branch where they differ from it."""
    factors = {"backbone": config.backbone_factor, "branch": config.branch_factor}
    return {"learning_rate": rate} | {f"{part}_learning_rate": rate * factor for part, factor in factors.items() if factor != 1}


def clip_gradients(optimizer: Optimizer, max_norm: float) -> Tensor:
    """Return the common norm of all gradients, the objective's included, (); unless `max_norm` is 0 scale them to at most that."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    norm = torch.nn.utils.get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
    if max_norm:
        torch.nn.utils.clip_grads_with_norm_(parameters, max_norm, norm)
    return norm
