"""Settings of how weights move."""

from dataclasses import dataclass
from typing import Literal

from objabn.config.checks import check, check_choices, check_not_negative


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimConfig:
    """How the weights move."""

    name: Literal["adam", "adamw", "sgd"] = "adam"
    """Optimiser."""
    lr: float = 1e-4
    """Learning rate at its highest."""
    scale_lr: Literal["none", "linear", "root"] = "none"
    """What multiplies `lr`: nothing, batch / `base_batch`, or its square root."""
    base_batch: int = 16
    """The batch that `lr` was found with; see `scale_lr`."""
    momentum: float = 0.9
    """Momentum of `sgd`."""
    nesterov: bool = False
    """Nesterov's momentum with `sgd`."""
    weight_decay: float = 0.0
    """Never applied to prototypes, norms and biases."""
    epochs: int = 50
    """Passes over the training subset."""
    batch: int = 16
    """Clips of one step, over all ranks; gradients are accumulated over `accumulate` loader batches of batch / accumulate."""
    accumulate: int = 1
    """Loader batches of one optimiser step; must divide `batch`. The mask term is a mean over the valid frames of each of them."""
    clip_norm: float = 0.0
    """Largest gradient norm; 0 is no clipping."""
    schedule: Literal["constant", "cosine", "step", "plateau"] = "constant"
    """Learning rate over the run, after the warm-up; `plateau` follows the NLL on `val`."""
    warmup_epochs: float = 0.0
    """Linear rise of the learning rate."""
    step_epochs: tuple[int, ...] = ()
    """`step`: the epochs at which the learning rate is multiplied by `step_factor`."""
    step_factor: float = 0.1
    """See `step_epochs` and `plateau_epochs`."""
    plateau_epochs: int = 5
    """`plateau`: epochs in a row without a lower NLL on the monitored subset that pass; the next one multiplies by `step_factor`."""
    backbone_factor: float = 1.0
    """Learning rate of the backbone (stem and tail without the classifier) as a multiple of `lr`; 0 leaves its weights as they are."""
    branch_factor: float = 1.0
    """Learning rate of the attention branch and the gate as a multiple of `lr`."""
    map_gain_factor: float = 1.0
    """Multiplies that of the weight of the batch norm before the maps' sigmoid, their gain, which `model.map_gain` starts."""
    prototype_factor: float = 1.0
    """Learning rate of the PC loss's prototypes as a multiple of `lr`, as if they had an optimiser of their own."""
    freeze: tuple[str, ...] = ()
    """Parts that stay as they are, batch statistics included: stem, tail (without the classifier), classifier, branch, gate, norms
    (the batch norms of stem and tail), or modules by their names in the network."""
    sync_batch_norm: bool = False
    """Batch norm over the clips of all ranks instead of each rank's own; on GPUs only."""
    ema: float = 0.0
    """Decay per step of an exponential moving average of the weights, which is what is evaluated and kept; 0 is none."""
    patience_epochs: int = 0
    """Stop after so many epochs without a better result on `val` (accuracy, then NLL); 0 is never."""

    def __post_init__(self) -> None:
        """Refuse rates and sizes that cannot train, and steps of the learning rate that would not be taken."""
        check_choices("optim", self)
        check("optim.lr", self.lr, self.lr > 0, "above 0")
        check("optim.epochs", self.epochs, self.epochs >= 1, "at least 1")
        check("optim.batch", self.batch, self.batch >= 1, "at least 1")
        check("optim.base_batch", self.base_batch, self.base_batch >= 1, "at least 1")
        check_not_negative("optim", self, "weight_decay", "clip_norm", "warmup_epochs", "step_factor")
        check_not_negative("optim", self, "backbone_factor", "branch_factor", "map_gain_factor", "prototype_factor")
        check_not_negative("optim", self, "patience_epochs", "plateau_epochs")
        check("optim.momentum", self.momentum, 0 <= self.momentum < 1, "a number in [0, 1)")
        has_momentum = self.name == "sgd" and self.momentum > 0
        check("optim.nesterov", self.nesterov, has_momentum or not self.nesterov, "false without name=sgd and momentum above 0")
        has_steps = self.schedule == "step"
        allowed = f"{'one epoch or more' if has_steps else 'empty'} with schedule={self.schedule}"
        check("optim.step_epochs", self.step_epochs, bool(self.step_epochs) == has_steps, allowed)
        check("optim.ema", self.ema, 0 <= self.ema < 1, "a number in [0, 1)")
        check(
            "optim.accumulate",
            self.accumulate,
            self.accumulate >= 1 and self.batch % self.accumulate == 0,
            f"a divisor of batch={self.batch}",
        )
