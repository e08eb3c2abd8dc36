"""What is said when training cannot go on: the reason, what is kept, and what to change."""

from objabn.config import Config


def not_finite(step: int, saved_step: int, reason: str) -> RuntimeError:
    """Return the error of a training that diverged."""
    kept = f"the checkpoint of step {saved_step} is kept" if saved_step else "there is no checkpoint yet"
    return RuntimeError(
        f"Training stopped at step {step}: {reason}; {kept}. "
        "Begin again with a lower optim.lr, with optim.clip_norm=1, or with run.amp=off."
    )


def out_of_memory(config: Config, *, place: str = "the GPU", fitting: int | None = None, is_half_precision: bool = False) -> RuntimeError:
    """Return the error of a memory too small for the clips of one loader batch, with what helps; what changes no result comes first.

    `fitting` is how many clips a trial found to fit at a time, 0 being none; without a trial the next smaller batch is named.
    """
    accumulate, data = config.optim.accumulate, config.data
    clips = f"{config.optim.batch // accumulate} clips of {data.clip_frames} frames of {data.crop_size} x {data.crop_size} pixels"
    found = {None: "", 0: "; not even one fits, as a trial found"}.get(fitting, f"; {fitting} fit, as a trial found")
    settings = {"run.recompute=true": not config.run.recompute, "run.amp=bf16": not is_half_precision}
    gentle = " or ".join(f"--set {setting}" for setting, helps in settings.items() if helps)
    smaller = "a smaller --backbone, data.crop_size or data.clip_frames"
    anew = " or with ".join([*in_more_parts(config, fitting), smaller])
    advice = f"go on by --resume with {gentle}, or begin again with {anew}" if gentle else f"begin again with {anew}"
    return RuntimeError(f"The memory of {place} does not hold {clips} at a time{found}; {advice}.")


def in_more_parts(config: Config, fitting: int | None) -> list[str]:
    """Return the setting by which a step takes the clips of its batch in more parts, each with as many as fit; nothing where none does."""
    batch, sizes = config.optim.batch, smaller_batches(config)
    clips = fitting if fitting is not None else next(iter(sizes), 0)
    if not clips:
        return []
    parts = batch // clips
    return [f"--set optim.accumulate={parts}, which takes the same batch of {batch} as {parts} times {clips} clips,"]


def smaller_batches(config: Config) -> list[int]:
    """Return the numbers of clips, from the largest down, that a loader batch could have instead with the same clips in a step."""
    batch, accumulate = config.optim.batch, config.optim.accumulate
    return [batch // parts for parts in range(accumulate + 1, batch + 1) if batch % parts == 0]
