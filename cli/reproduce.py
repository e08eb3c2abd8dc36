"""`objabn reproduce`: the paper's table, row by row and seed by seed, from videos to pages."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from cli.places import DataOption, dataset_folder, find_dataset
from cli.train import Loader, SettingsOption

if TYPE_CHECKING:
    from objabn.config import Config
    from objabn.reproduction import Row


class Dataset(StrEnum):
    """Those of which the paper has a table."""

    ucf101 = "ucf101"
    ssv2 = "ssv2"


class Budget(StrEnum):
    """How much of the paper's training there is time for."""

    paper = "paper"
    small = "small"


class Job(NamedTuple):
    """One training."""

    row: "Row"
    seed: int
    folder: Path
    config: "Config"


def reproduce(
    dataset: Annotated[Dataset, typer.Argument(help="Whose table.")],
    *,
    rows: Annotated[str, typer.Option(help="Rows and groups (table, why, few), with commas between them.")] = "table",
    seeds: Annotated[int | None, typer.Option(min=1, help="Trainings of each row; otherwise 3, or small: 2.")] = None,
    budget: Annotated[Budget | None, typer.Option(help="Otherwise paper on a GPU, and small without.")] = None,
    videos: Annotated[Path | None, typer.Option(help="Folder of the source videos, where they are not packed yet.")] = None,
    annotations: Annotated[Path | None, typer.Option(help="Folder of the official lists.")] = None,
    segmenter: Annotated[str, typer.Option(help="For the masks, where there are none yet.")] = "yolo26n-seg",
    weights: Annotated[str | None, typer.Option(help="kinetics400, a file, or none.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:1.")] = None,
    loader: Annotated[Loader | None, typer.Option(help="reader needs no DALI.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of runs and pages; otherwise runs/reproduction-DATASET-BUDGET.")] = None,
    settings: SettingsOption = None,
    training: Annotated[bool, typer.Option("--train/--no-train", help="--no-train: pages of what is finished so far.")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be trained, and touch nothing.")] = False,
    data: DataOption = Path("data"),
) -> None:
    """Make the paper's table anew: prepare, segment, train every row, evaluate, and write reproduction.json, .md, .html and .svg.

    Finished runs are kept, so that the same command goes on after it was stopped, with more rows, or with more seeds. Of those that are
    measured, the folders last and best may be deleted.
    Under torchrun each process trains rows of its own.

    Example: objabn reproduce ucf101 --videos UCF-101 --annotations ucfTrainTestlist --rows table,best
    """
    from cli.reproducing import has_gpu, write_pages
    from objabn.reproduction import BUDGETS, find_rows

    name = (budget or (Budget.paper if has_gpu(device) else Budget.small)).value
    chosen = find_rows(tuple(word.strip() for word in rows.split(",") if word.strip()))
    folder = out or Path("runs") / f"reproduction-{dataset.value}-{name}"
    flags = {"model.weights": weights, "run.device": device, "data.loader": loader and loader.value}
    changes = (*(f"{path}={value}" for path, value in flags.items() if value is not None), *(settings or ()))
    jobs = plan_jobs(dataset.value, name, chosen, seeds or BUDGETS[name].seeds, folder, changes)
    if dry_run:
        for job in jobs:
            print(f"{job.folder}: {job.row.what}, {job.config.optim.epochs} epochs")
        return
    make_data(dataset.value, data, videos, annotations, segmenter, device or "auto")
    train_jobs(jobs, data, training=training)
    write_pages(folder, dataset.value, name, jobs, data, command=command_text())


def plan_jobs(dataset: str, budget: str, rows: "tuple[Row, ...]", seeds: int, folder: Path, changes: tuple[str, ...]) -> list[Job]:
    """Return all trainings, those of one seed together, so that a table is there as soon as can be."""
    from objabn.reproduction import row_config

    return [
        Job(row, seed, folder / row.slug / f"seed{seed}", row_config(dataset, budget, row, seed=seed, settings=changes))
        for seed in range(seeds)
        for row in rows
    ]


def make_data(dataset: str, data: Path, videos: Path | None, annotations: Path | None, segmenter: str, device: str) -> None:
    """Pack the videos and make their masks, unless that is done; under torchrun the masks are shared out."""
    from cli.masks import masks
    from cli.prepare import prepare
    from objabn.data.dataset import open_dataset

    if find_dataset(dataset, data) is None:
        prepare(dataset, videos=videos, annotations=annotations, data=data)
    if not open_dataset(dataset_folder(dataset, data)).has_masks:
        masks(dataset, segmenter=segmenter, device=device, data=data)


def train_jobs(jobs: list[Job], data: Path, *, training: bool) -> None:
    """Train, if asked to, and measure this process's share of the rows, as far as that is not done."""
    from cli.processes import alone
    from cli.reproducing import is_measured, measure_run, own_gpu, train_run
    from objabn.training.run_folder import is_finished

    with alone() as ranks:
        own = jobs[ranks.rank :: ranks.world]
        for number, job in enumerate(own, 1):
            print(f"{number}/{len(own)}: {job.row.name}, seed {job.seed} ({job.row.what})")
            given = own_gpu(job.config, ranks)
            if is_measured(job.folder, given, job.row.methods, data):
                continue
            if training:
                train_run(job.folder, given, data)
            if is_finished(job.folder, given):
                measure_run(job.folder, given, job.row.methods, data)


def command_text() -> str:
    """Return the command as it was given, without the folders that lead to it."""
    return " ".join(["objabn", *sys.argv[1:]])
