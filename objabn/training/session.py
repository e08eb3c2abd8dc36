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
from objabn.models.network import AttentionNetwork
from objabn.models.storage import save_model
from objabn.objective import build_objective
from objabn.training.checkpoint import write_checkpoint
from objabn.training.logging import JsonLines, Logger, Record, Screen
from objabn.training.meter import Meter
from objabn.training.optim import build_optimizer
from objabn.training.precision import Precision, compiled, resolve_precision
from objabn.training.signals import StopRequest
from objabn.training.state import Progress, TrainingState, save_state
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
    steps_per_epoch: int
    precision: Precision
    forward: Callable[[Tensor], Output]
    """The network, compiled where that is wanted."""
    state: TrainingState
    run_folder: Path | None
    loggers: Sequence[Logger] = ()
    stop: StopRequest = field(default_factory=StopRequest)
    clock: float = field(default_factory=time.monotonic)
    saved_at: float = field(default_factory=time.monotonic)
    saved_step: int = 0


def start_session(net: AttentionNetwork, batches: Batches, config: Config, *, run_folder: Path | None) -> Session:
    """Bring network, objective and optimiser to the device, as new."""
    precision = resolve_precision(config.run.device, config.run.amp)
    if precision.device.type == "cuda":
        torch.cuda.set_device(precision.device)  # random states and memory are those of the current device
        # Every batch has the same shape, so searching once for the fastest convolutions pays.
        torch.backends.cudnn.benchmark = True
    seed_all(config.run.seed)
    net.to(precision.device)
    objective = build_objective(config.loss, net).to(precision.device)
    state = TrainingState(
        net=net,
        objective=objective,
        optimizer=build_optimizer(net, objective, config.optim),
        scaler=precision.scaler(),
        meter=Meter(precision.device),
        progress=Progress(),
    )
    return Session(
        config=config,
        steps_per_epoch=count_steps(batches, config),
        precision=precision,
        forward=compiled(net, config.run.compile, precision.device),
        state=state,
        run_folder=run_folder,
    )


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


def check_position(batches: Batches, progress: Progress) -> None:
    """Raise ValueError unless the loader, if it keeps count, stands where the run does."""
    position = getattr(batches, "state", progress.samples)
    if position != progress.samples:
        raise ValueError(
            f"The loader stands at sample {position}, the run at {progress.samples}; "
            "build the loader with start_sample=consumed_samples(run_folder)."
        )


def open_loggers(session: Session, chosen: Sequence[Logger] | None) -> list[Logger]:
    """Return the chosen loggers, or the screen, and log.jsonl where there is a run folder."""
    steps, progress = session.steps_per_epoch, session.state.progress
    loggers: list[Logger] = [Screen(epochs=session.config.optim.epochs, steps_per_epoch=steps)] if chosen is None else [*chosen]
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
        raise not_finite(session, f"the loss is {values['loss']}")
    epoch = progress.epoch + 1
    record = {"event": event, "epoch": epoch, "step": progress.step, **values, "seconds": round(progress.seconds, 3)}
    for logger in session.loggers:
        logger.log(record)
    return record


def is_checkpoint_due(session: Session) -> bool:
    """Say whether steps or minutes ask for a checkpoint now."""
    run, step = session.config.run, session.state.progress.step
    by_steps = run.checkpoint_steps > 0 and step % run.checkpoint_steps == 0
    by_time = run.checkpoint_minutes > 0 and time.monotonic() - session.saved_at > 60 * run.checkpoint_minutes
    return by_steps or by_time


def save(session: Session) -> None:
    """Write last/, unless there is no run folder; weights that are not finite are refused, so that last/ stays good."""
    if session.run_folder is None:
        return
    if not is_finite(session.state.net):
        raise not_finite(session, "a weight is not a finite number")
    write_checkpoint(session.run_folder, "last", lambda folder: save_state(session.state, folder))
    session.saved_at, session.saved_step = time.monotonic(), session.state.progress.step


def is_finite(net: nn.Module) -> bool:
    """Say whether all weights and running statistics are numbers; overflow in half precision spoils the latter first."""
    values = [tensor for tensor in (*net.parameters(), *net.buffers()) if tensor.is_floating_point()]
    return bool(torch.nn.utils.get_total_norm(values).isfinite())


def save_best(session: Session) -> None:
    """Write best/: the network alone."""
    if session.run_folder:
        write_checkpoint(session.run_folder, "best", lambda folder: save_model(session.state.net, folder / "model.safetensors"))


def not_finite(session: Session, reason: str) -> RuntimeError:
    """Return the error that ends a training gone wrong."""
    kept = f"the checkpoint of step {session.saved_step} is kept" if session.saved_step else "there is no checkpoint yet"
    return RuntimeError(
        f"Training stopped at step {session.state.progress.step}: {reason}; {kept}. "
        "Begin again with a lower optim.lr, with optim.clip_norm=1, or with run.amp=off."
    )
