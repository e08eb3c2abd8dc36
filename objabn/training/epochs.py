"""What follows the steps of an epoch: evaluation, the best network so far, the end of patience, and the checkpoint."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from objabn.config import Config
from objabn.metrics.map_scores import MapScores, merged_maps
from objabn.training.distributed import done_by_main, gathered, share_buffers
from objabn.training.saving import save, save_best
from objabn.training.scores import Accuracies, VideoScores, merged, run_network
from objabn.training.session import Session, log, rate_of, stop_if_asked
from objabn.training.state import Progress
from objabn.types import Batch, Output

LOGGED_OF_MAPS = ("entropy", "mask_iou")


class Measured(NamedTuple):
    """What an evaluation after an epoch found."""

    accuracies: Accuracies
    maps: dict[str, float]
    """Entropy in bits and overlap with the objects, as `entropy_M_o`."""


def refuse_unmeasured(config: Config, monitor: Iterable[Batch] | None, subset: str) -> None:
    """Raise ValueError where patience or the learning rate would wait for results that nobody measures."""
    optim, is_measured = config.optim, monitor is not None and subset == "val" and config.run.evaluate_epochs > 0
    waiting = {
        f"optim.patience_epochs={optim.patience_epochs}": optim.patience_epochs,
        "optim.schedule=plateau": optim.schedule == "plateau",
    }
    for name in (name for name, is_on in waiting.items() if is_on and not is_measured):
        raise ValueError(
            f"{name} needs a subset `val` and run.evaluate_epochs of at least 1; "
            "data.val_fraction=0.2 holds out a fifth of the training groups as `val`."
        )


def is_evaluation_due(session: Session) -> bool:
    """Say whether the epoch just trained is followed by an evaluation."""
    epoch, every = session.state.progress.epoch + 1, session.config.run.evaluate_epochs
    return epoch == session.config.optim.epochs or (every > 0 and epoch % every == 0)


def measure(session: Session, monitor: Iterable[Batch]) -> Measured:
    """Return what the network that would be kept is worth, the same on all ranks."""
    scores, maps = VideoScores(), MapScores(session.state.net.map_names)

    def add(batch: Batch, output: Output) -> None:
        stop_if_asked(session)
        scores.add(batch, output)
        maps.add(batch, output)

    share_buffers(session.state.kept)
    run_network(session.state.kept, monitor, add, precision=session.precision, forward=session.kept_forward)
    ranks = gathered((scores, maps))

    def summarize() -> Measured:
        whole = merged_maps(maps for _, maps in ranks)
        named = {f"{quantity}_{name}": mean for quantity in LOGGED_OF_MAPS for name, mean in whole.mean(quantity).items()}
        return Measured(merged(scores for scores, _ in ranks).accuracies(), named)

    return done_by_main(summarize)


def finish_epoch(session: Session, measured: Measured | None, subset: str, *, skipped_clips: int = 0) -> None:
    """Write the epoch down, keep the network if it is the best so far, and write the checkpoint.

    Of equal accuracies the lower negative log-likelihood is better: few videos are soon all right, and their maps not yet sharp.
    """
    progress = session.state.progress
    values: dict[str, Any] = session.state.meter.epoch()
    if session.config.optim.schedule == "plateau":
        values["learning_rate"] = rate_of(session, progress.step - 1)
    is_best = False
    if measured is not None:
        accuracies = measured.accuracies
        values |= {f"{subset}_{name}": value for name, value in measured.maps.items()}
        values |= {f"{subset}_{name}": getattr(accuracies, name) for name in ("top1", "top5", "nll")}
        is_best = subset == "val" and is_better(accuracies, progress)
        if is_best:
            progress.best_top1, progress.best_nll, progress.best_epoch = accuracies.top1, accuracies.nll, progress.epoch + 1
        values |= early_stop(progress, session.config)
    if skipped_clips:
        values["skipped_clips"] = skipped_clips
    progress.history.append(log(session, "epoch", values))
    progress.epoch += 1
    if is_best:
        save_best(session)
    save(session)


def is_better(accuracies: Accuracies, progress: Progress) -> bool:
    """Say whether an epoch is better than all before it."""
    if progress.best_top1 is None or progress.best_nll is None:
        return True
    return (accuracies.top1, -accuracies.nll) > (progress.best_top1, -progress.best_nll)


def early_stop(progress: Progress, config: Config) -> dict[str, str]:
    """Return why the epoch just evaluated is the last one, as `stopped`, where patience is at its end before the epochs are."""
    patience, epoch = config.optim.patience_epochs, progress.epoch + 1
    waited = epoch - (progress.best_epoch or 0)
    if not patience or waited < patience or epoch == config.optim.epochs:
        return {}
    best = f"{progress.best_top1:.1f} % (NLL {progress.best_nll:.3f}) after epoch {progress.best_epoch}"
    return {"stopped": f"nothing better on val for {waited} epochs than {best}"}
