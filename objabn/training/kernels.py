"""The fastest kernels of a run: found by rank 0 in a short trial when it begins, told to all, and kept in its folder."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from objabn.config import Config
from objabn.files import write_json
from objabn.kernels.modules import DepthwiseConv3d
from objabn.kernels.optimize import Choices, optimize
from objabn.models.network import AttentionNetwork
from objabn.training.distributed import done_by_main, is_main, world
from objabn.training.precision import Precision


@contextmanager
def chosen_kernels(net: AttentionNetwork, config: Config, precision: Precision, run_folder: Path | None) -> Iterator[None]:
    """Have the network compute its depthwise convolutions in the fastest ways while the context lasts, with `run.kernels=auto`.

    A run that goes on takes the ways it began with, so that it has the same bits.
    """
    if config.run.kernels == "auto" and not config.run.deterministic:
        choose(net, config, precision, run_folder)
    try:
        yield
    finally:
        stock(net)


def stock(net: nn.Module) -> None:
    """Give a network PyTorch's own convolutions back."""
    for module in net.modules():
        if type(module) is DepthwiseConv3d:
            module.__class__ = nn.Conv3d  # type: ignore[assignment]


def choose(net: AttentionNetwork, config: Config, precision: Precision, run_folder: Path | None) -> None:
    """Give the network the ways in the run folder, or find and write them."""
    path = None if run_folder is None else run_folder / "kernels.json"
    clips = config.optim.batch // config.optim.accumulate // world()
    clip = torch.zeros((clips, 3, net.clip_frames, net.clip_size, net.clip_size), dtype=torch.uint8, device=precision.device)
    choices = done_by_main(lambda: read_choices(path) or optimize(net, clip, dtype=precision.dtype))
    if path is not None and choices.ways and is_main():
        write_json(path, asdict(choices))
    optimize(net, clip, choices=choices, dtype=precision.dtype)


def read_choices(path: Path | None) -> Choices | None:
    """Return the ways that a run began with; None where it has not."""
    return Choices(**json.loads(path.read_text())) if path is not None and path.is_file() else None
