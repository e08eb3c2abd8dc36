"""A step whose loss or gradient is not finite changes nothing, and is counted; nothing here waits for the device."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from objabn.training.distributed import agree


class Verdict(NamedTuple):
    """What is to become of a step, as () bool on the device, the same on all ranks."""

    is_spoiled: Tensor
    """Loss or gradient are not finite: nothing may change by this step."""
    is_failure: Tensor
    """And not because fp16 scales the loss so high that gradients overflow now and then, which is as it should be."""


class StepGuard:
    """Judges each step, takes back what a spoiled one did to running statistics, and counts those that failed in a row."""

    def __init__(self, modules: Iterable[nn.Module], device: torch.device) -> None:
        """Guard the buffers of these modules, which are on this device for good."""
        self.statistics = Statistics(modules)
        self.in_a_row = torch.zeros(2, dtype=torch.int64, device=device)
        """Failed steps up to the latest, and how many of them had a loss that was not finite."""
        self.longest = self.in_a_row.clone()
        """The same of the longest row."""

    def remember(self) -> None:
        """Keep the running statistics as they are before the step."""
        self.statistics.remember()

    @torch.no_grad()
    def judge(self, loss: Tensor, gradient_norm: Tensor, *, scale: Tensor) -> Verdict:
        """Judge a step by its loss and the norm of its unscaled gradient, both (); `scale` is what the loss was multiplied by."""
        is_good_loss = agree(loss.isfinite())
        is_spoiled = ~(is_good_loss & gradient_norm.isfinite())
        # A scale that was lowered to 1 is no reason for an overflow.
        is_failure = ~is_good_loss | (is_spoiled & (scale <= 1))
        self.statistics.restore(is_spoiled)
        self.in_a_row = torch.where(is_failure, self.in_a_row + torch.stack([is_failure, ~is_good_loss]), 0)
        self.longest = torch.where(self.in_a_row[0] > self.longest[0], self.in_a_row, self.longest)
        return Verdict(is_spoiled, is_failure)

    def reason_to_stop(self, skip_steps: int) -> str | None:
        """Return why training cannot go on once `skip_steps` steps in a row have failed, 0 being the first; waits for the device."""
        steps, with_loss = self.longest.tolist()
        if steps < max(skip_steps, 1):
            return None
        culprit = "the gradient" if not with_loss else "the loss" if with_loss == steps else "the loss or the gradient"
        return f"{culprit} is not finite" if steps == 1 else f"{culprit} of {steps} steps in a row was not finite"

    def to_tensors(self) -> dict[str, Tensor]:
        """Return the count by name, for a checkpoint."""
        return {"guard.in_a_row": self.in_a_row}

    def from_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Take the count of a checkpoint; one that has none was written before steps were counted."""
        if "guard.in_a_row" in tensors:
            self.in_a_row = tensors["guard.in_a_row"].to(self.in_a_row.device)
            self.longest = self.in_a_row


class Statistics:
    """The buffers of modules, running statistics among them, which can be taken back to what they were."""

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        buffers = {buffer.data_ptr(): buffer for module in modules for buffer in module.buffers() if buffer.numel()}
        alike: dict[torch.dtype, list[Tensor]] = {}
        for buffer in buffers.values():
            # What is expanded or transposed is a constant of the network.
            if buffer.is_contiguous():
                alike.setdefault(buffer.dtype, []).append(buffer.detach().view(-1))
        self.groups = list(alike.values())
        self.before: list[Tensor] = []

    @torch.no_grad()
    def remember(self) -> None:
        """Keep all values; a few kernels, however many buffers there are."""
        self.before = [torch.cat(buffers) for buffers in self.groups]

    @torch.no_grad()
    def restore(self, is_wanted: Tensor) -> None:
        """Put the values kept last back where `is_wanted`, () bool, is true."""
        for buffers, before in zip(self.groups, self.before, strict=True):
            values = torch.where(is_wanted, before, torch.cat(buffers))
            torch._foreach_copy_(buffers, values.split([buffer.numel() for buffer in buffers]))
