"""When a run writes itself down, and what is refused a place in its checkpoints."""

import time

import torch
from torch import nn

from objabn.checkpoint import write_checkpoint
from objabn.models.storage import save_model
from objabn.training.failures import not_finite
from objabn.training.session import Session
from objabn.training.state import save_state


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
    # What is not finite in the network is so in its average too, for good.
    if not is_finite(session.state.kept):
        raise not_finite(session.state.progress.step, session.saved_step, "a weight is not a finite number")
    write_checkpoint(session.run_folder, "last", lambda folder: save_state(session.state, folder))
    session.saved_at, session.saved_step = time.monotonic(), session.state.progress.step


def is_finite(net: nn.Module) -> bool:
    """Say whether all weights and running statistics are numbers; overflow in half precision spoils the latter first."""
    values = [tensor for tensor in (*net.parameters(), *net.buffers()) if tensor.is_floating_point()]
    return bool(torch.nn.utils.get_total_norm(values).isfinite())


def save_best(session: Session) -> None:
    """Write best/: the network alone."""
    if session.run_folder:
        write_checkpoint(session.run_folder, "best", lambda folder: save_model(session.state.kept, folder / "model.safetensors"))
