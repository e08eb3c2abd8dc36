"""`objabn bench`: how fast the parts are here, beside what others would use."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.completion import complete_dataset
from cli.places import DataOption, dataset_folder
from cli.tables import table_console

if TYPE_CHECKING:
    from benchmarks.result import Row
    from benchmarks.roofline import PartRow


class Suite(StrEnum):
    """What can be measured."""

    core = "core"
    loader = "loader"
    scale = "scale"
    step = "step"
    depthwise = "depthwise"
    explain = "explain"
    all = "all"


def bench(
    suite: Annotated[Suite, typer.Argument(help="What to measure.")] = Suite.all,
    *,
    dataset: Annotated[
        list[str],
        typer.Option(help="Packed dataset for the loader suite; give it again for other packings.", autocompletion=complete_dataset),
    ] = ["demo"],  # noqa: B006
    videos: Annotated[Path | None, typer.Option(help="The dataset's original videos, which the peers read.")] = None,
    size: Annotated[
        int, typer.Option(min=32, help="Side of the clips of the explain suite; Score-CAM's are half as large on a CPU.")
    ] = 224,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the rows to this file.")] = None,
    data: DataOption = Path("data"),
) -> None:
    """Measure the attention-branch core, the loader, the training step or explainers beside their peers.

    Core and step also print where the time goes, beside what this machine can do at best.

    Example: objabn bench loader --dataset ucf101 --videos UCF-101 --json loader.json
    """
    import torch

    from benchmarks import core, step
    from benchmarks.result import report
    from benchmarks.tables import show
    from objabn.files import write_json

    device = "cuda" if torch.cuda.is_available() else "cpu"
    rows: list[Row] = []
    parts: list[PartRow] = []
    for name, run in ((Suite.core, core.run), (Suite.step, step.run)):
        if suite in (name, Suite.all):
            compared, where = run(device=device)
            rows, parts = [*rows, *compared], [*parts, *where]
    if suite in (Suite.loader, Suite.all):
        rows += loader_rows(dataset, videos, data)
    if suite is Suite.scale:
        rows += scale_rows(dataset[0], data)
    if suite is Suite.explain:
        rows += explain_rows(device, size)
    if suite is Suite.depthwise:
        rows += depthwise_rows(device)
    show(rows, parts, table_console())
    if json_file is not None:
        write_json(json_file, report(rows, parts))


def loader_rows(names: list[str], videos: Path | None, data: Path) -> "list[Row]":
    """Run the loader suite on packings of one dataset and its original videos; the demo is made when absent."""
    from benchmarks import loader
    from objabn.data.dataset import open_dataset
    from objabn.recipes import recipe

    folders = [dataset_folder(name, data) for name in names]
    if names == ["demo"]:
        videos = videos or folders[0] / "videos"
    if videos is None:
        raise ValueError(f"The loader suite needs the original videos of {names[0]}; give their folder with --videos.")
    datasets = [open_dataset(folder) for folder in folders]
    return loader.run(datasets, recipe(datasets[0].name), videos)


def scale_rows(name: str, data: Path) -> "list[Row]":
    """Run the scale suite, which is not part of `all`: it is about large datasets, and writes one to a temporary folder."""
    from benchmarks import scale
    from objabn.data.dataset import open_dataset
    from objabn.recipes import recipe

    packed = open_dataset(dataset_folder(name, data))
    return scale.run(packed, recipe(packed.name).data)


def explain_rows(device: str, size: int) -> "list[Row]":
    """Run the explain suite, which is not part of `all`: it takes minutes, and libraries that are installed for it alone."""
    from benchmarks import explain

    try:
        return explain.run(device=device, size=size)
    except ModuleNotFoundError as error:
        raise RuntimeError(f"{error.name} is not installed; `pip install 'objabn[bench]'` brings it.") from error


def depthwise_rows(device: str) -> "list[Row]":
    """Run the depthwise suite, which is not part of `all`: it is about single layers."""
    from benchmarks import depthwise

    return depthwise.run(device=device)
