"""The exponential moving average of a network's weights, which is often a better network than the one that is trained."""

import copy

import torch
from torch import Tensor

from objabn.models.network import AttentionNetwork


class WeightAverage:
    """A second network, the moving average of the first; running statistics are averaged like weights, since they belong to them.

    The decay of update n, from 0, is min(`decay`, n / (n + 9)): the first update takes the weights as they are, so that
    nothing of the random start stays, and 0.99 is reached at update 891, 0.999 at 8,991.
    """

    def __init__(self, net: AttentionNetwork, decay: float) -> None:
        self.net = copy.deepcopy(net).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, net: AttentionNetwork, number: int, *, is_skipped: Tensor | None = None) -> None:
        """Take the weights after a step, counted from 0, into the average; counters are copied.

        Where `is_skipped`, () bool on the device, is true, the average stays as it is.
        """
        decay = min(self.decay, number / (number + 9))
        pairs = list(zip(self.net.state_dict().values(), net.state_dict().values(), strict=True))
        averages, values = zip(*(pair for pair in pairs if pair[0].is_floating_point()), strict=True)
        changes = torch._foreach_sub(values, averages)
        torch._foreach_mul_(changes, 1 - decay)
        if is_skipped is not None:
            torch._foreach_mul_(changes, (~is_skipped).to(averages[0].dtype))
        torch._foreach_add_(averages, changes)
        for counter, value in pairs:
            if not counter.is_floating_point():
                counter.copy_(value)
