"""Clip plan to Batch through DALI: feeds encoded bytes to the graph and wraps what comes out, without a copy."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from nvidia.dali.pipeline import Pipeline
from torch import Tensor

from dali_pipelines.clips import build_graph
from dali_pipelines.decode_place import Choice, Place, choose_place, possible_places
from dali_pipelines.feed import Feed
from objabn.config import Config
from objabn.data.batching import make_batch
from objabn.data.dataset import PackedDataset
from objabn.data.sampling import ClipPlan
from objabn.data.schedule import ClipLoader, Rows, Schedule
from objabn.machine import thread_count
from objabn.training.distributed import of_main
from objabn.types import Batch


def loader(
    dataset: PackedDataset,
    config: Config,
    *,
    subset: str = "train",
    rows: Rows | None = None,
    clips: ClipPlan | None = None,
    start_sample: int = 0,
    rank: int = 0,
    world: int = 1,
) -> "DaliLoader":
    """Return a loader through DALI, starting after `start_sample` samples of the run.

    It reads `subset`, or the videos `rows` of the index once, in this order and as in evaluation, or these `clips` once.
    On the CPU (`data.decode`, or no GPU) DALI decodes JPEG frames and VP9; an H.264 pack needs a GPU.
    """
    places = possible_places(dataset, config)
    schedule = Schedule(dataset, config, subset=subset, rows=rows, clips=clips, rank=rank, world=world)

    def start(place: Place) -> DaliLoader:
        return DaliLoader(dataset, schedule, start_sample, Choice(place, {}, {}))

    # All ranks try at once, as they will load the machine together, and go by what rank 0 found.
    choice = of_main(choose_place(places, start, schedule.clips))
    return DaliLoader(dataset, schedule, start_sample, choice)


def device_number(place: Place, device: str) -> int | None:
    """Return the number of the GPU that warps, or None for the CPU."""
    if place == "cpu":
        return None
    number = torch.device(device).index if device.startswith("cuda") else None
    return torch.cuda.current_device() if number is None else number


class DaliLoader(ClipLoader):
    """Re-iterable over the rest of the current epoch; `state` is the number of samples handed out over all ranks."""

    def __init__(self, dataset: PackedDataset, schedule: Schedule, start_sample: int, choice: Choice) -> None:
        super().__init__(dataset, schedule, start_sample)
        self.choice = choice
        self.device_id = device_number(choice.place, schedule.config.run.device)
        self.feed = Feed(dataset, schedule, self.step, self.damage)
        self.pipeline: Pipeline | None = None

    @property
    def description(self) -> dict[str, Any]:
        """What environment.json tells of how clips are read, and what the places that were tried gave."""
        return super().description | self.choice._asdict()

    def __iter__(self) -> Iterator[Batch]:
        if not self.schedule.is_training and self.step % len(self):
            self.step, self.pipeline = 0, None  # the last pass was left early; what was prefetched belongs to it
        for _ in range(len(self) - self.step % len(self)):
            # Bound to torch's stream, DALI takes its memory back only after the kernels that torch has queued on it.
            stream = None if self.device_id is None else torch.cuda.current_stream(self.device_id)
            clip, mask = self.run(stream)
            plan, valid_BT, skipped = self.feed.fed.popleft()
            self.step += 1
            self.damage.skipped_clips += skipped
            yield self.wrap(to_torch(clip), to_torch(mask), valid_BT, plan)

    def run(self, stream: Any) -> Any:
        """Return DALI's next batch; where it gives up, it begins anew without the videos that are to blame."""
        while True:
            self.pipeline = self.pipeline or self.build()
            try:
                return self.pipeline.run(stream)
            except RuntimeError as error:
                if self.feed.failure is not None:
                    raise self.feed.failure from None
                self.feed.refuse_undecodable(error)
                self.pipeline = None

    def build(self) -> Pipeline:
        """Build the graph for this store and device, to begin with the batch at which the loader stands."""
        # The pipeline must not know the loader: in a circle, neither would be freed when the last one lets go.
        self.feed = Feed(self.dataset, self.schedule, self.step, self.damage)
        data, is_frames = self.schedule.config.data, self.dataset.store == "frames"
        return build_graph(
            self.feed,
            store=self.dataset.store,
            samples=self.schedule.clips * (data.clip_frames if is_frames else 1),
            clip_frames=data.clip_frames,
            crop_size=data.crop_size,
            place=self.choice.place,
            device_id=self.device_id,
            threads=thread_count(data.threads),
            prefetch=data.prefetch,
            has_colours=self.schedule.has_colours,
        )

    def wrap(self, clip: Tensor, mask: Tensor, valid_BT: NDArray[np.bool_], plan: ClipPlan) -> Batch:
        """Give DALI's samples the axes of a Batch."""
        data = self.schedule.config.data
        clip_BTYXC = clip.view(self.schedule.clips, data.clip_frames, data.crop_size, data.crop_size, 3)
        mask_BTYX = mask.view(clip_BTYXC.shape[:-1])
        return make_batch(clip_BTYXC, mask_BTYX, torch.from_numpy(valid_BT), plan, self.schedule.config.grid_size)


def to_torch(samples: Any) -> Tensor:
    """Wrap a DALI output of equal shapes as one tensor on its own device."""
    return torch.from_dlpack(samples.as_tensor())
