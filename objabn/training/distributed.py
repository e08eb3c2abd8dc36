"""Several processes of one run under torchrun, one for each GPU, and what they tell each other; a single process is told nothing."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from objabn.machine import Ranks, launched

TIMEOUT = timedelta(minutes=30)
"""How long a rank waits for another one, which may be writing a checkpoint or trying out what is fastest."""

T = TypeVar("T")


@contextmanager
def process_group(device: str = "auto") -> Iterator[Ranks]:
    """Join the processes that torchrun started while the context lasts; `device` is `run.device`.

    Tensors on GPUs travel by NCCL and those of the CPU by Gloo, so that agreements between processes wait for no GPU.
    ValueError where a machine has fewer GPUs than processes, or where a single GPU is asked for.
    """
    ranks = launched()
    if ranks.world == 1 or dist.is_initialized():
        yield ranks
        return
    on_gpu = uses_gpu(device, ranks)
    if on_gpu:
        torch.cuda.set_device(ranks.local_rank)
    backend = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
    dist.init_process_group(backend, store=meeting_place(), rank=ranks.rank, world_size=ranks.world, timeout=TIMEOUT)
    try:
        yield ranks
    except BaseException:
        # NCCL would wait for a rank that is gone; the end of this process frees what it holds.
        if not on_gpu:
            dist.destroy_process_group()
        raise
    dist.destroy_process_group()


def uses_gpu(device: str, ranks: Ranks) -> bool:
    """Say whether each process is to compute on a GPU; ValueError where it cannot have one of its own."""
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "cpu" or (device == "auto" and not gpus):
        return False
    if device not in ("auto", "cuda"):
        raise ValueError(f"run.device={device} is a single GPU and torchrun started {ranks.world} processes; take auto, cuda or cpu.")
    if ranks.local_world > gpus:
        raise ValueError(
            f"torchrun started {ranks.local_world} processes on this machine and torch sees {gpus} GPUs; "
            "start as many as there are GPUs, or take run.device=cpu."
        )
    return True


def meeting_place() -> dist.Store:
    """Return the store by which the processes find each other.

    torchrun keeps one for all its attempts, and an address that an ended process left there misleads the next. On one
    machine the number of the attempt tells them apart; several count differently, and torchrun itself must be told to
    begin with a new store, by TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 in its environment.
    """
    store, _, _ = next(dist.rendezvous("env://", timeout=TIMEOUT))
    is_one_machine = os.environ.get("GROUP_WORLD_SIZE", "1") == "1"
    return dist.PrefixStore(f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store) if is_one_machine else store


def rank() -> int:
    """Return the number of this process in its group."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """Return how many processes there are in the group."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    """Say whether this process is rank 0, which alone writes files and speaks."""
    return rank() == 0


def wait_for_all() -> None:
    """Go on once every rank has come here."""
    if world() > 1:
        dist.all_reduce(torch.zeros(1))  # over the CPU; a barrier of NCCL would occupy the GPU


def of_main(value: T) -> T:
    """Return the value that rank 0 gave."""
    if world() == 1:
        return value
    told: list[Any] = [value]
    dist.broadcast_object_list(told, src=0)
    return told[0]


def done_by_main(work: Callable[[], T]) -> T:
    """Have rank 0 alone do something once all ranks have come here, and return its result to all."""
    wait_for_all()
    return of_main(work() if is_main() else None)  # type: ignore[return-value]


def gathered(value: T) -> list[T]:
    """Return the values of all ranks in their order, on rank 0; an empty list on the others."""
    if world() == 1:
        return [value]
    values: list[Any] = [None] * world() if is_main() else []
    dist.gather_object(value, values if is_main() else None, dst=0)
    return values


def summed(tensor: Tensor) -> Tensor:
    """Return the sum over all ranks, on all of them; on a GPU the host does not wait for it."""
    if world() == 1:
        return tensor
    total = tensor.clone()
    dist.all_reduce(total)
    return total


def agree(flag: Tensor) -> Tensor:
    """Return a boolean tensor that is true where it is so on all ranks; on a GPU the host does not wait for it."""
    if world() == 1:
        return flag
    lowest = flag.to(torch.uint8)
    dist.all_reduce(lowest, dist.ReduceOp.MIN)
    return lowest.bool()


def share_buffers(module: nn.Module) -> None:
    """Give all ranks the running statistics of rank 0."""
    if world() > 1:
        for buffer in module.buffers():
            dist.broadcast(buffer, src=0)


class Agreement:
    """The highest of all ranks' numbers, so that all do the same at the same step.

    Each rank asks on the CPU and takes the answer when it asks again: nobody waits for a message under way, and all
    ranks hear the same at the same call. What is asked must hold on until it is answered, as a signal does.
    """

    def __init__(self) -> None:
        self.asked: tuple[dist.Work, Tensor] | None = None

    def highest(self, *numbers: int, wait: bool = False) -> tuple[int, ...]:
        """Return the highest numbers of the call before, at first zeros, or with `wait` of this one; a single rank's are its own."""
        if world() == 1:
            return numbers
        answer = self.answer() or (0,) * len(numbers)
        asked = torch.tensor(numbers)
        self.asked = dist.all_reduce(asked, dist.ReduceOp.MAX, async_op=True), asked
        return self.answer() if wait else answer

    def answer(self) -> tuple[int, ...]:
        """Return what the last question came to; nothing where none is open."""
        if self.asked is None:
            return ()
        work, asked = self.asked
        self.asked = None
        work.wait()
        return tuple(int(number) for number in asked.tolist())
