"""The judged network over several ranks: their gradients averaged, the mask term over all their frames, norms over all their clips."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from objabn.config import Config
from objabn.training.distributed import summed, world
from objabn.training.judged import Judged
from objabn.training.precision import resolve_device
from objabn.types import Batch

Norm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d


def over_ranks(judged: Callable[..., Any], *, has_mask_term: bool, is_compiled: bool) -> Callable[[Batch], Judged]:
    """Return the judged network with its gradients averaged over all ranks after each backward; in a single process it is as it was.

    All ranks begin with the weights of rank 0, and each forward pass in training with its running statistics. With
    `optim.accumulate` each part is averaged: what had been averaged before is the same on all ranks and stays so.
    """
    if world() == 1:
        return judged
    # The gradients of X3D-M are 15 to 23 MB and travel in a millisecond or two, so what is compiled is the whole module, for the
    # sake of fusion: Dynamo would cut it at the buckets of gradients, to send some while others are computed.
    assert isinstance(judged, nn.Module)
    # Weights of 1 x 1 x 1 have axes of length 1, whose strides mean nothing and differ between weight and gradient.
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
    parallel = DistributedDataParallel(judged, static_graph=True, gradient_as_bucket_view=True)

    def judge(batch: Batch) -> Judged:
        share = share_of_frames(batch.mask_valid) if has_mask_term else None
        with torch._dynamo.config.patch(optimize_ddp=False) if is_compiled else nullcontext():
            judged: Judged = parallel(batch, share)
        return judged

    return judge


def share_of_frames(valid_BT: Tensor) -> Tensor:
    """Return the valid frames of this rank divided by their mean over all ranks; without any, the term is zero whatever is returned."""
    frames = valid_BT.sum().float()
    return frames * world() / summed(frames).clamp(min=1)


@contextmanager
def synchronised_norms(net: nn.Module, config: Config, still: Sequence[nn.Module]) -> Iterator[None]:
    """Have batch norms, but for those that stand still, take their statistics over the clips of all ranks while the context lasts.

    With `optim.sync_batch_norm` only; ValueError on a CPU, for which PyTorch has none. Names and tensors of the network stay.
    """
    if not config.optim.sync_batch_norm:
        yield
        return
    if resolve_device(config.run.device).type != "cuda":
        raise ValueError("optim.sync_batch_norm=true needs GPUs and run.device is the CPU; set it to false, or freeze the norms.")
    # With one process there is nobody to share with, and PyTorch's own norms are faster.
    with replaced_norms(net, still) if world() > 1 else nullcontext():
        yield


@contextmanager
def replaced_norms(net: nn.Module, still: Sequence[nn.Module]) -> Iterator[None]:
    """Replace batch norms by synchronised ones with the same tensors while the context lasts."""
    frozen = set(still)
    norms = {path: module for path, module in net.named_modules() if isinstance(module, Norm) and module not in frozen}
    for path, norm in norms.items():
        set_module(net, path, nn.SyncBatchNorm.convert_sync_batchnorm(norm))
    try:
        yield
    finally:
        for path, norm in norms.items():
            norm.train(net.get_submodule(path).training)
            set_module(net, path, norm)


def set_module(net: nn.Module, path: str, module: nn.Module) -> None:
    """Put a module in the place of the one at a dotted path."""
    owner, _, name = path.rpartition(".")
    setattr(net.get_submodule(owner), name, module)
