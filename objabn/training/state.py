"""Everything that changes while training, as plain tensors and JSON; loading it continues bit for bit."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save
from torch import Tensor
from torch.optim import Optimizer

from objabn.files import aside, write_json
from objabn.models.network import AttentionNetwork
from objabn.models.storage import save_model
from objabn.objective import Objective
from objabn.training.average import WeightAverage
from objabn.training.distributed import rank, world
from objabn.training.guard import StepGuard
from objabn.training.meter import Meter
from objabn.training.randomness import read_random_states, seed_all, seed_of_rank, write_random_states


@dataclass(kw_only=True, slots=True)
class Progress:
    """Where a run stands; every count is from its start."""

    steps_per_epoch: int
    """Optimiser steps of an epoch."""
    epoch: int = 0
    """Epochs finished, their evaluation included."""
    step: int = 0
    """Optimiser steps taken."""
    samples: int = 0
    """Clips consumed."""
    seconds: float = 0.0
    """Time spent, over all sessions."""
    best_top1: float | None = None
    """Highest accuracy on the subset `val`, in percent."""
    best_nll: float | None = None
    """The negative log-likelihood that goes with it; of equal accuracies the lower one is better."""
    best_epoch: int | None = None
    """The epoch it belongs to."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """One record an epoch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingState:
    """What a checkpoint holds."""

    net: AttentionNetwork
    """The network that is trained."""
    average: WeightAverage | None
    objective: Objective
    optimizer: Optimizer
    scaler: torch.amp.GradScaler
    guard: StepGuard
    meter: Meter
    progress: Progress

    @property
    def kept(self) -> AttentionNetwork:
        """The network that is evaluated and kept: the average of the trained one, where there is one."""
        return self.net if self.average is None else self.average.net


class RankState(NamedTuple):
    """What of a checkpoint is each rank's own: its generators, and the sums over its clips."""

    tensors: dict[str, Tensor]
    generators: dict[str, Any]


def read_rank_state(state: TrainingState) -> RankState:
    """Return what is this rank's own, for rank 0 to write down."""
    tensors, generators = read_random_states()
    return RankState({name: tensor.cpu() for name, tensor in {**tensors, **state.meter.to_tensors()}.items()}, generators)


def save_state(state: TrainingState, folder: Path, ranks: Sequence[RankState] = ()) -> None:
    """Write model.safetensors, state.safetensors and state.json; with an average the trained network is part of the state.

    `ranks` are the states of all ranks in their order; there is one unless they are given.
    """
    optimizer_tensors, optimizer_scalars = split_optimizer(state.optimizer)
    own, *others = ranks or [read_rank_state(state)]
    trained = {} if state.average is None else state.net.state_dict()
    tensors = {
        **{f"net.{name}": tensor for name, tensor in trained.items()},
        **{f"objective.{name}": tensor for name, tensor in state.objective.state_dict().items()},
        **optimizer_tensors,
        **state.guard.to_tensors(),
        **own.tensors,
        **{f"rank{number}.{name}": tensor for number, other in enumerate(others, 1) for name, tensor in other.tensors.items()},
    }
    # Unlike safetensors' own way of writing, this one says of a full disk which file it has no room for.
    with aside(folder / "state.safetensors") as file:
        file.write(save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}))
    scalars = {
        "progress": dataclasses.asdict(state.progress),
        "optimizer": optimizer_scalars,
        "scaler": state.scaler.state_dict(),
        "random": own.generators,
        "other_ranks": [other.generators for other in others],
    }
    write_json(folder / "state.json", scalars)
    save_model(state.kept, folder / "model.safetensors")


def load_state(state: TrainingState, folder: Path, *, seed: int = 0) -> None:
    """Put everything back where `save_state` found it, on all ranks; `seed` is of the generators of ranks that there were not."""
    tensors, scalars = load_file(folder / "state.safetensors"), json.loads((folder / "state.json").read_text())
    state.kept.load_state_dict(load_file(folder / "model.safetensors"))
    if state.average is not None:
        state.net.load_state_dict(under(tensors, "net"))
    state.objective.load_state_dict(under(tensors, "objective"))
    state.optimizer.load_state_dict(join_optimizer(state.optimizer, under(tensors, "optimizer"), scalars["optimizer"]))
    match_layouts(state.optimizer)
    if scalars["scaler"] and state.scaler.is_enabled():
        state.scaler.load_state_dict(scalars["scaler"])
    state.guard.from_tensors(tensors)
    for name, value in scalars["progress"].items():
        setattr(state.progress, name, value)
    # Last: loading draws no random numbers, but nothing after this line may.
    load_rank_state(state, tensors, [scalars["random"], *scalars.get("other_ranks", [])], seed)


def load_rank_state(state: TrainingState, tensors: dict[str, Tensor], generators: list[dict[str, Any]], seed: int) -> None:
    """Put back what is each rank's own; with another number of ranks rank 0 goes on with all sums, and the others begin anew."""
    ranks = [tensors, *(under(tensors, f"rank{number}") for number in range(1, len(generators)))]
    is_known = len(ranks) == world()
    if is_known or rank() == 0:
        counted = [ranks[rank()]] if is_known else ranks
        state.meter.from_tensors({name: torch.stack([own[name] for own in counted]).sum(0) for name in state.meter.to_tensors()})
        write_random_states(under(ranks[rank()], "random"), generators[rank()])
    else:
        seed_all(seed_of_rank(seed, rank(), state.progress.step))


def under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose name begins with `prefix.`, without it."""
    return {name.removeprefix(f"{prefix}."): tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}.")}


def split_optimizer(optimizer: Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the optimiser's tensors by `optimizer.PARAMETER.NAME`, and its numbers."""
    values = optimizer.state_dict()
    entries = {f"{index}.{name}": value for index, state in values["state"].items() for name, value in state.items()}
    tensors = {f"optimizer.{name}": value for name, value in entries.items() if isinstance(value, Tensor)}
    scalars = {name: value for name, value in entries.items() if not isinstance(value, Tensor)}
    return tensors, {"groups": values["param_groups"], "state": scalars}


def join_optimizer(optimizer: Optimizer, tensors: dict[str, Tensor], scalars: dict[str, Any]) -> dict[str, Any]:
    """Return what the optimiser's `load_state_dict` takes; lists become the tuples they were."""
    state: dict[int, dict[str, Any]] = {}
    for path, value in {**scalars["state"], **tensors}.items():
        index, name = path.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    fresh = optimizer.state_dict()["param_groups"]
    groups = []
    for saved, new in zip(scalars["groups"], fresh, strict=True):
        values = {name: tuple(value) if isinstance(new[name], tuple) else value for name, value in saved.items()}
        # How steps are carried out belongs to this machine, not to the run.
        groups.append(values | {name: new[name] for name in ("fused", "foreach", "capturable") if name in new})
    return {"state": state, "param_groups": groups}


def match_layouts(optimizer: Optimizer) -> None:
    """Give moments the memory layout of their parameters, which files do not keep and fused optimisers insist on."""
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                values[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
