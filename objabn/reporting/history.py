"""Curves of training: from the records of log.jsonl to lines that can be drawn."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from objabn.training.logging import Record

NO_LOSS = ("event", "epoch", "step", "top1", "clips_per_second", "loader_wait", "seconds", "skipped_clips", "skipped_steps", "stopped")
MEASURED = ("_top1", "_top5", "_nll")
"""Endings of what is measured on a held-out subset after an epoch."""
OF_MAPS = ("_entropy_M", "_mask_iou_M")
"""Within the names of what is measured there of maps, before the end of the map's name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """Values over epochs, of one run."""

    run: int
    name: str
    look: Literal["line", "dashed", "faint"]
    x: list[float]
    """Epochs, counted from the beginning: the end of the first is 1."""
    y: list[float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """Lines that share their axes."""

    group: Literal["loss", "accuracy", "time"]
    title: str
    unit: str
    lines: list[Line]


class History:
    """The log of one run."""

    def __init__(self, records: Sequence[Record], *, run: int, batch: int) -> None:
        """Take the records of a log; `run` is its number in the report, `batch` the clips of a step."""
        self.run, self.batch = run, batch
        self.epochs = [record for record in records if record.get("event") == "epoch"]
        self.steps = [record for record in records if record.get("event") == "step"]
        first = self.epochs[0] if self.epochs else None
        # Every epoch has as many steps; before its end is logged nobody knows how many, and steps count as they are.
        self.steps_per_epoch = first["step"] / first["epoch"] if first else 1.0

    def losses(self) -> list[str]:
        """Return the names of the losses that were ever anything but 0, the total first."""
        records = [*self.epochs, *self.steps]
        names = dict.fromkeys(name for record in records for name in record if is_loss(name))
        return [name for name in names if any(record.get(name) for record in records)]

    def line(self, name: str, look: Literal["line", "dashed", "faint"], value: str | Callable[[Record], Any]) -> Line:
        """Return a field of the records, or what a function makes of them; a faint line is of steps, every other of epochs."""
        records = self.steps if look == "faint" else self.epochs
        get = value if callable(value) else lambda record: record.get(value)
        points = [(record["step"] / self.steps_per_epoch, get(record)) for record in records]
        points = [(x, y) for x, y in points if y is not None]
        return Line(run=self.run, name=name, look=look, x=[round(x, 4) for x, _ in points], y=[y for _, y in points])

    def both(self, value: str | Callable[[Record], Any]) -> list[Line]:
        """Return a field of steps and of epochs."""
        return [self.line("steps", "faint", value), self.line("epochs", "line", value)]

    def measured(self, ending: str) -> list[Line]:
        """Return what was measured on held-out subsets, by the ending of its name."""
        names = dict.fromkeys(name for record in self.epochs for name in record if name.endswith(ending))
        return [self.line(name.removesuffix(ending), "line", name) for name in names]

    def measured_of_maps(self, part: str) -> list[Line]:
        """Return what was measured of each map on held-out subsets, by the part of its name between subset and map."""
        names = dict.fromkeys(name for record in self.epochs for name in record if part in name)
        return [self.line(name.replace(part, " M"), "line", name) for name in names]

    def rates(self) -> list[Line]:
        """Return the learning rates, of every part of the network that has one of its own."""
        names = dict.fromkeys(name for record in self.steps for name in record if name.startswith("learning_rate"))
        return [self.line(name.removeprefix("learning_rate").strip("_.") or "steps", "faint", name) for name in names]

    def step_seconds(self, record: Record) -> float | None:
        """Return how long a step took."""
        return self.batch / record["clips_per_second"] if record.get("clips_per_second") else None

    def wait_seconds(self, record: Record) -> float | None:
        """Return how long a step waited for its clips."""
        seconds = self.step_seconds(record)
        return None if seconds is None else seconds * record.get("loader_wait", 0.0) / 100


def is_loss(name: str) -> bool:
    """Say whether a field of a record is a loss or a part of it."""
    is_measured = name.endswith(MEASURED) or any(part in name for part in OF_MAPS)
    return name not in NO_LOSS and not is_measured and not name.startswith("learning_rate")


def charts(histories: Sequence[History]) -> list[Chart]:
    """Return the charts of training that have anything to show."""
    losses = dict.fromkeys(name for history in histories for name in history.losses())
    titles = {name: "Loss" if name == "loss" else f"Loss: {name}" for name in losses}
    found = [
        Chart(
            group="loss",
            title=titles[name],
            unit="",
            lines=joined([h for h in histories if name in h.losses()], partial(loss_lines, name=name)),
        )
        for name in losses
    ]
    found += [
        Chart(group="accuracy", title="Top-1", unit="%", lines=joined(histories, accuracy_lines)),
        Chart(group="accuracy", title="Negative log-likelihood", unit="", lines=joined(histories, lambda h: h.measured("_nll"))),
        Chart(group="accuracy", title="Entropy of maps", unit="bits", lines=joined(histories, lambda h: h.measured_of_maps(OF_MAPS[0]))),
        Chart(group="accuracy", title="Overlap with objects", unit="", lines=joined(histories, lambda h: h.measured_of_maps(OF_MAPS[1]))),
        Chart(group="accuracy", title="Learning rate", unit="", lines=joined(histories, History.rates)),
        Chart(group="time", title="Seconds a step", unit="s", lines=joined(histories, time_lines)),
        Chart(group="time", title="Waiting for clips", unit="%", lines=joined(histories, lambda h: h.both("loader_wait"))),
        Chart(group="time", title="Clips a second", unit="", lines=joined(histories, lambda h: h.both("clips_per_second"))),
    ]
    return [chart for chart in found if chart.lines]


def loss_lines(history: History, name: str) -> list[Line]:
    """Return one loss."""
    return history.both(name)


def accuracy_lines(history: History) -> list[Line]:
    """Return top-1 in training and on what is held out."""
    return [history.line("train", "dashed", "top1"), *history.measured("_top1")]


def time_lines(history: History) -> list[Line]:
    """Return how long a step takes, and how much of that it waits."""
    return [*history.both(history.step_seconds), history.line("of it waiting", "dashed", history.wait_seconds)]


def joined(histories: Sequence[History], lines_of: Callable[[History], list[Line]]) -> list[Line]:
    """Return the lines of all runs that have a point."""
    return [line for history in histories for line in lines_of(history) if line.x]
