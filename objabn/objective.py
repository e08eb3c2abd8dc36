"""What training minimises: the weighted sum of Object-ABN eq. 9 and 10, and each of its terms for the log."""

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional

from objabn.config import LossConfig
from objabn.losses import PrototypeConformityLoss, mask_loss, multi_head_mask_loss
from objabn.models.network import AttentionNetwork
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


class Objective(nn.Module):
    """The losses of one system; its only parameters are the prototypes, where the PC loss is on."""

    def __init__(self, config: LossConfig, *, map_names: tuple[str, ...], pc_loss: PrototypeConformityLoss | None) -> None:
        super().__init__()
        self.config = config
        self.map_names = map_names
        self.pc_loss = pc_loss

    def forward(self, output: Output, batch: Batch) -> Losses:
        """Return the losses of a network's output; compute is in float32 whatever autocast does."""
        perception = functional.cross_entropy(output.logits.float(), batch.label)
        off = perception.new_zeros(())
        is_branch_on = output.branch_logits is not None and self.config.branch > 0
        branch = (
            functional.cross_entropy(output.branch_logits.float(), batch.label)
            if is_branch_on and output.branch_logits is not None
            else off
        )
        mask = self.mask_term(output.maps, batch) if self.config.mask > 0 and "M_o" in self.map_names else off
        pc = self.pc_loss(output.features, batch.label) if self.pc_loss is not None else off
        total = perception + self.config.branch * branch + self.config.mask * mask + self.config.pc * pc
        return Losses(total, perception, branch, mask, pc)

    def mask_term(self, maps_BNTYX: Tensor, batch: Batch) -> Tensor:
        """Return the mask loss that belongs to the maps there are."""
        valid_BT = batch.mask_valid if self.config.empty_mask == "ignore" else None
        if "M_b" in self.map_names:
            return multi_head_mask_loss(
                maps_BNTYX, batch.mask, valid_BT, background_weight=self.config.background, target=self.config.mask_target
            )
        return mask_loss(maps_BNTYX[:, 0], batch.mask, valid_BT, target=self.config.mask_target)


def build_objective(config: LossConfig, net: AttentionNetwork) -> Objective:
    """Build the losses for a network; prototypes exist only where `pc` is above zero."""
    return Objective(config, map_names=net.map_names, pc_loss=build_pc_loss(config, net) if config.pc > 0 else None)


def build_pc_loss(config: LossConfig, net: AttentionNetwork) -> PrototypeConformityLoss:
    """Build the PC loss in the form of the config, with prototypes as long as its pooled features."""
    cells = net.clip_frames * net.grid_size**2 if config.pc_pool == "flatten" else 1
    is_official = config.pc_form == "official"
    return PrototypeConformityLoss(
        net.classes,
        net.feature_channels * cells,
        pull=config.pc_pull,
        push=config.pc_push,
        squared=is_official,
        center_term=not is_official,
        shared_centers=not is_official,
        pool=config.pc_pool,
    )
