"""What DALI is fed with: encoded bytes, mask bits and regions of one batch after another, without the clips that cannot be read."""

from collections import deque
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from objabn.data.damage import Damage, DamagedClipError
from objabn.data.dataset import EncodedClip, PackedDataset
from objabn.data.decode import decode_frames
from objabn.data.masks import MaskBits
from objabn.data.sampling import ClipPlan
from objabn.data.schedule import Schedule


class Fed(NamedTuple):
    """A batch that DALI is working on."""

    plan: ClipPlan
    valid: NDArray[np.bool_]
    """(B, T) frames with a detection."""
    skipped: int
    """Clips that could not be read."""


class PackedClip(NamedTuple):
    """The bytes of one clip."""

    pixels: list[NDArray[np.uint8]] | EncodedClip
    """A JPEG for each frame, or a piece of video."""
    mask: MaskBits


class Feed:
    """What DALI calls for one batch after another, some of them ahead of the loader."""

    def __init__(self, dataset: PackedDataset, schedule: Schedule, step: int, damage: Damage) -> None:
        self.dataset, self.schedule, self.step, self.damage = dataset, schedule, step, damage
        self.fed: deque[Fed] = deque()
        self.failure: Exception | None = None
        """What went wrong in here; DALI would tell of it in twenty lines."""

    def __call__(self) -> list[Any]:
        """Return the next batch: the inputs of `build_graph`."""
        try:
            plan, clips, skipped = self.gather(self.schedule.clips_of(self.step))
        except Exception as error:
            self.failure = error
            raise
        self.step += 1
        self.fed.append(Fed(plan, np.stack([clip.mask.valid for clip in clips]), skipped))
        is_frames = self.dataset.store == "frames"
        inputs = self.inputs_of_frames(plan, clips) if is_frames else self.inputs_of_clips(plan, clips)
        return inputs + self.colours(plan, samples_per_clip=plan.frames.shape[1] if is_frames else 1)

    def gather(self, plan: ClipPlan) -> tuple[ClipPlan, list[PackedClip], int]:
        """Read the bytes of the clips of a plan."""
        reading = [partial(self.read, int(video), frames) for video, frames in zip(plan.video, plan.frames, strict=True)]
        return self.damage.gather(plan, reading, is_training=self.schedule.is_training)

    def read(self, video: int, frames: NDArray[np.int64]) -> PackedClip:
        """Return the bytes of one clip; DamagedClipError where they are not what was packed, or DALI has refused them before."""
        if video in self.damage.undecodable:
            raise DamagedClipError(self.damage.undecodable[video])
        read = self.dataset.encoded_frames if self.dataset.store == "frames" else self.dataset.encoded_clip
        return PackedClip(read(video, frames), self.dataset.mask_bits(video, frames))

    def inputs_of_frames(self, plan: ClipPlan, clips: list[PackedClip]) -> list[Any]:
        """One DALI sample a frame."""
        count = plan.frames.shape[1]
        encoded = [frame for clip in clips for frame in clip.pixels]
        bits = [frame for clip in clips for frame in clip.mask.bits[:, None]]
        sizes_YX = np.repeat(self.frame_sizes(plan), count, axis=0)
        roi_start, roi_end = np.ascontiguousarray(np.repeat(plan.roi, count, axis=0).reshape(-1, 2, 2).swapaxes(0, 1))
        return [encoded, bits, sizes_YX, roi_start, roi_end]

    def inputs_of_clips(self, plan: ClipPlan, clips: list[PackedClip]) -> list[Any]:
        """One DALI sample a clip."""
        pieces = [clip.pixels for clip in clips if isinstance(clip.pixels, EncodedClip)]
        roi_start, roi_end = np.ascontiguousarray(plan.roi.reshape(-1, 2, 2).swapaxes(0, 1))
        bits = [clip.mask.bits for clip in clips]
        return [[piece.data for piece in pieces], bits, self.frame_sizes(plan), roi_start, roi_end, [piece.frames for piece in pieces]]

    def colours(self, plan: ClipPlan, *, samples_per_clip: int) -> list[Any]:
        """Return matrix and offset of the colours of each DALI sample, where clips change theirs."""
        if not self.schedule.has_colours:
            return []
        colour = np.repeat(plan.colour, samples_per_clip, axis=0)
        return [np.ascontiguousarray(colour[:, :, :3]), np.ascontiguousarray(colour[:, :, 3])]

    def frame_sizes(self, plan: ClipPlan) -> NDArray[np.int32]:
        """Return (M, 2) height and width of the packed frames."""
        return np.stack([self.dataset.index.height[plan.video], self.dataset.index.width[plan.video]], 1)

    def refuse_undecodable(self, error: RuntimeError) -> None:
        """Find the videos for which DALI gave up, by decoding the clips it was fed without it; where there are none, its error stands."""
        found = {}
        for plan in (fed.plan for fed in self.fed):
            for video, frames in zip(plan.video.tolist(), plan.frames, strict=True):
                try:
                    decode_frames(self.dataset, video, frames)
                except DamagedClipError as reason:
                    found[video] = str(reason)
        if not found:
            raise RuntimeError(
                f"DALI fails on clips that can be decoded without it ({last_line(error)}); take --loader reader, and see `objabn doctor`."
            ) from error
        self.damage.undecodable |= found


def last_line(error: RuntimeError) -> str:
    """Return what DALI says last, which is what went wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith(("Current pipeline", "Stacktrace", "[frame"))]
    return said[-1] if said else type(error).__name__
