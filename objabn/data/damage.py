"""Clips whose bytes have changed since they were packed: they are named and counted, and others stand in for them."""

import logging
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from objabn.data.sampling import ClipPlan

Clip = TypeVar("Clip")


class DamagedClipError(RuntimeError):
    """Packed bytes that cannot be used; the message names video and frame, and says what to do."""


class Gathered(NamedTuple, Generic[Clip]):
    """What could be read of a batch."""

    plan: ClipPlan
    """The plan with other clips in place of those that cannot be read; in evaluation these are marked absent."""
    clips: list[Clip]
    """What was read for each clip of the plan."""
    skipped: int
    """Clips that could not be read."""


class Damage:
    """What a loader has met so far; every video is told once, as a warning of the logger `objabn`."""

    def __init__(self) -> None:
        self.skipped_clips = 0
        self.videos: dict[int, str] = {}
        """Why a clip of a video could not be read, by its row of the index."""
        self.undecodable: dict[int, str] = {}
        """The same of videos whose bytes are as they were packed, but which DALI cannot decode; none of their clips is tried again."""

    def gather(self, plan: ClipPlan, reading: Sequence[Callable[[], Clip]], *, is_training: bool) -> Gathered[Clip]:
        """Read each clip of a batch; RuntimeError where not one of them can be read."""
        clips: dict[int, Clip] = {}
        for position, (video, read) in enumerate(zip(plan.video.tolist(), reading, strict=True)):
            try:
                clips[position] = read()
            except DamagedClipError as error:
                self.report(video, str(error))
        if not clips:
            raise RuntimeError(f"No clip of a whole batch can be read. {self.videos[int(plan.video[0])]}")
        readable = list(clips)
        # In training a stand-in is learnt from once more, so that batches keep their size.
        source = np.array([position if position in clips else readable[position % len(readable)] for position in range(len(reading))])
        filled = plan.take(source)
        if not is_training:
            filled = filled._replace(present=plan.present & (source == np.arange(len(source))))
        return Gathered(filled, [clips[position] for position in source.tolist()], len(reading) - len(clips))

    def report(self, video: int, reason: str) -> None:
        """Warn of a video the first time a clip of it cannot be read."""
        if video not in self.videos:
            self.videos[video] = reason
            logging.getLogger("objabn").warning("A clip is skipped: %s", reason)
