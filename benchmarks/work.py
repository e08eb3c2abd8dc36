"""What a computation asks of a machine: the bytes that its operations read and write, and their multiplications and additions."""

from collections.abc import Callable, Iterable
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

OVERWRITING = ("fill_", "zero_", "copy_", "normal_", "uniform_")
"""Operations in place that do not read what they write to."""
WITHOUT_TRAFFIC = ("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "detach", "_unsafe_view")


class Work(NamedTuple):
    """What was asked for."""

    bytes: int
    """Each operand of each operation once, as it is read and as it is written; views are free."""
    operations: int
    """Multiplications and additions of products and convolutions; what is done element by element is not among them."""


def count_work(computation: Callable[[], object]) -> Work:
    """Run a computation and count what its operations ask for, one by one as eager PyTorch calls them."""
    watch = Watch()
    with watch:
        computation()
    return Work(watch.bytes, watch.operations)


class Watch(TorchDispatchMode):
    """Adds up what each operation reads, writes and computes while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0
        self.operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count an operation and run it."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        name = func._schema.name.partition("::")[2]
        if not func.is_view and name not in WITHOUT_TRAFFIC:
            inputs = tensors_of((args, kwargs))
            written = written_arguments(func, args, kwargs)
            only_written = written if name in OVERWRITING else out_arguments(func, kwargs)
            read = [tensor for tensor in inputs if not any(tensor is other for other in only_written)]
            made = [tensor for tensor in tensors_of(result) if not any(tensor is other for other in inputs)]
            self.bytes += size_of(read) + size_of(made) + size_of(written)
        self.operations += operations_of(func._overloadpacket, args, kwargs, result)
        return result


def tensors_of(values: Any) -> list[Tensor]:
    """Return the tensors within nested arguments or results."""
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]


def written_arguments(func: Any, args: Any, kwargs: dict[str, Any]) -> list[Tensor]:
    """Return the arguments that an operation writes to, `out` among them."""
    found: list[Tensor] = []
    for place, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            found += tensors_of(kwargs.get(argument.name, args[place] if place < len(args) else None))
    return found


def out_arguments(func: Any, kwargs: dict[str, Any]) -> list[Tensor]:
    """Return the tensors that were given for results."""
    return tensors_of([kwargs.get(argument.name) for argument in func._schema.arguments if argument.is_out])


def size_of(tensors: Iterable[Tensor]) -> int:
    """Return the bytes of different places in memory that tensors stand for; an expanded axis is one place."""
    seen: dict[tuple[int, int, tuple[int, ...], tuple[int, ...]], int] = {}
    for tensor in tensors:
        places = [length for length, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride != 0]
        key = (tensor.untyped_storage().data_ptr(), int(tensor.storage_offset()), tuple(tensor.shape), tensor.stride())
        seen[key] = prod(places) * tensor.element_size() if tensor.numel() else 0
    return sum(seen.values())


def operations_of(packet: Any, args: Any, kwargs: dict[str, Any], result: Any) -> int:
    """Return the multiplications and additions of an operation by PyTorch's formulas, and by ours where these are wrong."""
    if packet is torch.ops.aten.convolution_backward:
        return convolution_backward_operations(*args)
    return int(flop_registry[packet](*args, **kwargs, out_val=result)) if packet in flop_registry else 0


def convolution_backward_operations(gradient: Tensor, _inputs: Tensor, weight: Tensor, *arguments: Any) -> int:
    """Count both gradients of a convolution: each has the products of the forward pass.

    PyTorch's own formula forgets the groups in the weights' gradient, and so counts a depthwise one as if it were dense.
    """
    transposed, mask = arguments[4], arguments[7]
    if transposed:
        raise ValueError("A transposed convolution was given, and only ordinary ones are counted; leave it out of what is counted.")
    one = 2 * gradient.numel() * prod(weight.shape[1:])
    return one * (bool(mask[0]) + bool(mask[1]))
