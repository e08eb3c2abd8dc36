"""When a run writes itself down, and what is refused a place in its checkpoints."""

import errno
import time
from pathlib import Path

import torch
from torch import nn

from objabn.checkpoint import former_checkpoints, keep_latest, remove, write_checkpoint
from objabn.models.storage import save_model
from objabn.training.distributed import gathered, is_main
from objabn.training.failures import not_finite
from objabn.training.session import Session, note, refuse_failed_steps, stop_if_asked
from objabn.training.state import RankState, read_rank_state, save_state

FULL = (errno.ENOSPC, errno.EDQUOT)
"""How the system says that a disk, or what one may use of it, is full."""


def is_checkpoint_due(session: Session) -> bool:
    """Say whether steps, or minutes or SIGUSR1 on any rank, ask for a checkpoint now; Interrupted where a rank was asked to stop."""
    every = session.config.run.checkpoint_steps
    is_wanted = stop_if_asked(session, is_checkpoint_wanted=is_checkpoint_wanted(session))
    return is_wanted or (every > 0 and session.state.progress.step % every == 0)


def is_checkpoint_wanted(session: Session) -> bool:
    """Say whether minutes or SIGUSR1 ask for a checkpoint of this rank, which others may not have noticed."""
    minutes = session.config.run.checkpoint_minutes
    return session.stop.is_checkpoint_wanted or (minutes > 0 and time.monotonic() - session.saved_at > 60 * minutes)


def save(session: Session) -> None:
    """Write last/, unless there is no run folder; weights that are not finite are refused, so that last/ stays good."""
    session.stop.is_checkpoint_wanted = False
    session.agreement.answer()  # what was asked before this checkpoint is done
    if session.run_folder is None:
        return
    refuse_failed_steps(session)
    # What is not finite in the network is so in its average too, for good.
    if not is_finite(session.state.kept):
        raise not_finite(session.state.progress.step, session.saved_step, "a weight is not a finite number")
    ranks = gathered(read_rank_state(session.state))
    if is_main():
        write_last(session, session.run_folder, ranks)
    session.saved_at, session.saved_step = time.monotonic(), session.state.progress.step


def write_last(session: Session, run_folder: Path, ranks: list[RankState]) -> None:
    """Write last/ and keep as many of those before as are wanted; where the disk is full, one less."""
    try:
        write_once(session, run_folder, ranks)
    except OSError as error:
        former = former_checkpoints(run_folder)
        if error.errno not in FULL or not former:
            raise
        remove(former[0])
        note(session, f"The disk of {run_folder} is full ({error.strerror}); {former[0].name} was deleted to make room for last.")
        write_once(session, run_folder, ranks)


def write_once(session: Session, run_folder: Path, ranks: list[RankState]) -> None:
    """Write last/; the one before is kept under the name of its step where that is wanted."""
    count, step = session.config.run.keep_checkpoints, session.saved_step
    # At the end of an epoch there may be two of the same step, of which the latter is the one to have.
    is_kept = count > 0 and 0 < step < session.state.progress.step
    name = f"step-{step:08}" if is_kept else None
    write_checkpoint(run_folder, "last", lambda folder: save_state(session.state, folder, ranks), keep_former_as=name)
    keep_latest(run_folder, count)


def is_finite(net: nn.Module) -> bool:
    """Say whether all weights and running statistics are numbers; overflow in half precision spoils the latter first."""
    values = [tensor for tensor in (*net.parameters(), *net.buffers()) if tensor.is_floating_point()]
    return bool(torch.nn.utils.get_total_norm(values).isfinite())


def save_best(session: Session) -> None:
    """Write best/: the network alone."""
    if session.run_folder and is_main():
        write_checkpoint(session.run_folder, "best", lambda folder: save_model(session.state.kept, folder / "model.safetensors"))
