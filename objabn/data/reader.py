"""The loader without DALI: the same batches from the same plan by Pillow or PyAV and PyTorch, and the reference for the DALI graphs."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor
from torch.nn import functional

from objabn.config import Config
from objabn.data.batching import make_batch
from objabn.data.dataset import PackedDataset
from objabn.data.decode import decode_frames
from objabn.data.sampling import ClipPlan
from objabn.data.schedule import ClipLoader, Rows, Schedule
from objabn.machine import thread_count
from objabn.types import Batch


def reader(
    dataset: PackedDataset,
    config: Config,
    *,
    subset: str = "train",
    rows: Rows | None = None,
    clips: ClipPlan | None = None,
    start_sample: int = 0,
    rank: int = 0,
    world: int = 1,
) -> "Reader":
    """Return a loader that decodes on the CPU without DALI, starting after `start_sample` samples of the run.

    It reads `subset`, or the videos `rows` of the index once, in this order and as in evaluation, or these `clips` once.
    """
    return Reader(dataset, Schedule(dataset, config, subset=subset, rows=rows, clips=clips, rank=rank, world=world), start_sample)


class Reader(ClipLoader):
    """Re-iterable over the rest of the current epoch; `state` is the number of samples handed out over all ranks."""

    def __iter__(self) -> Iterator[Batch]:
        if not self.schedule.is_training:
            self.step = 0
        data = self.schedule.config.data
        with ThreadPoolExecutor(thread_count(data.threads)) as pool:
            waiting: deque[tuple[ClipPlan, list[Future[tuple[Tensor, Tensor, Tensor]]]]] = deque()
            next_step, end_step = self.step, (self.step // len(self) + 1) * len(self)
            while next_step < end_step or waiting:
                while next_step < end_step and len(waiting) < data.prefetch:
                    waiting.append(self.submit(pool, self.schedule.clips_of(next_step)))
                    next_step += 1
                planned, reading = waiting.popleft()
                plan, clips, skipped = self.damage.gather(planned, [clip.result for clip in reading], is_training=self.schedule.is_training)
                clip_BTYXC, mask_BTYX, valid_BT = (torch.stack(column) for column in zip(*clips, strict=True))
                self.step += 1
                self.damage.skipped_clips += skipped
                yield make_batch(clip_BTYXC, mask_BTYX, valid_BT, plan, self.schedule.config.grid_size)

    def submit(self, pool: ThreadPoolExecutor, plan: ClipPlan) -> tuple[ClipPlan, list[Future[tuple[Tensor, Tensor, Tensor]]]]:
        """Start reading the clips of a batch."""
        return plan, [pool.submit(self.read_clip, plan.take(slice(i, i + 1))) for i in range(len(plan.video))]

    def read_clip(self, clip: ClipPlan) -> tuple[Tensor, Tensor, Tensor]:
        """Decode and warp one clip: (T, Y, X, 3) uint8, mask (T, Y, X) uint8 of 0 and 1, valid (T,)."""
        video, frames, roi, size = int(clip.video[0]), clip.frames[0], clip.roi[0].tolist(), self.schedule.config.data.crop_size
        clip_TYXC = torch.from_numpy(decode_frames(self.dataset, video, frames))
        masks = self.dataset.masks(video, frames)
        warped = warp(clip_TYXC.permute(0, 3, 1, 2).float(), roi, size).round_().to(torch.uint8)
        if self.schedule.has_colours:
            warped = recolour(warped, torch.from_numpy(clip.colour[0]))
        mask = warp_nearest(torch.from_numpy(masks.mask), roi, size)
        return warped.permute(0, 2, 3, 1), mask, torch.from_numpy(masks.valid)


def warp(frames_TCYX: Tensor, roi: list[float], size: int) -> Tensor:
    """Sample a region (top, left, bottom, right; left > right mirrors) of each frame bilinearly at size x size pixel centres."""
    height, width = frames_TCYX.shape[-2:]
    rows, columns = pixel_centres(roi, size)
    # grid_sample counts from -1 at the first pixel's outer edge to 1 at the last one's.
    grid = torch.stack(torch.broadcast_tensors(columns[None, :] / width * 2 - 1, rows[:, None] / height * 2 - 1), -1)
    grid_TYX2 = grid.expand(len(frames_TCYX), -1, -1, -1)
    return functional.grid_sample(frames_TCYX, grid_TYX2, mode="bilinear", padding_mode="border", align_corners=False)


def recolour(frames_TCYX: Tensor, colour: Tensor) -> Tensor:
    """Change the colours of uint8 frames by a matrix and an offset, (3, 4)."""
    changed = torch.einsum("dc,tcyx->tdyx", colour[:, :3], frames_TCYX.float()) + colour[:, 3, None, None]
    return changed.round_().clamp_(0, 255).to(torch.uint8)


def warp_nearest(mask_TYX: Tensor, roi: list[float], size: int) -> Tensor:
    """Take the pixel under each of size x size pixel centres of a region."""
    rows, columns = (centres.floor().long() for centres in pixel_centres(roi, size))
    height, width = mask_TYX.shape[-2:]
    return mask_TYX[:, rows.clamp(0, height - 1)[:, None], columns.clamp(0, width - 1)]


def pixel_centres(roi: list[float], size: int) -> tuple[Tensor, Tensor]:
    """Return the rows and the columns, in source pixels from the outer edge, at which a region is sampled."""
    top, left, bottom, right = roi
    centres = (torch.arange(size) + 0.5) / size
    return top + centres * (bottom - top), left + centres * (right - left)
