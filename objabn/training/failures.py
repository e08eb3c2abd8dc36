"""What is said when training cannot go on: the reason, what is kept, and what to change."""

from objabn.config import Config


def not_finite(step: int, saved_step: int, reason: str) -> RuntimeError:
    """Return the error of a training that diverged."""
    kept = f"the checkpoint of step {saved_step} is kept" if saved_step else "there is no checkpoint yet"
    return RuntimeError(
        f"Training stopped at step {step}: {reason}; {kept}. "
        "Begin again with a lower optim.lr, with optim.clip_norm=1, or with run.amp=off."
    )


def out_of_memory(config: Config) -> RuntimeError:
    """Return the error of a GPU too small for the clips of one loader batch, with the next smaller size of it."""
    batch, accumulate, data = config.optim.batch, config.optim.accumulate, config.data
    smaller = next((parts for parts in range(accumulate + 1, batch + 1) if batch % parts == 0), None)
    advice = (
        "a smaller --backbone, data.crop_size or data.clip_frames"
        if smaller is None
        else f"--set optim.accumulate={smaller}, which takes the same batch of {batch} as {smaller} times {batch // smaller} clips"
    )
    clips = f"{batch // accumulate} clips of {data.clip_frames} frames of {data.crop_size} x {data.crop_size} pixels"
    return RuntimeError(f"The memory of the GPU does not hold {clips} at a time; begin again with {advice}.")
