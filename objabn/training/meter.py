"""What is measured while training: sums that stay on the device, and where the time goes."""

import time
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from objabn.objective import Losses
from objabn.training.distributed import summed, world
from objabn.types import Batch


class Meter:
    """Sums of losses and right answers over an epoch, read only when asked, so that no step waits for the device."""

    def __init__(self, device: torch.device, terms: tuple[str, ...]) -> None:
        """Measure on this device; `terms` are the losses to be summed, by their names in `Losses`."""
        self.terms = terms
        self.names = (*terms, "correct", "clips", "batches", "skipped_steps", "seconds", "wait_seconds")
        self.sums = torch.zeros(len(self.names) - 2, dtype=torch.float64, device=device)
        self.pending = torch.zeros_like(self.sums)
        self.times = torch.zeros(2, dtype=torch.float64)
        self.read = torch.zeros(len(self.names), dtype=torch.float64)
        self.clock = time.perf_counter()

    def timed(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Yield the batches and add up how long each was waited for."""
        iterator = iter(batches)
        while True:
            asked = time.perf_counter()
            batch = next(iterator, None)
            self.times[1] += time.perf_counter() - asked
            if batch is None:
                return
            yield batch

    def add(self, losses: Losses, logits_BK: Tensor, label_B: Tensor) -> None:
        """Note a batch of the step under way, without reading anything back from the device."""
        with torch.no_grad():
            correct = (logits_BK.argmax(1) == label_B).sum()
            # new_full fills on the device; a tensor made of Python numbers would have to be copied there.
            counts = (correct, correct.new_full((), len(label_B)), correct.new_full((), 1), correct.new_full((), 0))
            self.pending += torch.stack([*(getattr(losses, name) for name in self.terms), *counts]).double()

    def settle(self, is_skipped: Tensor) -> None:
        """Count the batches of a step, or where `is_skipped`, () bool, is true nothing but that."""
        self.sums += torch.where(is_skipped, 0, self.pending)
        self.sums[self.names.index("skipped_steps")] += is_skipped
        self.pending.zero_()

    def start_clock(self) -> None:
        """Begin to count time; what passed since it was stopped is no training."""
        self.clock = time.perf_counter()

    def stop_clock(self) -> None:
        """Count the time since the clock was started."""
        now = time.perf_counter()
        self.times[0] += now - self.clock
        self.clock = now

    def interval(self) -> dict[str, float]:
        """Return the means since the last reading over all ranks, and begin the next interval."""
        self.stop_clock()
        now = self.total()
        change, self.read = now - self.read, now
        return self.means(of_all_ranks(change))

    def epoch(self) -> dict[str, float]:
        """Return the means of the epoch over all ranks, and begin the next one."""
        means = self.means(of_all_ranks(self.total()))
        for sums in (self.sums, self.times, self.read):
            sums.zero_()
        return means

    def total(self) -> Tensor:
        """Return all sums of the epoch on the CPU; waits for the device."""
        return torch.cat([self.sums.cpu(), self.times])

    def means(self, sums: Tensor) -> dict[str, float]:
        """Return each loss per batch, accuracy and loader wait in percent, clips a second, and the steps that were skipped, if any.

        Without a batch that counts there are neither losses nor accuracy.
        """
        values = dict(zip(self.names, sums.tolist(), strict=True))
        seconds, means = max(values["seconds"], 1e-9), {}
        if values["batches"]:
            losses = {name: values[name] / values["batches"] for name in self.terms}
            means = {"loss": losses.pop("total"), **losses, "top1": 100 * values["correct"] / values["clips"]}
        rates = {"clips_per_second": values["clips"] / seconds, "loader_wait": 100 * values["wait_seconds"] / seconds}
        return means | rates | ({"skipped_steps": int(values["skipped_steps"])} if values["skipped_steps"] else {})

    def to_tensors(self) -> dict[str, Tensor]:
        """Return the sums by name, for a checkpoint."""
        return {"meter.sums": self.sums, "meter.times": self.times, "meter.read": self.read}

    def from_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Take the sums of a checkpoint."""
        self.sums = tensors["meter.sums"].to(self.sums.device)
        self.times, self.read = tensors["meter.times"], tensors["meter.read"]


def of_all_ranks(sums: Tensor) -> Tensor:
    """Return the sums over all ranks; of the skipped steps and the times at the end, which all ranks have at once, the mean."""
    total = summed(sums)
    return torch.cat([total[:-3], total[-3:] / world()])
