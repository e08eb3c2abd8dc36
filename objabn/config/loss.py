"""Settings of what training minimises."""

from dataclasses import dataclass
from typing import Literal

from objabn.config.checks import check, check_choices, check_not_negative


@dataclass(frozen=True, kw_only=True, slots=True)
class LossConfig:
    """Weights and readings of the losses (Object-ABN section 4.2, eq. 3, 7-10); a weight of 0 switches a term off."""

    branch: float = 1.0
    """Cross entropy of the attention branch (lambda)."""
    mask: float = 10.0
    """Mask loss on M_o, one head (lambda_mask), or the multi-head mask loss (lambda_mha)."""
    background: float = 1.0
    """M_b within the multi-head mask loss (lambda_b)."""
    pc: float = 1e-4
    """Prototype conformity loss (lambda_PC)."""
    pc_pull: float = 1.0
    """Pull to the own prototype (lambda_PC1)."""
    pc_push: float = 1e-3
    """Push from the other prototypes (lambda_PC2)."""
    pc_form: Literal["paper", "squared", "uncentred", "official"] = "paper"
    """`paper`: norms, with the centre term; `squared`: their squares instead; `uncentred`: without the centre term; `official`: squares,
    two sets of centres, no centre term."""
    pc_pool: Literal["gap", "flatten"] = "gap"
    """Features to a vector: mean over frames and grid, or all of them."""
    mask_target: Literal["hard", "soft"] = "hard"
    """Coverage >= 0.5 as {0, 1} (the paper), or the coverage itself."""
    empty_mask: Literal["ignore", "zeros"] = "ignore"
    """Frames without a detection are left out, or count as empty (the literal reading)."""
    mask_warmup_epochs: float = 0.0
    """Linear rise of all that pulls maps towards masks, from the first step."""
    dice: float = 0.0
    """Soft Dice distance of M_o from the mask, and of M_b from its complement: unlike a square it asks for whole regions."""
    temporal_variation: float = 0.0
    """Mean square of the differences between a map and that of the frame before."""
    total_variation: float = 0.0
    """saliency_lstm: differences between neighbouring cells of the maps (1e-5 in the authors' code)."""
    contrast: float = 0.0
    """saliency_lstm: cells towards 0 and 1 (1e-4)."""
    unimodal: float = 0.0
    """saliency_lstm: one peak of the frame weights in time (1)."""
    regularisers: Literal["paper", "official"] = "paper"
    """`official` is the authors' code: total variation summed over the batch, and the root of the unimodal term."""
    label_smoothing: float = 0.0
    """Share of each label that is spread over all classes, in both cross entropies."""
    class_weights: Literal["none", "balanced"] = "none"
    """`balanced` weighs every class by the inverse of its number of training videos, in both cross entropies."""

    def __post_init__(self) -> None:
        """Refuse negative weights."""
        check_choices("loss", self)
        check_not_negative("loss", self, "branch", "mask", "background", "pc", "pc_pull", "pc_push")
        check_not_negative("loss", self, "mask_warmup_epochs", "dice", "temporal_variation", "total_variation", "contrast", "unimodal")
        check("loss.label_smoothing", self.label_smoothing, 0 <= self.label_smoothing < 1, "a number in [0, 1)")
