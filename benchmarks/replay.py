"""The work that every loader is given: the clips of one plan, with their masks, as batches ready for training.

A peer brings its own way to decode; cropping, resizing and flipping clip and mask is torchvision v2 for all of them, on whole
pixels, where the frames were decoded. Worker processes of a DataLoader batch them, as in most projects, or on a GPU threads,
since only these share one CUDA context.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate
from torchvision.transforms import v2

from objabn.config import Config
from objabn.data.batching import grid_coverage
from objabn.data.dataset import PackedDataset
from objabn.data.sampling import ClipPlan
from objabn.data.schedule import Schedule
from objabn.machine import thread_count

Decode = Callable[[Path, NDArray[np.int64], float], NDArray[np.uint8] | Tensor]
"""From an original video, ascending frame numbers and frames per second to (T, Y, X, 3) RGB."""

WORKER_BATCHES = 2
"""Batches that each worker process prepares ahead: PyTorch's own choice."""

NOISE = 0.5
"""Mean difference in grey levels that says nothing: coding, colour conversion, and crops by whole pixels."""

Sample = tuple[Tensor, Tensor, Tensor, int]


class Replay(Dataset[Sample]):
    """One epoch of a plan, decoded from the original videos; `device` is where `decode` leaves the frames."""

    def __init__(self, dataset: PackedDataset, config: Config, videos: Path, decode: Decode, device: str = "cpu") -> None:
        self.dataset, self.config, self.videos, self.decode, self.device = dataset, config, videos, decode, device
        schedule = Schedule(dataset, config, subset="train")
        self.plan: ClipPlan = schedule.plan_epoch(0)
        self.count = schedule.steps_per_epoch * config.optim.batch
        self.workers = thread_count(config.data.threads)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, position: int) -> Sample:
        return self.read(position)

    @property
    def ahead(self) -> int:
        """Batches that lie ready when a consumer of `processes` pauses."""
        return WORKER_BATCHES * self.workers

    def processes(self) -> Iterable[Any]:
        """Return an endless DataLoader with one worker process a core."""
        places = cycle(range(self.count))
        return DataLoader(self, self.config.optim.batch, sampler=places, num_workers=self.workers, prefetch_factor=WORKER_BATCHES)

    def threads(self) -> Iterator[Any]:
        """Yield batches without end from one thread a core, `data.prefetch` batches at work at a time."""
        places = cycle(range(self.count))
        waiting: deque[list[Future[Sample]]] = deque()
        with ThreadPoolExecutor(self.workers) as pool:
            while True:
                while len(waiting) < self.config.data.prefetch:
                    waiting.append([pool.submit(self.read, place) for place in islice(places, self.config.optim.batch)])
                yield default_collate([clip.result() for clip in waiting.popleft()])

    def read(self, position: int, shift_frames: int = 0) -> Sample:
        """Return clip (3, T, Y, X), coverage (T, y, x), valid (T,) and label; `shift_frames` moves all frame numbers."""
        index, video, frames = self.dataset.index, int(self.plan.video[position]), self.plan.frames[position]
        wanted = np.clip(frames + shift_frames, 0, int(index.frames[video]) - 1)
        clip = torch.as_tensor(self.decode(self.videos / index.name(video), wanted, float(index.fps[video]))).permute(0, 3, 1, 2)
        masks = self.dataset.masks(video, frames)
        mask = torch.from_numpy(masks.mask).to(self.device)[:, None]
        roi, height, size = self.plan.roi[position].astype(float), int(index.height[video]), self.config.data.crop_size
        clip, mask = (crop(tensor, roi * tensor.shape[-2] / height, size, mode) for tensor, mode in ((clip, "bilinear"), (mask, "nearest")))
        coverage = grid_coverage(mask.transpose(0, 1), self.config.grid_size)[0]
        return clip.transpose(0, 1), coverage, torch.from_numpy(masks.valid), int(self.plan.label[position])


def crop(frames_TCYX: Tensor, roi: NDArray[np.float64], size: int, mode: str) -> Tensor:
    """Crop a region (top, left, bottom, right; left > right mirrors) and resize it in one call of torchvision, whole pixels only."""
    top, left, bottom, right = roi.tolist()
    low, high = min(left, right), max(left, right)
    resized = v2.functional.resized_crop(
        frames_TCYX, round(top), round(low), round(bottom - top), round(high - low), [size] * 2, v2.InterpolationMode(mode), antialias=False
    )
    return v2.functional.horizontal_flip(resized) if left > right else resized


def is_frame_exact(clips: Iterable[Tensor], reference: Replay) -> bool:
    """Say whether the clips (3, T, Y, X) of the plan's first positions show its frames."""
    return all(is_nearest(clip, [reference.read(position, shift)[0] for shift in (-1, 0, 1)]) for position, clip in enumerate(clips))


def is_nearest(clip: Tensor, neighbours: list[Tensor]) -> bool:
    """Say whether neither the clip a frame before nor the one a frame after is clearly nearer to a clip than the right one.

    `neighbours` are these three, right in the middle, decoded from the first frame on. Where nothing moves any of them will do.
    """
    before, right, after = ((clip.cpu().float() - neighbour.float()).abs().mean() for neighbour in neighbours)
    return bool(right - min(before, after) < NOISE)
