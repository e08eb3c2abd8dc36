"""What training minimises: the weighted sum of Object-ABN eq. 9 and 10 and of regularisers, and each of its terms for the log."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from objabn.config import LossConfig
from objabn.losses import (
    BACKGROUND_MAP,
    OBJECT_MAP,
    PrototypeConformityLoss,
    dice_loss,
    mask_loss,
    mask_target,
    multi_head_mask_loss,
)
from objabn.models.network import AttentionNetwork
from objabn.regularisers import contrast, temporal_variation, total_variation, unimodality
from objabn.types import Batch, Output


class Losses(NamedTuple):
    """Scalars of one batch: the weighted total, and its terms before they are weighted; a term that is off is zero."""

    total: Tensor
    """What is minimised."""
    perception: Tensor
    """Cross entropy of the answer."""
    branch: Tensor
    """Cross entropy of the attention branch."""
    mask: Tensor
    """Mask loss (eq. 3), or the multi-head mask loss (eq. 7) with M_b's weight within it."""
    pc: Tensor
    """Prototype conformity loss (eq. 8) with its own two weights within it."""
    dice: Tensor
    """Dice distance of the maps that masks pull, with M_b's weight within it."""
    temporal_variation: Tensor
    """Differences between maps of neighbouring frames."""
    total_variation: Tensor
    """Differences between neighbouring cells of the maps (Meng et al. 2019)."""
    contrast: Tensor
    """Cells of the maps towards 0 and 1."""
    unimodal: Tensor
    """One peak of the frame weights in time."""


REGULARISERS = ("dice", "temporal_variation", "total_variation", "contrast", "unimodal")
"""Terms that are in the log only where they are on."""


class Objective(nn.Module):
    """The losses of one system; its only parameters are the prototypes, where the PC loss is on."""

    class_weights: Tensor | None
    mask_rise: Tensor

    def __init__(
        self,
        config: LossConfig,
        *,
        map_names: tuple[str, ...],
        pc_loss: PrototypeConformityLoss | None,
        class_weights: Tensor | None = None,
        ranks: int = 1,
    ) -> None:
        """Weigh by `config`; with several `ranks` what is a sum over the clips counts so often, as their gradients are averaged."""
        super().__init__()
        self.config = config
        self.ranks = ranks
        self.map_names = map_names
        self.pc_loss = pc_loss
        # They come from the dataset each time, and are no part of a checkpoint.
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.register_buffer("mask_rise", torch.ones(()), persistent=False)

    def warm_up(self, epochs: float) -> None:
        """Weigh what pulls maps towards masks as after so many epochs, of which `mask_warmup_epochs` raise it from 0 to its weight."""
        if self.config.mask_warmup_epochs > 0:
            self.mask_rise.fill_(min(1.0, epochs / self.config.mask_warmup_epochs))

    @property
    def logged_terms(self) -> tuple[str, ...]:
        """Names of `Losses` that belong into the log."""
        return tuple(name for name in Losses._fields if name not in REGULARISERS or getattr(self.config, name) > 0)

    @property
    def counts_valid_frames(self) -> bool:
        """Whether the mask term is a mean over the frames in which something was found, of which ranks have more and less."""
        has_mask_term = self.config.mask > 0 or self.config.dice > 0
        return has_mask_term and self.config.empty_mask == "ignore" and "M_o" in self.map_names

    def forward(self, output: Output, batch: Batch, mask_share: Tensor | None = None) -> Losses:
        """Return the losses of a network's output; compute is in float32 whatever autocast does.

        The mask term is a mean over valid frames, of which ranks have more and less: `mask_share` is those of this
        batch divided by the mean over all ranks, and makes the mean of their terms one over all frames.
        """
        perception = self.cross_entropy(output.logits, batch.label)
        off = perception.new_zeros(())
        is_branch_on = output.branch_logits is not None and self.config.branch > 0
        branch = self.cross_entropy(output.branch_logits, batch.label) if is_branch_on and output.branch_logits is not None else off
        mask = self.mask_term(output.maps, batch) if self.config.mask > 0 and "M_o" in self.map_names else off
        mask = mask if mask_share is None else mask_share * mask
        pc = self.pc_loss(output.features, batch.label) if self.pc_loss is not None else off
        total = perception + self.config.branch * branch + self.config.mask * self.mask_rise * mask + self.config.pc * pc
        regularisers = self.regularisers(output)
        if self.config.dice > 0 and "M_o" in self.map_names:
            dice = self.dice_term(output.maps, batch)
            regularisers["dice"] = self.mask_rise * (dice if mask_share is None else mask_share * dice)
        for name, term in regularisers.items():
            total = total + getattr(self.config, name) * term
        return Losses(total, perception, branch, mask, pc, **(dict.fromkeys(REGULARISERS, off) | regularisers))

    def cross_entropy(self, logits_BK: Tensor, label_B: Tensor) -> Tensor:
        """Return the mean over the clips of the cross entropy with smoothed labels, each times the weight of its class.

        Not divided by the sum of the batch's weights, as torch does it: in a batch of one class nothing would be left of them.
        """
        smoothing = self.config.label_smoothing
        if self.class_weights is None:
            return functional.cross_entropy(logits_BK.float(), label_B, label_smoothing=smoothing)
        each_B = functional.cross_entropy(logits_BK.float(), label_B, label_smoothing=smoothing, reduction="none")
        return (self.class_weights[label_B] * each_B).mean()

    def mask_term(self, maps_BNTYX: Tensor, batch: Batch) -> Tensor:
        """Return the mask loss that belongs to the maps there are."""
        valid_BT = batch.mask_valid if self.config.empty_mask == "ignore" else None
        if "M_b" in self.map_names:
            return multi_head_mask_loss(
                maps_BNTYX, batch.mask, valid_BT, background_weight=self.config.background, target=self.config.mask_target
            )
        return mask_loss(maps_BNTYX[:, 0], batch.mask, valid_BT, target=self.config.mask_target)

    def dice_term(self, maps_BNTYX: Tensor, batch: Batch) -> Tensor:
        """Return the Dice distance that belongs to the maps there are."""
        valid_BT = batch.mask_valid if self.config.empty_mask == "ignore" else None
        target = self.config.mask_target
        if "M_b" not in self.map_names:
            return dice_loss(maps_BNTYX[:, 0], batch.mask, valid_BT, target=target)
        background = dice_loss(maps_BNTYX[:, BACKGROUND_MAP], 1 - mask_target(batch.mask, target), valid_BT, target=target)
        return dice_loss(maps_BNTYX[:, OBJECT_MAP], batch.mask, valid_BT, target=target) + self.config.background * background

    def regularisers(self, output: Output) -> dict[str, Tensor]:
        """Return the regularisers that are on by name; ValueError where frames have no weights and are to have one peak."""
        config, terms = self.config, {}
        if config.temporal_variation > 0:
            terms["temporal_variation"] = temporal_variation(output.maps)
        if config.total_variation > 0:
            is_sum = config.regularisers == "official"
            terms["total_variation"] = total_variation(output.maps, form=config.regularisers) * (self.ranks if is_sum else 1)
        if config.contrast > 0:
            terms["contrast"] = contrast(output.maps)
        if config.unimodal > 0:
            if output.frame_weights is None:
                raise ValueError(
                    f"loss.unimodal={config.unimodal} needs weights of frames, which this network does not give; "
                    "set loss.unimodal=0, or model.system=saliency_lstm."
                )
            terms["unimodal"] = unimodality(output.frame_weights, form=config.regularisers)
        return terms


def build_objective(config: LossConfig, net: AttentionNetwork, *, class_counts: Sequence[int] | None = None, ranks: int = 1) -> Objective:
    """Build the losses for a network; prototypes exist only where `pc` is above zero.

    `class_counts` are the training videos of each class, which `class_weights=balanced` needs: ValueError without.
    `ranks` are the processes whose gradients are averaged.
    """
    if config.unimodal > 0 and net.feature_frames < net.clip_frames:
        raise ValueError(
            f"loss.unimodal={config.unimodal} compares the weights of neighbouring frames, and {net.config.backbone} has one for several "
            "frames; set loss.unimodal=0, or take a backbone that keeps all frames."
        )
    of_maps = [f"loss.{name}" for name in ("temporal_variation", "total_variation", "contrast") if getattr(config, name) > 0]
    if of_maps and not net.map_names:
        raise ValueError(f"{', '.join(of_maps)} needs maps, which system {net.config.system} does not draw; set it to 0.")
    pc_loss = build_pc_loss(config, net) if config.pc > 0 else None
    class_weights = balanced_weights(class_counts) if config.class_weights == "balanced" else None
    return Objective(config, map_names=net.map_names, pc_loss=pc_loss, class_weights=class_weights, ranks=ranks)


def balanced_weights(class_counts: Sequence[int] | None) -> Tensor:
    """Return (K,) weights N / (K' n_k) for n_k of N videos in each of K' classes that have any: their mean over the videos is 1."""
    if class_counts is None:
        raise ValueError(
            "loss.class_weights=balanced needs the number of training videos of each class, and these batches do not have it; "
            "give them an attribute `class_counts`, or take loss.class_weights=none."
        )
    count_K = torch.tensor(class_counts, dtype=torch.float32)
    # A class without a video is no clip's label; its weight only has to be a number.
    return torch.where(count_K > 0, count_K.sum() / ((count_K > 0).sum() * count_K.clamp(min=1)), 0.0)


def build_pc_loss(config: LossConfig, net: AttentionNetwork) -> PrototypeConformityLoss:
    """Build the PC loss in the form of the config, with prototypes as long as its pooled features; ValueError where there are none."""
    if not net.feature_channels:
        raise ValueError(f"loss.pc={config.pc} pulls features behind the maps, which system {net.config.system} has not; set loss.pc=0.")
    cells = net.feature_frames * net.grid_size**2 if config.pc_pool == "flatten" else 1
    form = config.pc_form
    return PrototypeConformityLoss(
        net.classes,
        net.feature_channels * cells,
        pull=config.pc_pull,
        push=config.pc_push,
        squared=form in ("squared", "official"),
        center_term=form in ("paper", "squared"),
        shared_centers=form != "official",
        pool=config.pc_pool,
    )
