"""Where the numbers of a run go: log.jsonl and the screen, behind two methods."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from objabn.files import naming, write_text

Record = dict[str, Any]


class Logger(Protocol):
    """Takes records as they come; each has `event` (`step`, `epoch` or `note`, a `text`), `epoch` counted from 1, and `step`."""

    def log(self, record: Record) -> None:
        """Take one record."""
        ...

    def close(self) -> None:
        """Finish."""
        ...


class JsonLines:
    """One record a line, readable after a kill at any moment."""

    def __init__(self, path: Path, *, keep: Callable[[Record], bool]) -> None:
        """Open the file for more; of the lines it has only those stay that `keep` accepts."""
        kept = [json.dumps(record) + "\n" for record in read_records(path) if keep(record)]
        write_text(path, "".join(kept))
        self.path = path
        self.file = path.open("a", buffering=1)

    def log(self, record: Record) -> None:
        """Append the record."""
        with naming(self.path):
            self.file.write(json.dumps(record) + "\n")

    def close(self) -> None:
        """Close the file."""
        with naming(self.path):
            self.file.close()


def read_records(path: Path) -> list[Record]:
    """Return the records of a log; a line that a kill cut short is left out, and no file is no records."""
    records = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return records


class Screen:
    """A bar for the epoch under way on a terminal, and one line for each finished epoch anywhere."""

    def __init__(self, *, epochs: int, steps_per_epoch: int, console: Console | None = None) -> None:
        self.console = console or Console()
        self.epochs, self.steps_per_epoch = epochs, steps_per_epoch
        columns = (
            TextColumn("{task.description}"),
            BarColumn(20),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[text]}"),
        )
        self.bar = Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal)
        self.task = self.bar.add_task("", total=steps_per_epoch, text="")
        self.bar.start()

    def log(self, record: Record) -> None:
        """Show the record."""
        name = f"epoch {record['epoch']}/{self.epochs}"
        if record["event"] == "note":
            self.console.print(record["text"], highlight=False, soft_wrap=True)
        elif record["event"] == "epoch":
            self.console.print(f"{name}  {sentence(record)}", highlight=False, soft_wrap=True)
            self.bar.reset(self.task, description=name, text="")
        else:
            done = record["step"] - (record["epoch"] - 1) * self.steps_per_epoch
            self.bar.update(self.task, completed=done, description=name, text=sentence(record))

    def close(self) -> None:
        """Take the bar off the screen."""
        self.bar.stop()


def sentence(record: Record) -> str:
    """Return a record's main numbers in words."""
    parts = [f"loss {record['loss']:.3f}", f"top-1 {record['top1']:.1f} %"] if "loss" in record else []
    parts += [f"H({name.split('_entropy_')[1]}) {record[name]:.2f}" for name in record if "_entropy_" in name]
    parts += [f"{name.removesuffix('_top1')} top-1 {record[name]:.1f} %" for name in record if name.endswith("_top1")]
    if "clips_per_second" in record:
        parts += [f"{record['clips_per_second']:.1f} clips/s", f"loader wait {record['loader_wait']:.0f} %"]
    if "skipped_steps" in record:
        parts.append(f"skipped steps {record['skipped_steps']}")
    if "skipped_clips" in record:
        parts.append(f"{record['skipped_clips']} clips skipped so far")
    if "stopped" in record:
        parts.append(f"stopped: {record['stopped']}")
    return "  ".join(parts)
