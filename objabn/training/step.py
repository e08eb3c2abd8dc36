"""One step of the optimiser: outputs, losses, backward, guard, update."""

from collections.abc import Iterator

import torch
from torch import Tensor

from objabn.training.distributed import world
from objabn.training.optim import clip_gradients, set_learning_rate
from objabn.training.session import Session, rate_of
from objabn.types import Batch


def take_step(session: Session, batches: Iterator[Batch]) -> None:
    """Take one step of the optimiser on the mean gradient of `optim.accumulate` batches, which changes nothing if it is not finite."""
    state = session.state
    set_learning_rate(state.optimizer, rate_of(session, state.progress.step))
    state.objective.warm_up((state.progress.step + 1) / state.progress.steps_per_epoch)
    state.guard.remember()
    loss = add_gradients(session, batches)
    state.scaler.unscale_(state.optimizer)
    norm = clip_gradients(state.optimizer, session.config.optim.clip_norm)
    verdict = state.guard.judge(loss, norm, scale=state.scaler.scale(torch.ones_like(loss)))
    state.meter.settle(verdict.is_failure)
    # The fused optimisers leave everything as it is where this is 1, which they read on the device.
    state.optimizer.found_inf = verdict.is_spoiled.float()  # type: ignore[attr-defined]
    state.optimizer.step()
    state.scaler.update()
    state.optimizer.zero_grad(set_to_none=True)
    if state.average is not None:
        state.average.update(state.net, state.progress.step, is_skipped=verdict.is_spoiled)
    state.progress.step += 1


def add_gradients(session: Session, batches: Iterator[Batch]) -> Tensor:
    """Add up the scaled gradients of the batches of a step and return the mean of their losses, ().

    Each batch has its own mask term, a mean over its own valid frames.
    """
    state, accumulate = session.state, session.config.optim.accumulate
    losses = []
    for batch in state.meter.timed(batches):
        on_device = batch.to(session.precision.device)
        with session.precision.autocast():
            judged = session.judge(on_device)
        state.scaler.scale(judged.losses.total / accumulate).backward()
        state.meter.add(judged.losses, judged.logits, on_device.label)
        state.progress.samples += len(batch.label) * world()
        # A graph that is replayed writes the next loss to the same place.
        losses.append(judged.losses.total.detach() / accumulate)
    if len(losses) < accumulate:
        raise RuntimeError(f"The loader ended before the epoch did, at step {state.progress.step}; its length must be what it yields.")
    return torch.stack(losses).sum()
