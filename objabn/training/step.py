"""One step of the optimiser: outputs, losses, backward, update."""

from collections.abc import Iterator

from objabn.training.optim import clip_gradients, set_learning_rate
from objabn.training.session import Session, rate_of
from objabn.types import Batch


def take_step(session: Session, batches: Iterator[Batch]) -> None:
    """Take one step of the optimiser on the mean gradient of `optim.accumulate` batches.

    Each of them has its own mask term, a mean over its own valid frames.
    """
    state, config = session.state, session.config.optim
    set_learning_rate(state.optimizer, rate_of(session, state.progress.step))
    count = 0
    for batch in state.meter.timed(batches):
        on_device = batch.to(session.precision.device)
        with session.precision.autocast():
            judged = session.judge(on_device)
        state.scaler.scale(judged.losses.total / config.accumulate).backward()
        state.meter.add(judged.losses, judged.logits, on_device.label)
        state.progress.samples += len(batch.label)
        count += 1
    if count < config.accumulate:
        raise RuntimeError(f"The loader ended before the epoch did, at step {state.progress.step}; its length must be what it yields.")
    if config.clip_norm:
        state.scaler.unscale_(state.optimizer)
        clip_gradients(state.optimizer, config.clip_norm)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    state.optimizer.zero_grad(set_to_none=True)
    if state.average is not None:
        state.average.update(state.net, state.progress.step)
    state.progress.step += 1
