"""Loaders beside each other: the same clips, masks and crops, as batches ready for training.

Ours read the packed dataset. The peer reads the original videos as most projects do: PyAV decodes from the start of the file
(the only exact way on B-frame AVIs), torchvision v2 crops and resizes clip and mask, a DataLoader with worker processes batches.

Every loader is built once and then runs on, epoch after epoch, as in a training. All of them prepare batches ahead, so the one whose
turn has ended still works for a moment while the next is timed, and a loader whose turn begins has batches lying ready. Both are
bounded: each prepares a fixed number ahead, and as many are taken, untimed, before its clock starts. What is left of the
disturbance falls on both neighbours alike, since every second round goes backwards.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from benchmarks.result import Row, measure, timings_row
from objabn.config import Config
from objabn.data.batching import grid_coverage
from objabn.data.dataset import PackedDataset
from objabn.data.reader import reader
from objabn.data.sampling import ClipPlan
from objabn.data.schedule import Schedule
from objabn.machine import available_cores
from objabn.settings import override
from objabn.types import Batch

PEER = "PyAV + torchvision v2 on the original videos"
WORKER_BATCHES = 2


def run(dataset: PackedDataset, config: Config, videos: Path, *, batches: int = 4, repeats: int = 5) -> list[Row]:
    """Return clips per second of each of our loaders beside PyAV + torchvision reading `videos`, from interleaved passes.

    `batches` is the least that is timed at once; worker processes finish theirs together, so whole rounds of them are taken.
    """
    peer = PyAVTorchvision(dataset, config, videos)
    streams = {name: endless(batches_of) for name, batches_of in our_loaders(dataset, config).items()}
    exact = {name: is_frame_exact(next(stream), peer) for name, stream in streams.items()}
    ahead = dict.fromkeys(streams, config.data.prefetch) | {PEER: peer.ahead}
    streams[PEER] = iter(peer.loader())
    count = -(-batches // peer.ahead) * peer.ahead
    timings = measure(
        {name: partial(take, stream, count) for name, stream in streams.items()},
        repeats=repeats,
        prepare=lambda name: take(streams[name], ahead[name]),
    )
    case = f"{dataset.store}, {config.data.clip_frames} frames, {config.data.crop_size} px, with masks"
    items = count * config.optim.batch
    return [
        replace(
            timings_row("loader", f"{name}: {case}", timings, ours=name, peer=PEER, peer_name=PEER, items=items, unit="clips/s"),
            frame_exact=is_exact,
            source="packed",
        )
        for name, is_exact in exact.items()
    ]


def our_loaders(dataset: PackedDataset, config: Config) -> dict[str, Iterable[Batch]]:
    """Return a loader for each way of ours that this machine has."""
    loaders: dict[str, Iterable[Batch]] = {"reader": reader(dataset, config)}
    try:
        from dali_pipelines import loader  # noqa: PLC0415  (DALI is an extra)
    except ImportError:
        return loaders
    loaders["DALI on the CPU"] = loader(dataset, override(config, "data.decode=cpu"))
    if torch.cuda.is_available():
        loaders["DALI on the GPU"] = loader(dataset, override(config, "data.decode=gpu"))
    return loaders


def endless(batches: Iterable[Any]) -> Iterator[Any]:
    """Yield epoch after epoch."""
    while True:
        yield from batches


def take(stream: Iterator[Any], count: int) -> None:
    """Take so many batches."""
    for _ in islice(stream, count):
        pass


def is_frame_exact(batch: Batch, peer: "PyAVTorchvision") -> bool:
    """Say whether the first batch of a run shows the frames of its plan: nearest, among neighbours, to the peer's sequential decode."""
    for position in range(len(batch.clip)):
        clip = batch.clip[position].cpu().float()
        distance = [(clip - peer.read(position, shift)[0].float()).abs().mean() for shift in (-1, 0, 1)]
        is_still = max(distance) - min(distance) < 0.5
        if not is_still and int(torch.stack(distance).argmin()) != 1:
            return False
    return True


class PyAVTorchvision(Dataset[tuple[Tensor, Tensor, Tensor, int]]):
    """The usual pipeline, replaying the plan of our loaders."""

    def __init__(self, dataset: PackedDataset, config: Config, videos: Path) -> None:
        self.dataset, self.config, self.videos = dataset, config, videos
        schedule = Schedule(dataset, config, subset="train")
        self.plan: ClipPlan = schedule.plan_epoch(0)
        self.count = schedule.steps_per_epoch * config.optim.batch
        self.workers = config.data.threads or available_cores()
        self.ahead = WORKER_BATCHES * self.workers

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, position: int) -> tuple[Tensor, Tensor, Tensor, int]:
        return self.read(position, 0)

    def loader(self) -> Iterable[Any]:
        """Return an endless DataLoader with one worker process a core, each PyTorch's usual two batches ahead."""
        places = cycle(range(self.count))
        return DataLoader(self, self.config.optim.batch, sampler=places, num_workers=self.workers, prefetch_factor=WORKER_BATCHES)

    def read(self, position: int, shift_frames: int) -> tuple[Tensor, Tensor, Tensor, int]:
        """Return clip (3, T, Y, X), coverage (T, y, x), valid (T,) and label; `shift_frames` moves all frame numbers."""
        video, frames = int(self.plan.video[position]), self.plan.frames[position]
        last_frame = int(self.dataset.index.frames[video]) - 1
        decoded = decode_sequentially(self.videos / self.dataset.index.name(video), np.clip(frames + shift_frames, 0, last_frame))
        clip = torch.from_numpy(decoded).permute(0, 3, 1, 2)
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


def decode_sequentially(path: Path, frames: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Decode from the first frame to the last one asked for and keep those asked for: (T, Y, X, 3) uint8."""
    wanted = set(frames.tolist())
    kept: dict[int, NDArray[np.uint8]] = {}
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number in wanted:
                kept[number] = np.asarray(frame.to_ndarray(format="rgb24"))
            if number >= frames[-1]:
                break
    return np.stack([kept[number] for number in frames.tolist()])
