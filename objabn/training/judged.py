"""A network and its losses as one module."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from objabn.objective import Losses, Objective
from objabn.training.precision import as_float32
from objabn.types import Batch


class Judged(NamedTuple):
    """What a step needs to know of a batch: its losses, and the answers that top-1 is counted from."""

    losses: Losses
    logits: Tensor
    """(B, K) in float32."""


class JudgedNetwork(nn.Module):
    """A network and its losses as one module, so that they are compiled together and share their gradients over ranks."""

    def __init__(self, net: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.net = net
        self.objective = objective

    def forward(self, batch: Batch, mask_share: Tensor | None = None) -> Judged:
        """Judge the network's answer to a batch; the losses are in float32 whatever autocast does.

        `mask_share` is for a batch that is part of a greater one, over several ranks; see `Objective`.
        """
        output = self.net(batch.clip)
        with torch.autocast(output.logits.device.type, enabled=False):
            output = as_float32(output)
            return Judged(self.objective(output, batch, mask_share), output.logits)
