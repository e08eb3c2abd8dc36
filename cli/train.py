"""`objabn train`: recipe, flags and --set make the settings; dataset, loader, network and `fit` do the rest."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.places import DataOption, dataset_folder
from objabn.config import Config, LossConfig, to_dict
from objabn.recipes import recipe as named_recipe

if TYPE_CHECKING:
    from objabn.data.dataset import PackedDataset


class Loader(StrEnum):
    """What reads the clips."""

    dali = "dali"
    reader = "reader"


def train(
    dataset: Annotated[str, typer.Argument(help="Name or folder of a packed dataset.")],
    *,
    heads: Annotated[int | None, typer.Option(help="Attention maps: 1 (M_o) or 3 (M_u, M_o, M_b).")] = None,
    system: Annotated[str | None, typer.Option(help="abn or object_abn.")] = None,
    backbone: Annotated[str | None, typer.Option(help="For example x3d_m.")] = None,
    recipe: Annotated[str, typer.Option(help="default, or paper: the literal reading.")] = "default",
    epochs: Annotated[int | None, typer.Option(help="Passes over the training videos.")] = None,
    batch: Annotated[int | None, typer.Option(help="Clips of one step.")] = None,
    weights: Annotated[str | None, typer.Option(help="kinetics400, a file, or none.")] = None,
    fold: Annotated[int | None, typer.Option(help="Official split.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:1.")] = None,
    loader: Annotated[Loader | None, typer.Option(help="reader needs no DALI.")] = None,
    pc: Annotated[bool | None, typer.Option("--pc/--no-pc", help="Prototype conformity loss.")] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; otherwise runs/NAME-backbone-systemHEADS.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of clips, initial weights and dropout.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run, or begin it.")] = False,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Any setting: section.name=value.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show all settings and touch nothing.")] = False,
    data: DataOption = Path("data"),
) -> None:
    """Train a network on a packed dataset and evaluate it.

    Example: objabn train ucf101 --heads 3
    """
    from cli.compose import default_run_folder, with_flags

    flags = {
        "model.heads": heads,
        "model.system": system,
        "model.backbone": backbone,
        "model.weights": weights,
        "optim.epochs": epochs,
        "optim.batch": batch,
        "data.fold": fold,
        "data.loader": None if loader is None else loader.value,
        "loss.pc": None if pc is None else LossConfig().pc * pc,
        "run.device": device,
        "run.seed": seed,
    }
    new = with_flags(named_recipe(Path(dataset).name, recipe, heads=heads or 1), flags | {"data.dataset": dataset}, settings or [])
    run_folder = out or default_run_folder(new)
    config = with_flags(resumed(run_folder), flags, settings or []) if resume and (run_folder / "config.json").exists() else new
    if dry_run:
        show(config, run_folder)
        return
    run(config, run_folder, data, resume=resume)


def resumed(run_folder: Path) -> Config:
    """Return the settings of a run that is to go on."""
    from objabn.training.run_folder import read_config

    return read_config(run_folder)


def show(config: Config, run_folder: Path) -> None:
    """Print every setting and the place of the run."""
    print(json.dumps(to_dict(config), indent=1))
    print(f"run folder: {run_folder}")


def run(config: Config, run_folder: Path, data: Path, *, resume: bool) -> None:
    """Train, then evaluate the best checkpoint, or the last one where there is no `val`."""
    from cli.compose import evaluate_run, print_evaluation, refuse_missing_masks, subsets
    from objabn.data.dataset import open_dataset

    dataset = open_dataset(dataset_folder(config.data.dataset, data))
    refuse_missing_masks(dataset, config)
    others = subsets(dataset, config)
    fit_run(config, run_folder, dataset, others[0] if others else None, resume=resume)
    if others:
        print_evaluation(evaluate_run(run_folder, config, dataset, subset=others[-1]))
    print(f"The run is in {run_folder}.")


def fit_run(config: Config, run_folder: Path, dataset: "PackedDataset", monitor_subset: str | None, *, resume: bool) -> None:
    """Train as far as the settings say; a signal ends the command with the shell's exit code for it."""
    from cli.compose import build_loader, build_network
    from objabn.training.loop import fit
    from objabn.training.run_folder import consumed_samples
    from objabn.training.signals import Interrupted

    net = build_network(config, dataset.classes)
    report = net.weights_report
    if report is not None:
        print(report)
    start_sample = consumed_samples(run_folder) if resume else 0
    monitor: Any = None if monitor_subset is None else build_loader(dataset, config, subset=monitor_subset)
    batches = build_loader(dataset, config, subset="train", start_sample=start_sample)
    try:
        fit(net, batches, config, run_folder=run_folder, resume=resume, monitor=monitor, monitor_subset=monitor_subset or "test")
    except Interrupted as interruption:
        print(f"{interruption} Its checkpoint is in {run_folder}; --resume goes on with it.")
        raise typer.Exit(128 + interruption.signal_number) from None
