"""DALI on original files as they are: the whole file goes in, and every frame up to the last one asked for is decoded.

The same plan, masks and regions as in our own graph; what differs is that nothing was packed.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from nvidia.dali import fn, pipeline_def, types
from nvidia.dali.pipeline import Pipeline

from dali_pipelines.clips import Source, unpack
from dali_pipelines.decode_place import Choice, Place
from dali_pipelines.feed import Feed, PackedClip
from dali_pipelines.loading import DaliLoader
from objabn.data.damage import Damage
from objabn.data.dataset import EncodedClip, PackedDataset
from objabn.data.sampling import ClipPlan
from objabn.data.schedule import Schedule
from objabn.machine import thread_count


class WholeFiles(DaliLoader):
    """Batches of a plan from `videos`, the folder of the originals; RuntimeError where DALI does not decode them at this place."""

    def __init__(self, dataset: PackedDataset, schedule: Schedule, videos: Path, place: Place) -> None:
        super().__init__(dataset, schedule, 0, Choice(place, {}, {}))
        self.videos = videos

    def run(self, stream: Any) -> Any:
        """Return DALI's next batch, or let its error be known."""
        self.pipeline = self.pipeline or self.build()
        return self.pipeline.run(stream)

    def build(self) -> Pipeline:
        """Build the graph, to begin with the batch at which the loader stands."""
        data = self.schedule.config.data
        self.feed = WholeFileFeed(self.dataset, self.schedule, self.step, self.damage, self.videos)
        pipeline = whole_file_graph(
            self.feed,
            data.clip_frames,
            data.crop_size,
            self.choice.place,
            batch_size=self.schedule.clips,
            num_threads=thread_count(data.threads),
            device_id=self.device_id,
            prefetch_queue_depth=data.prefetch,
        )
        pipeline.build()
        return pipeline


class WholeFileFeed(Feed):
    """The feed of our own loader with whole files in place of packed frames or GOPs."""

    def __init__(self, dataset: PackedDataset, schedule: Schedule, step: int, damage: Damage, videos: Path) -> None:
        super().__init__(dataset, schedule, step, damage)
        self.videos = videos

    def read(self, video: int, frames: NDArray[np.int64]) -> PackedClip:
        """Return the bytes of the file and the masks of the frames."""
        data = np.fromfile(self.videos / self.dataset.index.name(video), np.uint8)
        return PackedClip(EncodedClip(data, frames.astype(np.int32)), self.dataset.mask_bits(video, frames))

    def inputs_of_frames(self, plan: ClipPlan, clips: list[PackedClip]) -> list[Any]:
        """Return the inputs of clips: however the dataset is packed, a file is one sample."""
        return self.inputs_of_clips(plan, clips)


@pipeline_def
def whole_file_graph(source: Source, clip_frames: int, crop_size: int, place: Place) -> tuple[Any, Any]:
    """Decode the frames asked for; then as `dali_pipelines.clips`, but that originals may be larger than packed frames."""
    encoded, bits, size_YX, roi_start, roi_end, frames = fn.external_source(
        source=source,
        num_outputs=6,
        dtype=[types.UINT8, types.UINT8, types.INT32, types.FLOAT, types.FLOAT, types.INT32],
        ndim=[1, 2, 1, 1, 1, 1],
    )
    # Containers may announce a frame less than there is; the last one then stands for it, as with every other peer.
    pixels = fn.decoders.video(encoded, device="mixed" if place == "gpu" else "cpu", frames=frames, pad_mode="edge")
    scale = fn.cast(pixels.shape()[1], dtype=types.FLOAT) / size_YX[0]
    mask = unpack(bits.gpu() if place == "gpu" else bits, size_YX, frames=clip_frames)
    whole: dict[str, Any] = {"size": (crop_size, crop_size), "antialias": False}
    clip = fn.resize(pixels, interp_type=types.INTERP_LINEAR, roi_start=roi_start * scale, roi_end=roi_end * scale, **whole)
    return clip, fn.resize(mask, interp_type=types.INTERP_NN, roi_start=roi_start, roi_end=roi_end, **whole)
