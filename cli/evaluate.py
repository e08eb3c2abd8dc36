"""`objabn evaluate`: accuracy of a trained run, and how sharp and how right its maps are."""

import dataclasses
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.places import DataOption, dataset_folder
from cli.train import Loader


class Checkpoint(StrEnum):
    """Which weights of a run."""

    last = "last"
    best = "best"


def evaluate(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    *,
    dataset: Annotated[str | None, typer.Option(help="Another dataset with the same classes.")] = None,
    subset: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    checkpoint: Annotated[Checkpoint | None, typer.Option(help="Otherwise best, or last where there is no best.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:1.")] = None,
    loader: Annotated[Loader | None, typer.Option(help="reader needs no DALI.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the numbers to this file too.")] = None,
    data: DataOption = Path("data"),
) -> None:
    """Evaluate a run on a subset; the numbers are written to evaluation.json in its folder.

    Example: objabn evaluate runs/ucf101-x3d_m-object_abn3
    """
    from cli.compose import evaluate_run, print_evaluation, with_flags, write_evaluation
    from objabn.data.dataset import open_dataset
    from objabn.training.run_folder import read_config

    flags = {"data.dataset": dataset, "data.loader": None if loader is None else loader.value, "run.device": device}
    config = with_flags(read_config(run), flags, [])
    packed = open_dataset(dataset_folder(config.data.dataset, data))
    if subset == "train":
        raise ValueError("--subset train is shuffled and incomplete; choose val or test.")
    evaluation = evaluate_run(run, config, packed, subset=subset, checkpoint=checkpoint)
    if json_file is not None:
        write_evaluation(evaluation, json_file)
    print_evaluation(dataclasses.replace(evaluation, results=()))
