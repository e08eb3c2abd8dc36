"""The memory that a forward pass holds until its backward pass."""

from collections.abc import Callable

import torch
from torch import Tensor


def kept_megabytes(forward: Callable[[], Tensor]) -> float:
    """Return the size of the tensors that autograd keeps of a call, each counted once."""
    sizes: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = forward()
    assert result.requires_grad
    return sum(sizes.values()) / 1e6
