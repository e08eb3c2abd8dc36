"""The work that every loader is given: the clips of one plan, with their masks, as batches ready for training.

A peer brings its own way to decode; cropping, resizing and flipping clip and mask is torchvision v2 for all of them, on whole
pixels, and a DataLoader with worker processes batches them, as in most projects.
"""

from collections.abc import Callable, Iterable
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from objabn.config import Config
from objabn.data.batching import grid_coverage
from objabn.data.dataset import PackedDataset
from objabn.data.sampling import ClipPlan
from objabn.data.schedule import Schedule
from objabn.machine import available_cores

Decode = Callable[[Path, NDArray[np.int64], float], NDArray[np.uint8]]
"""From an original video, ascending frame numbers and frames per second to (T, Y, X, 3) RGB."""

WORKER_BATCHES = 2
"""Batches that each worker process prepares ahead: PyTorch's own choice."""

Sample = tuple[Tensor, Tensor, Tensor, int]


class Replay(Dataset[Sample]):
    """One epoch of a plan, decoded from the original videos."""

    def __init__(self, dataset: PackedDataset, config: Config, videos: Path, decode: Decode) -> None:
        self.dataset, self.config, self.videos, self.decode = dataset, config, videos, decode
        schedule = Schedule(dataset, config, subset="train")
        self.plan: ClipPlan = schedule.plan_epoch(0)
        self.count = schedule.steps_per_epoch * config.optim.batch
        self.workers = config.data.threads or available_cores()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, position: int) -> Sample:
        return self.read(position)

    @property
    def ahead(self) -> int:
        """Batches that lie ready when a consumer pauses."""
        return WORKER_BATCHES * self.workers

    def loader(self) -> Iterable[Any]:
        """Return an endless DataLoader with one worker process a core."""
        places = cycle(range(self.count))
        return DataLoader(self, self.config.optim.batch, sampler=places, num_workers=self.workers, prefetch_factor=WORKER_BATCHES)

    def read(self, position: int, shift_frames: int = 0) -> Sample:
        """Return clip (3, T, Y, X), coverage (T, y, x), valid (T,) and label; `shift_frames` moves all frame numbers."""
        index, video, frames = self.dataset.index, int(self.plan.video[position]), self.plan.frames[position]
        wanted = np.clip(frames + shift_frames, 0, int(index.frames[video]) - 1)
        clip = torch.from_numpy(self.decode(self.videos / index.name(video), wanted, float(index.fps[video]))).permute(0, 3, 1, 2)
        masks = self.dataset.masks(video, frames)
        mask = torch.from_numpy(masks.mask)[:, None]
        clip, mask = (self.crop(tensor, position, mode) for tensor, mode in ((clip, "bilinear"), (mask, "nearest")))
        coverage = grid_coverage(mask.transpose(0, 1), self.config.grid_size)[0]
        return clip.transpose(0, 1), coverage, torch.from_numpy(masks.valid), int(self.plan.label[position])

    def crop(self, frames: Tensor, position: int, mode: str) -> Tensor:
        """Crop and resize in one call of torchvision, whole pixels only, then flip."""
        scale_Y = frames.shape[-2] / int(self.dataset.index.height[self.plan.video[position]])
        top, left, bottom, right = self.plan.roi[position].astype(float) * scale_Y
        low, high = min(left, right), max(left, right)
        size = [self.config.data.crop_size] * 2
        resized = v2.functional.resized_crop(
            frames, round(top), round(low), round(bottom - top), round(high - low), size, v2.InterpolationMode(mode), antialias=False
        )
        return v2.functional.horizontal_flip(resized) if left > right else resized


def is_frame_exact(clips: Iterable[Tensor], reference: Replay) -> bool:
    """Say whether the clips (3, T, Y, X) of the plan's first positions show its frames.

    Each must be nearest, among neighbours, to a decode of the original from its first frame on.
    """
    for position, clip in enumerate(clips):
        pixels = clip.cpu().float()
        distance = [(pixels - reference.read(position, shift)[0].float()).abs().mean() for shift in (-1, 0, 1)]
        is_still = max(distance) - min(distance) < 0.5
        if not is_still and int(torch.stack(distance).argmin()) != 1:
            return False
    return True
