"""Gradients of clips and features alone: nothing is recorded for the weights."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def frozen(net: nn.Module) -> Iterator[None]:
    """Have no weight of a network ask for gradients, and let each ask again behind it, even after an error."""
    asking = [parameter for parameter in net.parameters() if parameter.requires_grad]
    for parameter in asking:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in asking:
            parameter.requires_grad_(True)
