"""Everything that changes while training, as plain tensors and JSON; loading it continues bit for bit."""

import dataclasses
import json
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.optim import Optimizer

from objabn.files import aside, write_json
from objabn.models.network import AttentionNetwork
from objabn.models.storage import save_model
from objabn.training.average import WeightAverage
from objabn.training.meter import Meter


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
    objective: nn.Module
    optimizer: Optimizer
    scaler: torch.amp.GradScaler
    meter: Meter
    progress: Progress

    @property
    def kept(self) -> AttentionNetwork:
        """The network that is evaluated and kept: the average of the trained one, where there is one."""
        return self.net if self.average is None else self.average.net


def save_state(state: TrainingState, folder: Path) -> None:
    """Write model.safetensors, state.safetensors and state.json; with an average the trained network is part of the state."""
    optimizer_tensors, optimizer_scalars = split_optimizer(state.optimizer)
    random_tensors, random_scalars = read_random_states()
    trained = {} if state.average is None else state.net.state_dict()
    tensors = {
        **{f"net.{name}": tensor for name, tensor in trained.items()},
        **{f"objective.{name}": tensor for name, tensor in state.objective.state_dict().items()},
        **optimizer_tensors,
        **random_tensors,
        **state.meter.to_tensors(),
    }
    # Unlike safetensors' own way of writing, this one says of a full disk which file it has no room for.
    with aside(folder / "state.safetensors") as file:
        file.write(save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}))
    scalars = {
        "progress": dataclasses.asdict(state.progress),
        "optimizer": optimizer_scalars,
        "scaler": state.scaler.state_dict(),
        "random": random_scalars,
    }
    write_json(folder / "state.json", scalars)
    save_model(state.kept, folder / "model.safetensors")


def load_state(state: TrainingState, folder: Path) -> None:
    """Put everything back where `save_state` found it."""
    tensors, scalars = load_file(folder / "state.safetensors"), json.loads((folder / "state.json").read_text())
    state.kept.load_state_dict(load_file(folder / "model.safetensors"))
    if state.average is not None:
        state.net.load_state_dict(under(tensors, "net"))
    state.objective.load_state_dict(under(tensors, "objective"))
    state.optimizer.load_state_dict(join_optimizer(state.optimizer, under(tensors, "optimizer"), scalars["optimizer"]))
    match_layouts(state.optimizer)
    if scalars["scaler"] and state.scaler.is_enabled():
        state.scaler.load_state_dict(scalars["scaler"])
    state.meter.from_tensors(tensors)
    for name, value in scalars["progress"].items():
        setattr(state.progress, name, value)
    # Last: loading draws no random numbers, but nothing after this line may.
    write_random_states(under(tensors, "random"), scalars["random"])


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


def read_random_states() -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the states of the generators of torch, CUDA, NumPy and Python, as tensors and the numbers beside them."""
    version, words, gauss = random.getstate()
    numpy_state = np.random.get_state(legacy=False)
    mersenne = numpy_state["state"]
    tensors = {
        "random.torch": torch.get_rng_state(),
        "random.python": torch.tensor(words, dtype=torch.int64),
        "random.numpy": torch.from_numpy(mersenne["key"].astype(np.int64)),
    }
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    numpy_scalars = {"pos": mersenne["pos"], "has_gauss": numpy_state["has_gauss"], "gauss": numpy_state["gauss"]}
    return tensors, {"python": [version, gauss], "numpy": numpy_scalars}


def write_random_states(tensors: dict[str, Tensor], scalars: dict[str, Any]) -> None:
    """Put the generators back; a checkpoint from a machine without a GPU leaves that of CUDA as it is."""
    version, gauss = scalars["python"]
    random.setstate((version, tuple(tensors["python"].tolist()), gauss))
    numbers = scalars["numpy"]
    key = tensors["numpy"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", key, numbers["pos"], numbers["has_gauss"], numbers["gauss"]))
    torch.set_rng_state(tensors["torch"])
    if "cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["cuda"])
