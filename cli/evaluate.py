"""`objabn evaluate`: accuracy of a trained run, and how sharp and how right its maps are."""

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.completion import complete_dataset, complete_run, complete_setting
from cli.localisation import BoxComparison, ProtocolName, refuse_without_boxes
from cli.places import DataOption, dataset_folder
from cli.train import Loader


class Checkpoint(StrEnum):
    """Which weights of a run."""

    last = "last"
    best = "best"


class Subset(StrEnum):
    """Which videos."""

    val = "val"
    test = "test"


def evaluate(
    run: Annotated[Path, typer.Argument(help="Folder of a run.", autocompletion=complete_run)],
    *,
    dataset: Annotated[str | None, typer.Option(help="Another dataset with the same classes.", autocompletion=complete_dataset)] = None,
    subset: Annotated[Subset | None, typer.Option(help="Otherwise test, or val where there is no test.")] = None,
    checkpoint: Annotated[Checkpoint | None, typer.Option(help="Otherwise best, or last where there is no best.")] = None,
    views: Annotated[str | None, typer.Option(help="CLIPSxCROPS of each video, for example 10x3; otherwise the run's own.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:1.")] = None,
    loader: Annotated[Loader | None, typer.Option(help="reader needs no DALI.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Other settings for this evaluation: section.name=value.", autocompletion=complete_setting),
    ] = None,
    boxes: Annotated[Path | None, typer.Option(help="Compare maps with the boxes of this file: .mat, .pkl or .json.")] = None,
    protocol: Annotated[ProtocolName | None, typer.Option(help="How maps are compared with boxes; otherwise objabn.")] = None,
    maps: Annotated[list[str] | None, typer.Option("--map", help="Map or method (gradcam) to compare; otherwise all own maps.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the numbers to this file too.")] = None,
    data: DataOption = Path("data"),
) -> None:
    """Evaluate a run on a subset; evaluation.json in its folder is for its own dataset, subset, checkpoint, views and settings only.

    Example: objabn evaluate runs/ucf101-x3d_m-object_abn3
    """
    from cli.compose import evaluate_run, held_out_subsets, print_evaluation, with_flags
    from cli.processes import joined, refuse_ranks
    from objabn.data.dataset import open_dataset
    from objabn.training.run_folder import read_config

    if boxes is not None:
        refuse_ranks("evaluate --boxes")
    refuse_without_boxes(boxes, protocol, maps or ())
    flags = {
        "data.dataset": dataset,
        "data.views": None if views is None else clips_and_crops(views),
        "data.loader": None if loader is None else loader.value,
        "run.device": device,
    }
    own = read_config(run)
    config = with_flags(own, flags, settings or [])
    packed = open_dataset(dataset_folder(config.data.dataset, data))
    reported = held_out_subsets(packed, config)[-1:]
    chosen = subset.value if subset else "".join(reported) or "test"
    comparison = BoxComparison(boxes, packed, config, subset=chosen, protocol=protocol, maps=maps or ()) if boxes else None
    with joined(config.run.device) as ranks:
        evaluation = evaluate_run(run, config, packed, subset=chosen, checkpoint=checkpoint, watch=comparison.watch if comparison else None)
    if ranks.rank == 0:
        print_evaluation(evaluation)
        values = evaluation.to_dict() | (comparison.show() if comparison else {})
        is_own = dataset is None and checkpoint is None and [chosen] == reported and config.data.views == own.data.views and not settings
        write_numbers(values, ([run / "evaluation.json"] if is_own else []) + ([json_file] if json_file else []))


def write_numbers(values: dict[str, Any], paths: list[Path]) -> None:
    """Write the numbers to each of these files."""
    from objabn.files import write_json

    for path in paths:
        write_json(path, values)
        print(f"Written to {path}.")


def clips_and_crops(views: str) -> str:
    """Return CLIPSxCROPS as the value of data.views; clips alone have one crop each."""
    found = re.fullmatch(r"(\d+)(?:x(\d+))?", views)
    if found is None:
        raise ValueError(f"--views {views} is not understood; write CLIPSxCROPS, for example 10x3, or CLIPS alone.")
    return f"{found[1]},{found[2] or 1}"
