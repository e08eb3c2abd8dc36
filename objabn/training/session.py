"""A training under way: what it works with, what it writes down, and when."""

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from objabn.config import Config
from objabn.models.branch_network import BehindStem, BranchNetwork
from objabn.models.finetuning import ARCHITECTURE
from objabn.models.network import AttentionNetwork
from objabn.objective import build_objective
from objabn.training.average import WeightAverage
from objabn.training.failures import not_finite
from objabn.training.judged import Judged, JudgedNetwork
from objabn.training.logging import JsonLines, Logger, Record, Screen
from objabn.training.meter import Meter
from objabn.training.optim import build_optimizer, learning_rate
from objabn.training.precision import Precision, compiled, resolve_precision
from objabn.training.signals import StopRequest
from objabn.training.state import Progress, TrainingState
from objabn.training.trackers import open_trackers
from objabn.types import Batch, Output


class Batches(Protocol):
    """What is trained on: a list of batches, or a loader; one with a `state` counts the samples it has given."""

    def __iter__(self) -> Iterator[Batch]:
        """Begin an epoch, or go on with it."""
        ...

    def __len__(self) -> int:
        """Return the batches of an epoch."""
        ...


@dataclass(kw_only=True, slots=True)
class Session:
    """What `fit` holds while it runs."""

    config: Config
    precision: Precision
    judge: Callable[[Batch], Judged]
    """The network with its losses, compiled where that is wanted."""
    kept_forward: Callable[[Tensor], Output]
    """The network that is evaluated, compiled likewise."""
    still: Sequence[nn.Module]
    """Modules that are frozen."""
    state: TrainingState
    run_folder: Path | None
    loggers: Sequence[Logger] = ()
    stop: StopRequest = field(default_factory=StopRequest)
    clock: float = field(default_factory=time.monotonic)
    saved_at: float = field(default_factory=time.monotonic)
    saved_step: int = 0


def start_session(
    net: AttentionNetwork, batches: Batches, config: Config, *, run_folder: Path | None, still: Sequence[nn.Module]
) -> Session:
    """Bring network, objective and optimiser to the device, as new; the modules that stand still are frozen already."""
    refuse_other_network(net, config)
    precision = resolve_precision(config.run.device, config.run.amp)
    if precision.device.type == "cuda":
        torch.cuda.set_device(precision.device)  # random states and memory are those of the current device
    seed_all(config.run.seed)
    net.to(precision.device)
    net.clip_config = config.data
    objective = build_objective(config.loss, net, class_counts=getattr(batches, "class_counts", None)).to(precision.device)
    average = WeightAverage(net, config.optim.ema) if config.optim.ema else None
    state = TrainingState(
        net=net,
        average=average,
        objective=objective,
        optimizer=build_optimizer(net, objective, config.optim),
        scaler=precision.scaler(),
        meter=Meter(precision.device, objective.logged_terms),
        progress=Progress(steps_per_epoch=count_steps(batches, config)),
    )
    mode, device = config.run.compile, precision.device
    return Session(
        config=config,
        precision=precision,
        judge=compiled(JudgedNetwork(entrance(net, config), objective), mode, device),
        kept_forward=compiled(entrance(state.kept, config), mode, device),
        still=still,
        state=state,
        run_folder=run_folder,
    )


def entrance(net: AttentionNetwork, config: Config) -> nn.Module:
    """Return what is called with the clips of a batch: the network, or with `run.cache_features` what of it is behind the stem."""
    return BehindStem(net) if config.run.cache_features != "off" and isinstance(net, BranchNetwork) else net


def refuse_other_network(net: AttentionNetwork, config: Config) -> None:
    """Raise ValueError where the settings, which are written down as those of the run, are not the network's."""
    own = {f"model.{name}": (getattr(net.config, name), getattr(config.model, name)) for name in ARCHITECTURE}
    own |= {"data.clip_frames": (net.clip_frames, config.data.clip_frames), "data.crop_size": (net.clip_size, config.data.crop_size)}
    other = [f"{name}={value}" for name, (value, wanted) in own.items() if value != wanted]
    if other:
        raise ValueError(f"The network was made with {', '.join(other)} and the settings say otherwise; make them alike.")


def seed_all(seed: int) -> None:
    """Begin the generators of torch, NumPy and Python anew; a checkpoint holds all three."""
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


def count_steps(batches: Batches, config: Config) -> int:
    """Return the optimiser steps of an epoch: whole groups of `accumulate` batches."""
    count = len(batches)
    if count < config.optim.accumulate:
        raise ValueError(f"An epoch has {count} batches, fewer than one step takes; lower optim.accumulate={config.optim.accumulate}.")
    return count // config.optim.accumulate


def check_position(session: Session, batches: Batches) -> None:
    """Raise ValueError unless epochs are as long as when the run began, and the loader, if it keeps count, stands where the run does."""
    progress = session.state.progress
    steps = count_steps(batches, session.config)
    if steps != progress.steps_per_epoch:
        raise ValueError(
            f"An epoch has {steps} steps and had {progress.steps_per_epoch} when the run began; "
            "a run goes on with the videos it began with, so give it those, or begin another run."
        )
    position = getattr(batches, "state", progress.samples)
    if position != progress.samples:
        raise ValueError(
            f"The loader stands at sample {position}, the run at {progress.samples}; "
            "build the loader with start_sample=consumed_samples(run_folder)."
        )


def open_loggers(session: Session, chosen: Sequence[Logger] | None) -> list[Logger]:
    """Return the chosen loggers, or the screen, those of `run.log_to`, and log.jsonl where there is a run folder."""
    progress = session.state.progress
    trackers = open_trackers(session.run_folder, session.config, step=progress.step)
    first = [Screen(epochs=session.config.optim.epochs, steps_per_epoch=progress.steps_per_epoch)] if chosen is None else chosen
    loggers: list[Logger] = [*first, *trackers]
    if session.run_folder is None:
        return loggers

    def was_before(record: Record) -> bool:
        last = progress.epoch if record["event"] == "epoch" else progress.epoch + 1
        return record["step"] <= progress.step and record["epoch"] <= last

    return [*loggers, JsonLines(session.run_folder / "log.jsonl", keep=was_before)]


def log(session: Session, event: str, values: Record) -> Record:
    """Hand a record to every logger and return it; RuntimeError where the loss is not finite."""
    progress = session.state.progress
    now = time.monotonic()
    progress.seconds, session.clock = progress.seconds + now - session.clock, now
    if not math.isfinite(values["loss"]):
        raise not_finite(progress.step, session.saved_step, f"the loss is {values['loss']}")
    epoch = progress.epoch + 1
    record = {"event": event, "epoch": epoch, "step": progress.step, **values, "seconds": round(progress.seconds, 3)}
    for logger in session.loggers:
        logger.log(record)
    return record


def rate_of(session: Session, step: int) -> float:
    """Return the learning rate of a step of the epoch under way."""
    progress = session.state.progress
    return learning_rate(session.config.optim, step, steps_per_epoch=progress.steps_per_epoch, history=progress.history)
