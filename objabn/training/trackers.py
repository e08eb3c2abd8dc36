"""The numbers of a run on the pages of TensorBoard and Weights & Biases: loggers beside log.jsonl, chosen by `run.log_to`."""

import importlib
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from objabn.config import Config
from objabn.files import write_text
from objabn.settings import to_dict
from objabn.training.logging import Logger, Record

POSITIONS = ("epoch", "step", "seconds")


class TensorBoard:
    """Writes every number into `tensorboard/` of the run folder, over the steps; a resumed run hides what came after its checkpoint."""

    def __init__(self, run_folder: Path, *, step: int) -> None:
        """Open the folder for a run that stands at `step`."""
        tensorboard = installed("torch.utils.tensorboard", "TensorBoard")
        self.writer = tensorboard.SummaryWriter(run_folder / "tensorboard", purge_step=step + 1)

    def log(self, record: Record) -> None:
        """Write the record's numbers, at once: a killed run must not lose what precedes its checkpoint."""
        for name, value in numbers(record).items():
            self.writer.add_scalar(name, value, record["step"])
        self.writer.flush()

    def close(self) -> None:
        """Close the file."""
        self.writer.close()


class WeightsAndBiases:
    """Sends every number to Weights & Biases, as its own settings say; `WANDB_MODE=offline` keeps them in the run folder.

    The run's id there is kept in `wandb_id`, so that a resumed run goes on with its page. wandb drops records of steps
    that the page has already; they hold the same numbers.
    """

    def __init__(self, run_folder: Path, config: Config) -> None:
        """Begin the run or go on with it; RuntimeError where wandb cannot, as without an account."""
        wandb, place = installed("wandb", "Weights & Biases"), run_folder / "wandb_id"
        if not place.exists():
            write_text(place, uuid.uuid4().hex)
        try:
            self.run = wandb.init(
                project="objabn",
                name=run_folder.resolve().name,
                id=place.read_text(),
                resume="allow",
                dir=run_folder,
                config=to_dict(config),
            )
        except wandb.Error as error:
            reason = str(error).rstrip(".")
            raise RuntimeError(f"Weights & Biases did not open ({reason}); WANDB_MODE=offline keeps the numbers for later.") from error

    def log(self, record: Record) -> None:
        """Send the record's numbers."""
        self.run.log(numbers(record), step=record["step"])

    def close(self) -> None:
        """Wait until everything is sent."""
        self.run.finish()


def open_trackers(run_folder: Path | None, config: Config, *, step: int) -> list[Logger]:
    """Open what `run.log_to` names, for a run that stands at `step`; ValueError without a run folder."""
    names = config.run.log_to
    if not names:
        return []
    if run_folder is None:
        raise ValueError(f"run.log_to={','.join(names)} writes into the folder of a run; give `fit` a run_folder.")
    open_one: dict[str, Callable[[], Logger]] = {
        "tensorboard": lambda: TensorBoard(run_folder, step=step),
        "wandb": lambda: WeightsAndBiases(run_folder, config),
    }
    return [open_one[name]() for name in names]


def numbers(record: Record) -> dict[str, float]:
    """Return what can be drawn as a curve, by `step/NAME` and `epoch/NAME`."""
    values = {name: value for name, value in record.items() if name not in POSITIONS and isinstance(value, int | float)}
    return {f"{record['event']}/{name}": value for name, value in values.items()}


def installed(module: str, name: str) -> Any:
    """Import an optional package; RuntimeError saying how it is installed where it is not."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise RuntimeError(f"{name} is not installed, and run.log_to asks for it; pip install 'objabn[track]' brings it.") from None
