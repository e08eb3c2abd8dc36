"""Settings of where and how a run is carried out."""

from dataclasses import dataclass
from typing import Literal

from objabn.config.checks import check, check_choices, check_not_negative


@dataclass(frozen=True, kw_only=True, slots=True)
class RunConfig:
    """Where and how a run is carried out; but for the seed, nothing here changes what is learnt beyond rounding."""

    seed: int = 0
    """Of the sampling plan, the initial weights and dropout."""
    device: str = "auto"
    """`auto` (the GPU where there is one), `cpu`, `cuda`, `cuda:1`."""
    amp: Literal["auto", "off", "bf16", "fp16"] = "auto"
    """Autocast; `auto` is bf16 on a GPU that has it, else off."""
    compile: Literal["auto", "on", "off", "graphs"] = "auto"
    """torch.compile; `auto` compiles on a GPU, `graphs` also replays the step as CUDA graphs."""
    kernels: Literal["auto", "stock"] = "auto"
    """Depthwise convolutions: the fastest of several ways for each shape, found by a short trial, or PyTorch's own."""
    recompute: bool = False
    """Keep the inputs of residual blocks only and compute what is within them again in the backward pass: less memory, more time."""
    log_steps: int = 10
    """A line in log.jsonl and on screen every so many steps."""
    checkpoint_steps: int = 0
    """Further checkpoints every so many steps; 0 is at the end of each epoch only."""
    checkpoint_minutes: float = 20.0
    """Further checkpoints after so many minutes; 0 is never."""
    keep_checkpoints: int = 0
    """How many of the latest checkpoints stay beside last/, as step-00000123/; 0 is none."""
    skip_steps: int = 10
    """Stop after so many steps in a row whose loss or gradient is not finite; each of them changes nothing. 0 stops at the first."""
    evaluate_epochs: int = 1
    """Evaluate the monitored subset every so many epochs, and after the last one; 0 is after the last one only."""
    deterministic: bool = False
    """Only algorithms that give the same bits each time, at the price of speed; `kernels` is then `stock`, which alone makes runs on a
    CPU repeatable."""
    cache_features: Literal["off", "float16", "float32"] = "off"
    """Keep what a frozen stem makes of each clip beside the dataset, in this format, and train on that; the clips must not be random."""
    log_to: tuple[str, ...] = ()
    """Further places for the numbers, beside log.jsonl and the screen: tensorboard, wandb."""

    def __post_init__(self) -> None:
        """Refuse places that do not exist and numbers below zero."""
        check_choices("run", self)
        check("run.seed", self.seed, 0 <= self.seed < 2**32, "from 0 to 4294967295")
        check_not_negative("run", self, "log_steps", "checkpoint_steps", "checkpoint_minutes", "evaluate_epochs")
        check_not_negative("run", self, "keep_checkpoints", "skip_steps")
        check("run.log_to", ",".join(self.log_to), {"tensorboard", "wandb"}.issuperset(self.log_to), "tensorboard, wandb or both")
