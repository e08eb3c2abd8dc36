"""Where and how exactly a network is computed: device, autocast, gradient scaling, choice of algorithms, compilation."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

import torch
from torch import nn

from objabn.types import Output


class Precision(NamedTuple):
    """A device and the number format of the arithmetic on it."""

    device: torch.device
    dtype: torch.dtype | None
    """Of autocast; None is float32 throughout."""

    def autocast(self) -> AbstractContextManager[None]:
        """Return the context in which the network is run."""
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype is not None)

    def scaler(self) -> torch.amp.GradScaler:
        """Return the gradient scaler, which does something for fp16 only."""
        return torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)


def resolve_precision(device: str, amp: str) -> Precision:
    """Return what `run.device` and `run.amp` mean on this machine."""
    place = resolve_device(device)
    return Precision(place, resolve_amp(amp, place))


def resolve_device(device: str) -> torch.device:
    """Return the device, a GPU by its number; `auto` is the GPU where torch sees one. ValueError for one that is not there."""
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "cpu" or (device == "auto" and not gpus):
        return torch.device("cpu")
    if not re.fullmatch(r"auto|cuda(:\d+)?", device):
        raise ValueError(f"run.device={device} is not possible; it must be auto, cpu, cuda or a GPU by number such as cuda:1.")
    if not gpus:
        raise ValueError(f"run.device={device} needs a GPU and torch sees none; take auto or cpu.")
    # torch.cuda takes a device for the current one only by its number.
    number = int(device.partition(":")[2] or torch.cuda.current_device())
    if number >= gpus:
        raise ValueError(f"run.device={device} is not there; torch sees {gpus} GPUs, of which cuda:{gpus - 1} is the last.")
    return torch.device("cuda", number)


def resolve_amp(amp: str, device: torch.device) -> torch.dtype | None:
    """Return the number format of autocast; `auto` is bfloat16 on a GPU that computes with it, else None."""
    if amp == "auto":
        return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False) else None
    if amp == "fp16" and device.type != "cuda":
        raise ValueError(f"run.amp=fp16 needs a GPU and the device is {device.type}; take bf16 or off.")
    return {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}[amp]


@contextmanager
def algorithms(*, deterministic: bool) -> Iterator[None]:
    """Have torch take the fastest algorithms, or only those that give the same bits each time; its switches are put back afterwards.

    cuBLAS reads its variable when it is first used, so in a process that has computed on a GPU before it should be set from the start.
    """
    cudnn, variable = torch.backends.cudnn, "CUBLAS_WORKSPACE_CONFIG"
    before = torch.get_deterministic_debug_mode(), cudnn.deterministic, cudnn.benchmark, os.environ.get(variable)
    # Every batch has the same shape, so searching once for the fastest convolutions pays.
    cudnn.benchmark = not deterministic
    if deterministic:
        os.environ.setdefault(variable, ":4096:8")
        torch.use_deterministic_algorithms(True)
        cudnn.deterministic = True
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before[0])
        cudnn.deterministic, cudnn.benchmark = before[1:3]
        if before[3] is None:
            os.environ.pop(variable, None)


def compiled(module: nn.Module, mode: str, device: torch.device) -> Callable[..., Any]:
    """Return the module itself, or compiled for fixed shapes; `auto` compiles on a GPU, and `graphs` also replays CUDA graphs."""
    if mode == "off" or (mode == "auto" and device.type == "cpu"):
        return module
    # The replay copies each batch into the same place, and its results are gone with the next one.
    return torch.compile(module, dynamic=False, mode="reduce-overhead" if mode == "graphs" else None)


def as_float32(output: Output) -> Output:
    """Return the output with every tensor in float32, so that losses and metrics never see half precision."""
    return Output(
        logits=output.logits.float(),
        branch_logits=None if output.branch_logits is None else output.branch_logits.float(),
        maps=output.maps.float(),
        features=None if output.features is None else output.features.float(),
        frame_weights=None if output.frame_weights is None else output.frame_weights.float(),
    )
