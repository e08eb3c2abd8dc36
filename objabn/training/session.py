"""A training under way: what it works with, what it writes down, and when."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from objabn.config import Config
from objabn.models.branch_network import BehindStem, BranchNetwork
from objabn.models.finetuning import ARCHITECTURE
from objabn.models.network import AttentionNetwork
from objabn.objective import build_objective
from objabn.training.average import WeightAverage
from objabn.training.distributed import Agreement, is_main, rank, world
from objabn.training.failures import not_finite
from objabn.training.guard import StepGuard
from objabn.training.judged import Judged, JudgedNetwork
from objabn.training.logging import JsonLines, Logger, Record, Screen
from objabn.training.meter import Meter
from objabn.training.optim import build_optimizer, learning_rate
from objabn.training.parallel import over_ranks
from objabn.training.precision import Precision, compiled, resolve_precision
from objabn.training.randomness import seed_all, seed_of_rank
from objabn.training.signals import Interrupted, StopRequest
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
    """The network with its losses, compiled where that is wanted, and its gradients averaged over the ranks."""
    kept_forward: Callable[[Tensor], Output]
    """The network that is evaluated, compiled likewise."""
    still: Sequence[nn.Module]
    """Modules that are frozen."""
    state: TrainingState
    run_folder: Path | None
    loggers: Sequence[Logger] = ()
    stop: StopRequest = field(default_factory=StopRequest)
    agreement: Agreement = field(default_factory=Agreement)
    clock: float = field(default_factory=time.monotonic)
    saved_at: float = field(default_factory=time.monotonic)
    saved_step: int = 0


def start_session(
    net: AttentionNetwork, batches: Batches, config: Config, *, run_folder: Path | None, still: Sequence[nn.Module]
) -> Session:
    """Bring network, objective and optimiser to the device, as new; the modules that stand still are frozen already."""
    refuse_other_network(net, config)
    refuse_other_ranks(batches)
    precision = resolve_precision(config.run.device, config.run.amp)
    if precision.device.type == "cuda":
        torch.cuda.set_device(precision.device)  # random states and memory are those of the current device
    seed_all(config.run.seed)
    net.to(precision.device)
    net.clip_config = config.data
    counts, mode, device = getattr(batches, "class_counts", None), config.run.compile, precision.device
    objective = build_objective(config.loss, net, class_counts=counts, ranks=world()).to(device)
    network = JudgedNetwork(entrance(net, config), objective)
    judged = compiled(network, mode, device)
    judge = over_ranks(judged, has_mask_term=objective.counts_valid_frames, is_compiled=judged is not network)
    average = WeightAverage(net, config.optim.ema) if config.optim.ema else None
    state = TrainingState(
        net=net,
        average=average,
        objective=objective,
        optimizer=build_optimizer(net, objective, config.optim),
        scaler=precision.scaler(),
        meter=Meter(device, objective.logged_terms),
        guard=StepGuard([net, objective], device),
        progress=Progress(steps_per_epoch=count_steps(batches, config)),
    )
    if not is_main():
        seed_all(seed_of_rank(config.run.seed, rank()))  # clips are others, and so is what dropout leaves of them
    return Session(
        config=config,
        precision=precision,
        judge=judge,
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


def refuse_other_ranks(batches: Batches) -> None:
    """Raise ValueError where a loader was made for another number of processes than there are, or for another one than this."""
    schedule = getattr(batches, "schedule", None)
    if schedule is not None and (schedule.rank, schedule.world) != (rank(), world()):
        raise ValueError(
            f"The loader is that of rank {schedule.rank} of {schedule.world} and this process is rank {rank()} of {world()}; "
            f"build it with rank={rank()} and world={world()}, within objabn.training.distributed.process_group()."
        )


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
    """Return the chosen loggers, or the screen, those of `run.log_to`, and log.jsonl where there is a run folder; rank 0 alone has any."""
    if not is_main():
        return []
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


def stop_if_asked(session: Session, *, is_checkpoint_wanted: bool = False, wait: bool = False) -> bool:
    """Raise Interrupted where any rank has received a signal to stop; return whether any wants a checkpoint.

    Several ranks hear of each other's wishes all at the same call: the one after, or with `wait` this one.
    """
    signal_number, is_wanted = session.agreement.highest(session.stop.signal_number or 0, int(is_checkpoint_wanted), wait=wait)
    if signal_number:
        raise Interrupted(signal_number)
    return bool(is_wanted)


def log(session: Session, event: str, values: Record) -> Record:
    """Hand a record to every logger and return it; RuntimeError where too many steps have failed."""
    progress = session.state.progress
    now = time.monotonic()
    progress.seconds, session.clock = progress.seconds + now - session.clock, now
    refuse_failed_steps(session)
    if event == "epoch" and "loss" not in values:
        raise not_finite(progress.step, session.saved_step, "no step of the epoch had a finite loss and gradient")
    epoch = progress.epoch + 1
    record = {"event": event, "epoch": epoch, "step": progress.step, **values, "seconds": round(progress.seconds, 3)}
    for logger in session.loggers:
        logger.log(record)
    return record


def note(session: Session, text: str) -> None:
    """Tell every logger something in words."""
    progress = session.state.progress
    for logger in session.loggers:
        logger.log({"event": "note", "epoch": progress.epoch + 1, "step": progress.step, "text": text})


def refuse_failed_steps(session: Session) -> None:
    """Raise RuntimeError once more steps in a row have failed than `run.skip_steps` lets pass; waits for the device."""
    reason = session.state.guard.reason_to_stop(session.config.run.skip_steps)
    if reason is not None:
        raise not_finite(session.state.progress.step, session.saved_step, reason)


def rate_of(session: Session, step: int) -> float:
    """Return the learning rate of a step of the epoch under way."""
    progress = session.state.progress
    return learning_rate(session.config.optim, step, steps_per_epoch=progress.steps_per_epoch, history=progress.history)
