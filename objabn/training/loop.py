"""Training: for each epoch, for each batch, output, losses, backward, step."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from objabn.config import Config
from objabn.models.network import AttentionNetwork
from objabn.models.recompute import recomputing
from objabn.training.capacity import memory_explained
from objabn.training.distributed import done_by_main, gathered, of_main, share_buffers, wait_for_all
from objabn.training.epochs import finish_epoch, is_evaluation_due, measure, refuse_unmeasured
from objabn.training.kernels import chosen_kernels
from objabn.training.logging import Logger, Record
from objabn.training.optim import learning_rates
from objabn.training.parallel import synchronised_norms
from objabn.training.parts import frozen, set_training_mode
from objabn.training.precision import algorithms
from objabn.training.run_folder import is_over, start_run_folder
from objabn.training.saving import is_checkpoint_due, save
from objabn.training.session import Batches, Session, check_position, log, open_loggers, rate_of, start_session, stop_if_asked
from objabn.training.signals import Interrupted, StopRequest
from objabn.training.state import Progress, load_state
from objabn.training.step import take_step
from objabn.types import Batch


class FitResult(NamedTuple):
    """What a finished training leaves."""

    epochs: int
    steps: int
    seconds: float
    losses: dict[str, float]
    """Means over the last epoch by name; `loss` is the total."""
    history: list[Record]
    """One record an epoch, as in log.jsonl."""


def fit(
    net: AttentionNetwork,
    batches: Batches,
    config: Config,
    *,
    run_folder: Path | None = None,
    resume: bool = False,
    monitor: Iterable[Batch] | None = None,
    monitor_subset: str = "test",
    loggers: Sequence[Logger] | None = None,
) -> FitResult:
    """Train the network in place on batches that can be iterated over again and again and have a length.

    With a run folder it can be stopped at any moment and resumed exactly: a loader that has a `state` must stand at
    `consumed_samples(run_folder)`, and any other iterable is taken to give the same batches each epoch. `monitor` is
    evaluated after epochs, and `best/` kept for the subset `val` only. `loggers` is the screen unless given.
    The network ends in evaluation mode, with `optim.ema` as the average. Under torchrun, within `process_group()`, all
    ranks call it, with the same settings and each with its own loader. Raises Interrupted after SIGTERM or Ctrl-C,
    once the checkpoint is written.
    """
    refuse_unmeasured(config, monitor, monitor_subset)
    with (
        algorithms(deterministic=config.run.deterministic),
        frozen(net, config.optim.freeze) as still,
        synchronised_norms(net, config, still),
    ):
        session = start_session(net, batches, config, run_folder=run_folder, still=still)
        loader = getattr(batches, "description", {})
        checkpoint = done_by_main(lambda: start_run_folder(run_folder, config, resume=resume, loader=loader) if run_folder else None)
        progress = session.state.progress
        if checkpoint:
            load_state(session.state, checkpoint, seed=config.run.seed)
            session.saved_step = progress.step
        if not is_over(progress.epoch, progress.history, config):
            check_position(session, batches)
            session.loggers = open_loggers(session, loggers)
            with chosen_kernels(net, config, session.precision, run_folder), recomputing(net, is_on=config.run.recompute):
                train_and_close(session, batches, monitor, monitor_subset)
        if session.state.average is not None:
            net.load_state_dict(session.state.kept.state_dict())
        share_buffers(net.eval())
        wait_for_all()  # what rank 0 has written is read by all that follows
    return summarize(progress, session.state.meter.terms)


def train_and_close(session: Session, batches: Batches, monitor: Iterable[Batch] | None, monitor_subset: str) -> None:
    """Train while signals are listened to, and close the loggers whatever happens."""
    try:
        with memory_explained(session), StopRequest() as session.stop:
            train(session, batches, monitor, monitor_subset)
    finally:
        for logger in session.loggers:
            logger.close()


def train(session: Session, batches: Batches, monitor: Iterable[Batch] | None, monitor_subset: str) -> None:
    """Run the epochs that are left."""
    progress = session.state.progress
    while not is_over(progress.epoch, progress.history, session.config):
        try:
            train_epoch(session, batches)
            measured = measure(session, monitor) if monitor is not None and is_evaluation_due(session) else None
        except Interrupted:
            save(session)
            raise
        finish_epoch(session, measured, monitor_subset, skipped_clips=skipped_clips(batches))
        stop_if_asked(session, wait=True)


def skipped_clips(batches: Batches) -> int:
    """Return how many clips the loaders of all ranks could not read since they were built; 0 for ones that do not count them."""
    own = getattr(getattr(batches, "damage", None), "skipped_clips", 0)
    return sum(of_main(gathered(own)))


def train_epoch(session: Session, batches: Batches) -> None:
    """Take the steps that are left of the epoch."""
    config, progress = session.config, session.state.progress
    set_training_mode(session.state.net, session.still)
    session.state.meter.start_clock()
    steps_done = progress.step - progress.epoch * progress.steps_per_epoch
    if steps_done == progress.steps_per_epoch:
        return  # stopped between the last step and the end of the epoch; a loader would already give the next one
    rest = iter(batches)
    if not hasattr(batches, "state"):
        rest = islice(rest, steps_done * config.optim.accumulate, None)
    for _ in range(steps_done, progress.steps_per_epoch):
        take_step(session, islice(rest, config.optim.accumulate))
        if config.run.log_steps and progress.step % config.run.log_steps == 0:
            rates = learning_rates(config.optim, rate_of(session, progress.step - 1))
            log(session, "step", {**rates, **session.state.meter.interval()})
        if is_checkpoint_due(session):
            save(session)
    session.state.meter.stop_clock()
    exhaust(rest)


def exhaust(batches: Iterator[Batch]) -> None:
    """Let the loader come to the end of its epoch; what is left is less than one step."""
    for _ in batches:
        continue


def summarize(progress: Progress, terms: tuple[str, ...]) -> FitResult:
    """Return what the run came to; `terms` are the losses that were measured."""
    last = progress.history[-1]
    losses = {name: last[name] for name in ("loss", *terms) if name != "total"}
    return FitResult(progress.epoch, progress.step, progress.seconds, losses, progress.history)
