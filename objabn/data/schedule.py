"""Which clips make which batch on which rank, and where a run stands: the part that every loader shares."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from objabn.config import Config, check
from objabn.data.damage import Damage
from objabn.data.dataset import PackedDataset
from objabn.data.sampling import ClipPlan, evaluation_plan, few_of_each_class, padded, training_plan
from objabn.machine import thread_count
from objabn.types import Batch

Rows = NDArray[np.int64]

EVALUATION_CLIPS = 32
"""Most clips of a batch of evaluation, on each rank: batches must not depend on the number of ranks, as sums within the network do
on the batch, and one rank has to hold what it takes."""


class Schedule:
    """The endless sequence of this rank's micro-batches; step s of it is a pure function of (dataset, config, s).

    Training shuffles anew each epoch and drops the last incomplete global batch, which is a different remainder each time.
    Evaluation repeats one fixed pass over all views of all videos, whose last batch is padded; `rows` has it pass over these
    videos of the index, whatever their subset. Its batches are those of a single rank, and each video has all its views on
    one rank; all ranks have as many batches, if need be of padding alone. `clips` are read once as they are, by one rank.
    """

    def __init__(
        self,
        dataset: PackedDataset,
        config: Config,
        *,
        subset: str,
        rows: Rows | None = None,
        clips: ClipPlan | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.index, self.config, self.rank, self.world = dataset.index, config, rank, world
        self.given = clips
        rows = clips.video if clips is not None else rows
        self.is_training = subset == "train" and rows is None
        self.rows = self.rows_of(subset) if rows is None else rows
        batch, accumulate = config.optim.batch, config.optim.accumulate
        if self.is_training:
            self.refuse_batch(dataset.name)
            self.clips, self.block = batch // accumulate // world, 1
            self.steps_per_epoch = len(self.rows) // batch * accumulate
        else:
            views = math.prod(config.data.views) if clips is None else 1
            self.clips = min(batch // accumulate, EVALUATION_CLIPS)
            # Batches that hold whole videos together are for one rank.
            self.block = views // math.gcd(views, self.clips) if world > 1 else 1
            self.steps_per_epoch = -(-len(self.rows) * views // (self.clips * self.block * world)) * self.block
        self.global_clips = self.clips * world
        self.plans: dict[int, ClipPlan] = {}

    def rows_of(self, subset: str) -> Rows:
        """Return the videos of a subset; of the training videos with `data.shots` only so many of each class."""
        data = self.config.data
        rows = self.index.rows(subset, fold=data.fold, val_fraction=data.val_fraction)
        return few_of_each_class(self.index, rows, data.shots, seed=self.config.run.seed) if subset == "train" and data.shots else rows

    def refuse_batch(self, name: str) -> None:
        """Raise ValueError where the batch cannot be divided, or there are too few videos for one."""
        batch, count, parts = self.config.optim.batch, len(self.rows), self.config.optim.accumulate * self.world
        check("optim.batch", batch, batch % parts == 0, f"a multiple of accumulate x ranks = {parts}")
        if count < batch:
            raise ValueError(f"optim.batch={batch} is larger than the {count} training videos of {name}; choose --batch {count} or less.")

    @property
    def has_colours(self) -> bool:
        """Whether clips change their colours."""
        data = self.config.data
        are_random = self.is_training or self.given is not None
        return are_random and data.augment and (data.colour_jitter > 0 or data.colour_noise > 0)

    def plan_epoch(self, epoch: int) -> ClipPlan:
        """Return the plan of an epoch, kept until another is asked for; evaluation has one for all epochs."""
        repeat = self.config.data.repeat_epochs
        number = (epoch % repeat if repeat else epoch) if self.is_training else 0
        if number not in self.plans:
            self.plans = {number: self.make_plan(number)}
        return self.plans[number]

    def make_plan(self, epoch: int) -> ClipPlan:
        """Plan the clips of one epoch over all ranks."""
        if self.is_training:
            return training_plan(self.index, self.rows, self.config.data, seed=self.config.run.seed, epoch=epoch)
        plan = evaluation_plan(self.index, self.rows, self.config.data) if self.given is None else self.given
        return padded(plan, self.steps_per_epoch * self.global_clips)

    def clips_of(self, step: int) -> ClipPlan:
        """Return this rank's clips of a micro-batch counted from the start of the run."""
        epoch, step_in_epoch = divmod(step, self.steps_per_epoch)
        block, step_in_block = divmod(step_in_epoch, self.block)
        first = ((block * self.world + self.rank) * self.block + step_in_block) * self.clips
        return self.plan_epoch(epoch).take(np.arange(first, first + self.clips))

    def step_at(self, sample: int) -> int:
        """Return the micro-batch that begins at a sample counted over all ranks from the start of the run."""
        step, rest = divmod(sample, self.global_clips)
        if rest:
            raise ValueError(f"start_sample={sample} lies inside a batch; it must be a multiple of {self.global_clips}.")
        return step


class ClipLoader(ABC):
    """What every loader is: it stands at a micro-batch of a schedule, and counts the samples handed out over all ranks."""

    def __init__(self, dataset: PackedDataset, schedule: Schedule, start_sample: int) -> None:
        self.dataset, self.schedule = dataset, schedule
        self.step = schedule.step_at(start_sample)
        self.damage = Damage()

    def __len__(self) -> int:
        return self.schedule.steps_per_epoch

    @abstractmethod
    def __iter__(self) -> Iterator[Batch]:
        """Begin an epoch, or go on with it."""

    @property
    def description(self) -> dict[str, Any]:
        """What environment.json tells of how clips are read: the loader, its place, and how much it holds."""
        data = self.schedule.config.data
        threads = thread_count(data.threads)
        return {"loader": data.loader, "place": "cpu", "threads": threads, "prefetch": data.prefetch, "pixel_bytes": self.pixel_bytes}

    @property
    def pixel_bytes(self) -> int:
        """Bytes of pixels that are held at once, at most: the decoded frames of one batch at their largest, and the batches ahead."""
        data, index, rows = self.schedule.config.data, self.dataset.index, self.schedule.rows
        largest = int((index.height[rows].astype(np.int64) * index.width[rows]).max())
        frames, channels = self.schedule.clips * data.clip_frames, 3 + 1  # the mask is a plane of its own
        return frames * channels * (largest + (data.prefetch + 1) * data.crop_size**2)

    @property
    def state(self) -> int:
        """Samples consumed since the start of the run, over all ranks."""
        return self.step * self.schedule.global_clips

    @property
    def class_counts(self) -> tuple[int, ...]:
        """Videos of the subset in each class."""
        labels = self.dataset.index.label[self.schedule.rows]
        return tuple(np.bincount(labels, minlength=len(self.dataset.classes)).tolist())
