"""`objabn demo`: the whole path on synthetic videos with exact masks, in minutes on two CPU cores."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.compose import has_dali
from cli.places import DataOption, dataset_folder
from cli.report import evaluate_and_store, write_report

if TYPE_CHECKING:
    from objabn.config import Config
    from objabn.data.dataset import PackedDataset
    from objabn.evaluation import Evaluation
    from objabn.reporting import Predictions

ABN, OBJECT_ABN = "ABN", "Object-ABN, 3 maps"


def demo(
    *,
    compare: Annotated[bool, typer.Option("--compare", help="Also train plain ABN alike, and print both.")] = False,
    out: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs"),
    seed: Annotated[int, typer.Option(help="Of clips and initial weights.")] = 0,
    data: DataOption = Path("data"),
) -> None:
    """Train Object-ABN with three maps on synthetic videos whose class is a motion, and report where it looks.

    A run that is already there goes on, or is shown again. Example: objabn demo --compare
    """
    from cli.compose import with_flags
    from objabn.data.dataset import open_dataset
    from objabn.recipes import recipe

    begin = time.monotonic()
    dataset = open_dataset(dataset_folder("demo", data))
    flags = {"data.dataset": str(dataset.root), "run.seed": seed, "data.loader": None if has_dali() else "reader"}
    configs = {out / "demo": with_flags(recipe("demo", heads=3), flags, [])}
    if compare:
        configs = {out / "demo-abn": with_flags(recipe("demo", system="abn"), flags, [])} | configs
    results = [train_and_evaluate(config, run, dataset) for run, config in configs.items()]
    evaluations = dict(zip([ABN, OBJECT_ABN][-len(results) :], [evaluation for evaluation, _ in results], strict=True))
    show(evaluations)
    if compare:
        print(difference(evaluations[ABN].entropy["M_u"], evaluations[OBJECT_ABN].entropy["M_o"]))
    draw(out / "demo", dataset)
    page = out / "demo" / "report.html"
    write_report(page, list(configs), list(configs.values()), [dataset] * len(configs), [predictions for _, predictions in results])
    print(f"{time.monotonic() - begin:.0f} s in all. Open {page} in a browser: results, and clips that play under their maps.")


def train_and_evaluate(config: "Config", run_folder: Path, dataset: "PackedDataset") -> "tuple[Evaluation, Predictions]":
    """Train as far as the settings say, and return the evaluation on `test` and what was said of its videos."""
    from cli.train import fit_run
    from objabn.files import write_json

    print(f"Training in {run_folder} ...")
    fit_run(config, run_folder, dataset, "test", resume=True)
    evaluation, predictions = evaluate_and_store(run_folder, config, dataset, "test")
    write_json(run_folder / "evaluation.json", evaluation.to_dict())
    return evaluation, predictions


def show(evaluations: "dict[str, Evaluation]") -> None:
    """Print one row for each map of each network."""
    from rich.console import Console
    from rich.table import Table

    table = Table("network", "top-1 (%)", "map", "entropy (bits)", "overlap with objects", "points at an object", title="objabn demo")
    for name, evaluation in evaluations.items():
        for row, map_name in enumerate(evaluation.entropy):
            first = (name, f"{evaluation.top1:.1f}") if row == 0 else ("", "")
            overlap, pointing = (
                f"{values[map_name]:.2f}" if map_name in values else "" for values in (evaluation.mask_iou, evaluation.pointing)
            )
            table.add_row(*first, map_name, f"{evaluation.entropy[map_name]:.2f}", overlap, pointing)
    Console().print(table)


def difference(free_bits: float, object_bits: float) -> str:
    """Say how much sharper the map that a mask loss pulled is than one that no loss did."""
    bits = free_bits - object_bits
    return f"H(M_u of ABN) - H(M_o) = {bits:.2f} bits: M_o is {'sharper' if bits > 0 else 'not sharper'}."


def draw(run_folder: Path, dataset: "PackedDataset") -> None:
    """Draw the maps over the first test video of each class and say which files that are."""
    import numpy as np

    from cli.explain import explain

    test = dataset.index.rows("test")
    rows = test[np.unique(dataset.index.label[test], return_index=True)[1]]
    print("Where it looks (M_u free, M_o object, M_b background), as pictures:")
    explain(run_folder, [dataset.root / "videos" / dataset.index.name(row) for row in rows], formats="png")
