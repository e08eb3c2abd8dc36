"""What several processes do together in the tests of distributed training; each function is a program of its own."""

import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import torch
from safetensors.torch import save_file
from torch import nn
from toys import nano, toy_batch, toy_config

from objabn.config import Config, LossConfig, OptimConfig
from objabn.models.network import AttentionNetwork
from objabn.training.distributed import process_group, rank, world
from objabn.training.loop import FitResult, fit
from objabn.training.signals import Interrupted
from objabn.types import Batch

CLIPS, STEPS = 8, 3


def shallow_network(config: Config) -> AttentionNetwork:
    """`x3d_nano` with one block a stage."""
    from objabn.models.sizes import BACKBONES, X3D_SIZES, X3DSize

    size = X3DSize(width_factor=1.0, depth_factor=0.2, head_channels=32, clip_frames=4, clip_size=32, kinetics400=None)
    with patch.dict(X3D_SIZES, x3d_nano=size), patch.dict(BACKBONES, x3d_nano=size):
        return nano(config)


def without_statistics(config: Config) -> Config:
    """Freeze every batch norm, so that a clip does not see those beside it."""
    norms = tuple(path for path, module in shallow_network(config).named_modules() if isinstance(module, nn.BatchNorm3d))
    return replace(config, optim=replace(config.optim, freeze=norms))


CASES = {
    "plain": (OptimConfig(epochs=2, batch=CLIPS, lr=0.05, name="sgd", clip_norm=1.0, ema=0.9), LossConfig(pc=1e-2)),
    "accumulated": (OptimConfig(epochs=2, batch=CLIPS, accumulate=2, lr=0.05, name="sgd"), LossConfig(pc=1e-2)),
    # Without its loss the branch's classifier has no gradient, and must not decay either.
    "unused": (
        OptimConfig(epochs=2, batch=CLIPS, lr=0.05, name="sgd", weight_decay=0.1),
        LossConfig(branch=0.0, total_variation=1e-3, regularisers="official", class_weights="balanced"),
    ),
}


def case(name: str) -> Config:
    """The settings of a comparison of one rank with several."""
    optim, loss = CASES[name]
    config = toy_config(optim=optim)
    return without_statistics(replace(config, model=replace(config.model, heads=3), loss=loss))


class Parts:
    """This rank's part of batches, in which few frames have masks, and none in the first half of the first."""

    class_counts = (3, 5, 8)

    def __init__(self, config: Config) -> None:
        self.clips = CLIPS // config.optim.accumulate // world()
        self.batches = [uneven(seed, CLIPS // config.optim.accumulate) for seed in range(STEPS * config.optim.accumulate)]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        rows = slice(rank() * self.clips, (rank() + 1) * self.clips)
        return (Batch(*(column[rows] for column in batch)) for batch in self.batches)


def uneven(seed: int, clips: int) -> Batch:
    batch = toy_batch(seed, clips)
    valid = torch.arange(batch.mask_valid.numel()).view_as(batch.mask_valid) % (seed + 3) == 0
    valid[: clips // 2] &= seed > 0
    return batch._replace(mask_valid=valid)


def compare(name: str, folder: str) -> FitResult:
    """Train on this rank's part and leave rank 0's weights, and the log."""
    config = case(name)
    with process_group("cpu"):
        net = shallow_network(config)
        result = fit(net, Parts(config), config, run_folder=Path(folder) / f"{name}{world()}")
        weights = {path: value.contiguous() for path, value in net.state_dict().items()}
        save_file(weights, Path(folder) / f"{name}{world()}-of-rank{rank()}.safetensors")
    return result


class Signalling(Parts):
    """Parts of batches, before one of which rank 1 is told to stop."""

    def __init__(self, config: Config, before: int) -> None:
        super().__init__(config)
        self.before, self.count = before, 0

    def __iter__(self) -> Iterator[Batch]:
        for batch in super().__iter__():
            self.count += 1
            if rank() == 1 and self.count == self.before:
                signal.raise_signal(signal.SIGTERM)
            yield batch


def resume(folder: str) -> None:
    """Train straight; stop another run by a signal to one rank and go on with it; both with dropout and statistics of their own."""
    config = toy_config(optim=OptimConfig(epochs=3, batch=CLIPS, lr=1e-3, ema=0.9), dropout=0.5)
    config = replace(config, run=replace(config.run, log_steps=2))
    with process_group("cpu"):
        fit(shallow_network(config), Parts(config), config, run_folder=Path(folder) / "straight")
        try:
            fit(shallow_network(config), Signalling(config, 4), config, run_folder=Path(folder) / "resumed")
        except Interrupted as stop:
            print(rank(), stop)
        fit(shallow_network(config), Parts(config), config, run_folder=Path(folder) / "resumed", resume=True)
