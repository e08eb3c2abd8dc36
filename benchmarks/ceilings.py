"""What bounds a loader from both sides: the decoders of the machine alone, and the training step that it feeds."""

from collections.abc import Iterator
from itertools import cycle
from typing import Any, NamedTuple

import numpy as np
import torch
from nvidia.dali import fn, pipeline_def, types

from benchmarks.contestants import Contestant
from dali_pipelines.clips import decode
from dali_pipelines.decode_place import Place
from dali_pipelines.loading import device_number
from objabn.config import Config
from objabn.data.dataset import PackedDataset
from objabn.data.schedule import Schedule
from objabn.machine import thread_count

BATCHES = 8
"""Batches that the decoders are given over and over."""


class Ceiling(NamedTuple):
    """The decode node of one of our graphs alone."""

    contestant: Contestant
    pictures_per_clip: float
    """Pictures that are decoded for a clip, those that only others depend on included."""


def decoder_alone(dataset: PackedDataset, config: Config, place: Place) -> Ceiling:
    """Start the decoders on the bytes of the plan's first batches, which are gathered before: no checksums, masks, or warp."""
    schedule = Schedule(dataset, config, subset="train")
    batches = [encoded_batch(dataset, schedule, step) for step in range(min(BATCHES, schedule.steps_per_epoch))]
    device_id = device_number(place, config.run.device) if place == "gpu" else None
    is_frames = dataset.store == "frames"
    pipeline = decode_graph(
        cycle(batches),
        dataset.store,
        place,
        batch_size=len(batches[0][0]),
        num_threads=thread_count(config.data.threads),
        device_id=device_id,
        prefetch_queue_depth=config.data.prefetch,
    )
    pipeline.build()
    # A video decoder works its way from the first frame of the bytes to the last one asked for.
    last = [1.0 + frames.max() for batch in batches for frames in batch[1:2] for frames in frames]
    pictures = float(config.data.clip_frames) if is_frames else float(np.mean(last))
    return Ceiling(Contestant(endless(pipeline, device_id), config.data.prefetch, None), pictures)


def encoded_batch(dataset: PackedDataset, schedule: Schedule, step: int) -> list[Any]:
    """Return the encoded frames of a batch, or its encoded clips and the frame numbers in them."""
    plan = schedule.clips_of(step)
    clips = list(zip(plan.video.tolist(), plan.frames, strict=True))
    if dataset.store == "frames":
        return [[picture for video, frames in clips for picture in dataset.encoded_frames(video, frames)]]
    pieces = [dataset.encoded_clip(video, frames) for video, frames in clips]
    return [[piece.data for piece in pieces], [piece.frames for piece in pieces]]


@pipeline_def
def decode_graph(source: Iterator[list[Any]], store: str, place: Place) -> Any:
    """Decode as `dali_pipelines.clips` does, and nothing else."""
    count = 1 if store == "frames" else 2
    inputs = fn.external_source(source=source, num_outputs=count, dtype=[types.UINT8, types.INT32][:count], ndim=1)
    return decode(inputs[0], None if store == "frames" else inputs[1], store=store, place=place)


def endless(pipeline: Any, device_id: int | None) -> Iterator[Any]:
    """Yield what a pipeline gives, without a copy."""
    while True:
        yield pipeline.run(None if device_id is None else torch.cuda.current_stream(device_id))
