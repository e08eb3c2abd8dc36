"""Small networks, batches and indices that tests of sampling, training and evaluation share."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor, nn

from objabn.config import Config, DataConfig, ModelConfig, OptimConfig, RunConfig
from objabn.models.build import build_model
from objabn.models.network import AttentionNetwork
from objabn.training.loop import fit
from objabn.types import Batch, Output

FRAMES, SIZE, GRID, CLASSES = 4, 32, 8, 3


def toy_config(*, optim: OptimConfig | None = None, run: RunConfig | None = None, dropout: float = 0.0) -> Config:
    """The settings of `nano` and `Toy`: clips of 4 x 32 x 32, a grid of 8 x 8."""
    return Config(
        data=DataConfig(clip_frames=FRAMES, short_side=(SIZE, SIZE), crop_size=SIZE, eval_short_side=SIZE),
        model=ModelConfig(backbone="x3d_nano", weights="none", cut=2, attention_init="random", dropout=dropout),
        optim=optim or OptimConfig(epochs=2, batch=4, lr=1e-3),
        run=run or RunConfig(device="cpu", log_steps=1, checkpoint_minutes=0, kernels="stock"),
    )


def nano(config: Config, seed: int = 0) -> AttentionNetwork:
    """The smallest real network."""
    torch.manual_seed(seed)
    return build_model(config.model, classes=CLASSES, clip_frames=FRAMES, clip_size=SIZE)


class Toy(nn.Module):
    """One map by a 1x1x1 convolution of the mean colour of each cell, one linear layer; no norm, so that gradients add up."""

    map_names = ("M_o",)
    feature_channels, grid_size, classes, clip_frames, clip_size = 3, GRID, CLASSES, FRAMES, SIZE
    class_names = clip_config = None

    def __init__(self, config: Config, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.config = config.model
        self.to_map = nn.Conv3d(3, 1, 1)
        self.drop = nn.Dropout(config.model.dropout)
        self.classify = nn.Linear(3, CLASSES)

    def forward(self, clip: Tensor) -> Output:
        cells = nn.functional.avg_pool3d(clip.float() / 255 - 0.45, (1, SIZE // GRID, SIZE // GRID))
        maps = self.to_map(cells).sigmoid()
        pooled = (cells * maps).mean((2, 3, 4))
        return Output(self.classify(self.drop(pooled)), None, maps, cells, None)


def toy_batch(seed: int, clips: int = 4) -> Batch:
    """Clips whose class is their brightest colour, and masks where that colour is."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(0, CLASSES, (clips,), generator=generator)
    clip = torch.randint(0, 100, (clips, 3, FRAMES, SIZE, SIZE), dtype=torch.uint8, generator=generator)
    mask = torch.zeros(clips, FRAMES, GRID, GRID)
    for row, colour in enumerate(label.tolist()):
        clip[row, colour, :, 8:24, 8:24] += 150
        mask[row, :, 2:6, 2:6] = 1
    return Batch(
        clip=clip,
        mask=mask,
        mask_valid=torch.ones(clips, FRAMES, dtype=torch.bool),
        label=label,
        video=torch.arange(clips) + seed * clips,
        frames=torch.arange(FRAMES).expand(clips, -1),
        view=torch.zeros(clips, dtype=torch.int64),
        present=torch.ones(clips, dtype=torch.bool),
    )


def trained_losses(model: ModelConfig) -> list[float]:
    """The loss of each of twelve epochs of training a network on two toy batches."""
    config = replace(toy_config(optim=OptimConfig(epochs=12, batch=4, lr=3e-3)), model=model)
    torch.manual_seed(0)
    net, recorder = build_model(model, classes=CLASSES, clip_frames=FRAMES, clip_size=SIZE), Recorder()
    fit(net, [toy_batch(0), toy_batch(1)], config, loggers=[recorder])
    return recorder.of("epoch", "loss")


def toy_index(frames: list[int], size_YX: tuple[int, int] = (240, 320), fps: float = 25.0) -> SimpleNamespace:
    """The columns of an index that sampling reads, of videos with these numbers of frames."""
    count = len(frames)
    return SimpleNamespace(
        frames=np.array(frames, np.int64),
        height=np.full(count, size_YX[0], np.int32),
        width=np.full(count, size_YX[1], np.int32),
        fps=np.full(count, fps, np.float32),
        label=np.arange(count) % 5,
    )


class Recorder:
    """A logger that keeps what it is told."""

    def __init__(self) -> None:
        self.records: list[dict] = []
        self.is_closed = False

    def log(self, record: dict) -> None:
        self.records.append(record)

    def close(self) -> None:
        self.is_closed = True

    def of(self, event: str, name: str) -> list[float]:
        return [record[name] for record in self.records if record["event"] == event]
