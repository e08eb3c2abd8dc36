"""Less memory for more time: of a residual block only its input is kept, and the rest is computed again in the backward pass."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


@contextmanager
def recomputing(net: nn.Module, *, is_on: bool = True) -> Iterator[None]:
    """Have the residual blocks of a network recompute while the context lasts; ValueError for a network that has none.

    Weights, gradients and running statistics are those of a network that keeps everything.
    """
    blocks = residual_blocks(net) if is_on else []
    if is_on and not blocks:
        raise ValueError("run.recompute=true found no residual block in this network; set it false.")
    for block in blocks:
        # An attribute of the module goes before its class, and leaves names and weights alone.
        block.forward = partial(recomputed, block)
    try:
        yield
    finally:
        for block in blocks:
            del block.forward


def residual_blocks(net: nn.Module) -> list[nn.Module]:
    """Return the outermost blocks, which pytorchvideo, timm and this library all name so: ResBlock, BasicBlock, Bottleneck..."""
    found: list[nn.Module] = []
    for child in net.children():
        found += [child] if re.search(r"(Block|Bottleneck)$", type(child).__name__) else residual_blocks(child)
    return found


def recomputed(block: nn.Module, *inputs: Any) -> Any:
    """Answer as the block does, keeping its inputs alone where gradients are wanted."""
    forward = partial(type(block).forward, block)
    if not block.training:
        return forward(*inputs)
    if torch.compiler.is_compiling():
        # The compiler takes the running statistics out of what is computed again.
        return checkpoint(forward, *inputs, use_reentrant=False)
    return checkpoint(forward, *inputs, use_reentrant=False, context_fn=lambda: (nullcontext(), statistics_kept(block)))


@contextmanager
def statistics_kept(block: nn.Module) -> Iterator[None]:
    """Leave the running statistics as they are: the first pass has counted the batch already."""
    norms = [module for module in block.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    kept = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        # They must be there, since the backward pass is handed them, and take nothing of this batch.
        norm.momentum = 0.0
        norm.num_batches_tracked = None if norm.num_batches_tracked is None else norm.num_batches_tracked.clone()
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, kept, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count
