"""DALI's own way to a clip and its mask: two video readers with one seed, over the originals and over mask videos.

The readers choose the clips themselves, so no plan can be replayed: they give as many clips of the same length and stride, from any
start in a video, with the crops of our own training plan drawn by DALI. What they claim to have read is checked instead.
Each reader has one decoder, and the two stay together only as long as every mask video has the frames of its original.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from nvidia.dali import fn, pipeline_def, types
from nvidia.dali.pipeline import Pipeline
from torch import Tensor

from benchmarks.mask_videos import THRESHOLD, write_mask_videos
from benchmarks.peers import pyav
from benchmarks.replay import is_nearest
from dali_pipelines.decode_place import Place
from dali_pipelines.loading import device_number, to_torch
from objabn.config import Config
from objabn.data.batching import grid_coverage
from objabn.data.dataset import PackedDataset
from objabn.data.reader import warp
from objabn.data.schedule import Schedule
from objabn.machine import thread_count
from objabn.types import Batch

MOST_VIDEOS = 200
"""Training videos that the readers choose from, evenly spread: writing the masks of a large dataset anew would take hours."""


class Drawn(NamedTuple):
    """A batch, and what the readers say of it."""

    batch: Batch
    roi: Tensor
    """(B, 4) top, left, bottom, right as parts of the height and width; left > right mirrors."""
    mask_video: Tensor
    """(B,) row of the video whose masks these are."""
    mask_frames: Tensor
    """(B, T) frames of the masks."""


class PairedReaders:
    """Endless batches of clips and masks; RuntimeError where DALI does not decode these videos at this place."""

    def __init__(self, dataset: PackedDataset, config: Config, videos: Path, mask_folder: Path, place: Place) -> None:
        self.config, self.videos, self.dataset = config, videos, dataset
        rows = Schedule(dataset, config, subset="train").rows
        rows = rows[:: -(-len(rows) // MOST_VIDEOS)]
        self.device_id = device_number(place, config.run.device)
        self.label = torch.tensor(dataset.index.label).to("cpu" if self.device_id is None else f"cuda:{self.device_id}")
        self.pipeline = paired_graph(
            [str(videos / dataset.index.name(row)) for row in rows.tolist()],
            [str(path) for path in write_mask_videos(dataset, rows, mask_folder)],
            rows.tolist(),
            config,
            batch_size=config.optim.batch,
            num_threads=thread_count(config.data.threads),
            device_id=self.device_id,
            prefetch_queue_depth=config.data.prefetch,
            seed=config.run.seed,
        )
        self.pipeline.build()

    @property
    def ahead(self) -> int:
        """Batches that lie ready: those of the pipeline, and one that the readers hold."""
        return self.config.data.prefetch + 1

    def __iter__(self) -> Iterator[Drawn]:
        while True:
            stream = None if self.device_id is None else torch.cuda.current_stream(self.device_id)
            yield self.wrap(*(to_torch(samples) for samples in self.pipeline.run(stream)))

    def wrap(
        self, clip: Tensor, mask: Tensor, peak: Tensor, row: Tensor, frames: Tensor, mask_row: Tensor, mask_frames: Tensor, roi: Tensor
    ) -> Drawn:
        """Give DALI's samples the axes of a Batch."""
        video, count = row.flatten().long(), len(clip)
        batch = Batch(
            clip=clip.permute(0, 4, 1, 2, 3),
            mask=grid_coverage((mask[..., 0] > THRESHOLD).byte(), self.config.grid_size),
            mask_valid=peak > THRESHOLD,
            label=self.label[video],
            video=video,
            frames=frames.long(),
            view=torch.zeros(count, dtype=torch.int64),
            present=torch.ones(count, dtype=torch.bool),
        )
        return Drawn(batch, roi, mask_row.flatten().long(), mask_frames.long())


@pipeline_def
def paired_graph(originals: list[str], masks: list[str], rows: list[int], config: Config) -> tuple[Any, ...]:
    """Read, then crop, resize and mirror clip and mask alike."""
    device = "cpu" if Pipeline.current().device_id is None else "gpu"
    data = config.data
    reader: Any = fn.experimental.readers.video
    reading: dict[str, Any] = {
        **{"device": device, "labels": rows, "seed": config.run.seed, "random_shuffle": True, "enable_frame_num": "sequence"},
        **{"sequence_length": data.clip_frames, "stride": data.stride_frames, "step": 1, "pad_mode": "edge"},
    }
    clip, row, frames = reader(filenames=originals, **reading)
    mask, mask_row, mask_frames = reader(filenames=masks, **reading)
    start_YX, end_YX = draw_region(clip, config)
    region = {"roi_start": start_YX, "roi_end": end_YX, "roi_relative": True, "size": (data.crop_size, data.crop_size), "antialias": False}
    return (
        fn.resize(clip, interp_type=types.INTERP_LINEAR, **region),
        fn.resize(mask, interp_type=types.INTERP_NN, **region),
        fn.reductions.max(mask, axes=[1, 2, 3]),
        *(row, frames, mask_row, mask_frames, fn.cat(start_YX, end_YX)),
    )


def draw_region(clip: Any, config: Config) -> tuple[Any, Any]:
    """Draw short side, place and flip as `objabn.data.sampling.training_plan` does; start and end are parts of (height, width)."""
    data = config.data
    low, high = data.short_side
    size_YX = fn.cast(clip.shape()[1:3], dtype=types.FLOAT)
    short_side = fn.random.uniform(values=[float(side) for side in range(low, high + 1)])
    extent_YX = data.crop_size / short_side * fn.reductions.min(size_YX) / size_YX
    start_YX = fn.random.uniform(range=[0.0, 1.0], shape=[2]) * (1.0 - extent_YX)
    is_flipped = fn.cast(fn.random.coin_flip(probability=data.flip_probability), dtype=types.FLOAT)
    mirrored_YX = is_flipped * extent_YX * types.Constant(np.array([0, 1], np.float32))
    return start_YX + mirrored_YX, start_YX + extent_YX - mirrored_YX


def is_paired_exact(drawn: Iterable[Drawn], dataset: PackedDataset, videos: Path, *, clips: int) -> bool:
    """Say whether the first clips show the frames that the readers claim, and the masks are of these frames of that video."""
    pieces = ((of, number) for of in drawn for number in range(len(of.roi)))
    return all(is_clip_exact(of, number, dataset, videos) for of, number in islice(pieces, clips))


def is_clip_exact(drawn: Drawn, number: int, dataset: PackedDataset, videos: Path) -> bool:
    """Compare one clip with its original, decoded from the first frame on."""
    batch, row = drawn.batch, int(drawn.batch.video[number])
    frames = batch.frames[number].cpu().numpy()
    last, path = int(dataset.index.frames[row]) - 1, videos / dataset.index.name(row)
    neighbours = []
    for shift in (-1, 0, 1):
        pixels = torch.from_numpy(pyav(path, np.clip(frames + shift, 0, last), 0.0)).permute(0, 3, 1, 2).float()
        roi = drawn.roi[number].numpy() * np.tile(pixels.shape[-2:], 2)
        neighbours.append(warp(pixels, roi.tolist(), batch.clip.shape[-1]).transpose(0, 1))
    is_one_video = int(drawn.mask_video[number]) == row
    return is_one_video and torch.equal(drawn.mask_frames[number], batch.frames[number]) and is_nearest(batch.clip[number], neighbours)
