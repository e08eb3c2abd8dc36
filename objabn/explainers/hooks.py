"""Hooks that collect what modules give, and gradients there; they are always removed."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

Outputs = dict[str, Any]
"""What modules gave, by name, in the order of their last calls: a tensor, or several in a list or tuple, sizes among them."""


def gradients(score: Tensor, outputs: Sequence[Any], *, retain_graph: bool = False) -> list[Any]:
    """Return the gradient of a score at each of what modules gave, in the same form."""
    tensors = [part for output in outputs for part in parts(output) if isinstance(part, Tensor) and part.requires_grad]
    if not score.requires_grad:
        return [with_tensors(output, torch.zeros_like) for output in outputs]
    slopes = iter(torch.autograd.grad(score, tensors, allow_unused=True, retain_graph=retain_graph))

    def slope(part: Tensor) -> Tensor:
        found = next(slopes) if part.requires_grad else None
        return torch.zeros_like(part) if found is None else found

    return [with_tensors(output, slope) for output in outputs]


@contextmanager
def captured(net: nn.Module, names: Sequence[str], *, starts_graph: bool = False) -> Iterator[Outputs]:
    """Collect what modules give, as tensors that a gradient can be taken at, even where all weights are frozen.

    With `starts_graph` gradients are recorded from these modules on only, in whatever state they were before. A module that is
    called again counts with its last call.
    """
    outputs: Outputs = {}
    was_recording = torch.is_grad_enabled()
    handles = []
    try:
        for name in names:
            handles.append(net.get_submodule(name).register_forward_hook(collector(outputs, name, starts_graph=starts_graph)))
        yield outputs
    finally:
        torch.set_grad_enabled(was_recording)
        for handle in handles:
            handle.remove()


def collector(outputs: Outputs, name: str, *, starts_graph: bool = False) -> Callable[[nn.Module, Any, Any], Any]:
    """Return a hook that keeps what a module gave and hands on a copy, which what follows may change in place."""

    def collect(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        if starts_graph:
            torch.set_grad_enabled(True)
        outputs.pop(name, None)
        outputs[name] = with_tensors(output, lambda part: part if part.requires_grad else part.detach().requires_grad_())
        return with_tensors(outputs[name], torch.clone)

    return collect


def parts(output: Any) -> list[Any]:
    """Return what a module gave, one by one."""
    return list(output) if isinstance(output, tuple | list) else [output]


def with_tensors(output: Any, replace: Callable[[Tensor], Tensor]) -> Any:
    """Return what a module gave with other tensors in it."""
    replaced = [replace(part) if isinstance(part, Tensor) and part.is_floating_point() else part for part in parts(output)]
    if not isinstance(output, tuple | list):
        return replaced[0]
    return output._make(replaced) if hasattr(output, "_make") else type(output)(replaced)
