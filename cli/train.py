"""`objabn train`: recipe, flags and --set make the settings; dataset, loader, network and `fit` do the rest."""

from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.completion import complete_backbone, complete_dataset, complete_setting, complete_system
from cli.compose import default_run_folder, with_flags
from cli.dry_run import GIVEN, setting_names, show
from cli.places import DataOption, dataset_folder, dataset_name, is_same_dataset
from cli.processes import joined
from objabn.config import Config, LossConfig
from objabn.machine import is_restarted, launched
from objabn.recipes import recipe as named_recipe
from objabn.recipes import sources
from objabn.settings import override

if TYPE_CHECKING:
    from objabn.data.dataset import PackedDataset


SettingsOption = Annotated[
    list[str] | None, typer.Option("--set", help="Any setting: section.name=value.", autocompletion=complete_setting)
]


class Loader(StrEnum):
    """What reads the clips."""

    dali = "dali"
    reader = "reader"


def train(
    dataset: Annotated[str, typer.Argument(help="Name or folder of a packed dataset.", autocompletion=complete_dataset)],
    *,
    heads: Annotated[int | None, typer.Option(help="Attention maps: 1 (M_o) or 3 (M_u, M_o, M_b).")] = None,
    system: Annotated[str | None, typer.Option(help="object_abn or another; Tab lists them.", autocompletion=complete_system)] = None,
    backbone: Annotated[str | None, typer.Option(help="For example x3d_m, or a timm name.", autocompletion=complete_backbone)] = None,
    recipe: Annotated[str, typer.Option(help="default; paper: the literal reading; small: without a GPU; best: sharper maps.")] = "default",
    epochs: Annotated[int | None, typer.Option(help="Passes over the training videos.")] = None,
    batch: Annotated[int | None, typer.Option(help="Clips of one step.")] = None,
    weights: Annotated[str | None, typer.Option(help="kinetics400, imagenet, a file, a run, or none.")] = None,
    finetune: Annotated[str | None, typer.Option(help="A run or model file to begin with; its classes may be others.")] = None,
    fold: Annotated[int | None, typer.Option(help="Official split.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:1.")] = None,
    loader: Annotated[Loader | None, typer.Option(help="reader needs no DALI.")] = None,
    pc: Annotated[bool | None, typer.Option("--pc/--no-pc", help="Prototype conformity loss.")] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; otherwise runs/NAME-backbone-systemHEADS.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of clips, initial weights and dropout.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run, or begin it.")] = False,
    settings: SettingsOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show all settings and touch nothing.")] = False,
    data: DataOption = Path("data"),
) -> None:
    """Train a network on a packed dataset and evaluate it.

    Example: objabn train ucf101 --heads 3
    """
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
    if out is None or not (resume and is_begun(out)):
        # A run that goes on asks nothing of the network it once began with, which may be gone.
        config, origin = begin(dataset, data, recipe, finetune=finetune, flags=flags, settings=settings or [])
    run_folder = out or default_run_folder(config)
    if resume and is_begun(run_folder):
        config, origin = go_on(run_folder, dataset, data, flags=flags, settings=settings or [])
    if not dry_run:
        with joined(config.run.device):
            run(config, run_folder, data, resume=resume)
    elif launched().rank == 0:
        show(config, origin, run_folder)


def begin(
    dataset: str, data: Path, recipe: str, *, finetune: str | None, flags: dict[str, Any], settings: list[str]
) -> tuple[Config, dict[str, str]]:
    """Return the settings of a new run and where they come from: recipe, network it begins with, flags, --set; the last holds."""
    other = asked_for("model.system", given(flags), settings)
    start = {} if finetune is None else finetuned(finetune, flags["model.weights"], other)
    name = dataset_name(dataset, data)
    # Which parts make a recipe depends on maps and system, by whatever way these were asked for.
    heads, system = (asked_for(path, start | given(flags), settings) for path in ("model.heads", "model.system"))
    choice: dict[str, Any] = {"heads": int(heads) if str(heads).isdigit() else 1, "system": str(system or "object_abn")}
    begun = with_flags(named_recipe(name, recipe, **choice), start, [])
    origin = sources(name, recipe, **choice) | dict.fromkeys(start, f"the network of --finetune {finetune}")
    return with_flags(begun, flags | {"data.dataset": dataset}, settings), origin | of_the_command_line(flags, settings)


def given(flags: dict[str, Any]) -> dict[str, Any]:
    """Return the flags that were given."""
    return {path: value for path, value in flags.items() if value is not None}


def of_the_command_line(flags: dict[str, Any], settings: list[str]) -> dict[str, str]:
    """Return the source of what flags and --set name."""
    return dict.fromkeys(["data.dataset", *given(flags), *(text.partition("=")[0].strip() for text in settings)], GIVEN)


def asked_for(path: str, flags: dict[str, Any], settings: list[str]) -> Any:
    """Return the value of a setting that flags and --set ask for, the last holding; None where neither does."""
    assigned = [value.strip() for name, _, value in (text.partition("=") for text in settings) if name.strip() == path]
    return assigned[-1] if assigned else flags.get(path)


def finetuned(path: str, weights: str | None, system: str | None) -> dict[str, Any]:
    """Return the settings by which a run begins with the network in a model file: those of its make, and where its weights are.

    Another `system` than the file's begins with its backbone alone.
    """
    from objabn.models.finetuning import architecture
    from objabn.models.model_files import model_file, read_description

    if weights is not None:
        raise ValueError(f"--finetune {path} begins with the weights of that network; leave --weights {weights} out, or --finetune.")
    make = architecture(read_description(model_file(path)))
    if system not in (None, make["system"]):
        return {"model.backbone": make["backbone"], "model.weights": path}
    return {f"model.{name}": value for name, value in make.items()} | {"model.weights": path, "model.replace_classes": True}


def is_begun(run_folder: Path) -> bool:
    """Say whether the folder holds the settings of a run."""
    return (run_folder / "config.json").exists()


def go_on(run_folder: Path, dataset: str, data: Path, *, flags: dict[str, Any], settings: list[str]) -> tuple[Config, dict[str, str]]:
    """Return the settings of a run that is to go on and where they come from; ValueError where it was begun on another dataset."""
    from objabn.training.run_folder import read_config

    begun = read_config(run_folder)
    if not is_same_dataset(begun.data.dataset, dataset, data):
        raise ValueError(
            f"{run_folder} was begun on {begun.data.dataset} and cannot go on with {dataset}; name that dataset, or choose another --out."
        )
    origin = dict.fromkeys(setting_names(begun), f"the run in {run_folder}")
    return with_flags(begun, flags, settings), origin | of_the_command_line(flags, settings)


def run(config: Config, run_folder: Path, data: Path, *, resume: bool) -> None:
    """Train, then evaluate the best checkpoint, or the last one where there is no `val`; what is done already stays as it is."""
    from cli.compose import evaluate_run, held_out_subsets, print_evaluation
    from objabn.data.dataset import open_dataset
    from objabn.files import write_json
    from objabn.training.distributed import gathered, is_main, of_main
    from objabn.training.run_folder import is_finished, is_of_this_launch, read_config

    config, run_folder = of_main((config, run_folder))
    # torchrun tells only the machine where a process had ended that it began anew.
    resume = of_main(resume or (any(gathered(is_restarted())) and is_of_this_launch(run_folder)))
    if resume and is_finished(run_folder, config) and (run_folder / "evaluation.json").exists():
        print(f"The run in {run_folder} is finished and evaluated.")
        return
    dataset = open_dataset(dataset_folder(config.data.dataset, data))
    subsets = held_out_subsets(dataset, config)
    fit_run(config, run_folder, dataset, subsets[0] if subsets else None, resume=resume)
    if subsets:
        evaluation = evaluate_run(run_folder, read_config(run_folder), dataset, subset=subsets[-1])
        if is_main():
            write_json(run_folder / "evaluation.json", evaluation.to_dict())
        print_evaluation(evaluation)
    print(f"The run is in {run_folder}.")


def fit_run(config: Config, run_folder: Path, dataset: "PackedDataset", monitor_subset: str | None, *, resume: bool) -> None:
    """Train as far as the settings say; a signal ends the command with the shell's exit code for it."""
    from safetensors.torch import load_file

    from cli.compose import build_network, build_training_loader, find_run_model, loader_sentence, refuse_missing_masks
    from objabn.checkpoint import find_checkpoint
    from objabn.files import claimed
    from objabn.training.distributed import is_main
    from objabn.training.loop import fit
    from objabn.training.parts import trained_share
    from objabn.training.run_folder import consumed_samples
    from objabn.training.signals import Interrupted

    refuse_missing_masks(dataset, config)
    is_resumed = resume and find_checkpoint(run_folder) is not None
    net = build_network(config, dataset.classes, is_resumed=is_resumed)
    if net.weights_report is not None and not is_resumed:
        print(net.weights_report)
    if config.optim.freeze:
        print(trained_share(net, config.optim.freeze))
    if is_resumed and config.run.cache_features != "off":
        # Features are those of the stem that the run began with.
        net.load_state_dict(load_file(find_run_model(run_folder, "last")[0]))
    start_sample = consumed_samples(run_folder) if is_resumed else 0
    batches = build_training_loader(net, dataset, config, subset="train", start_sample=start_sample)
    print(loader_sentence(batches.description))
    if batches.description.get("clips_per_second"):
        # The place that was found by trial is kept in the settings of the run: for its other loaders, and for later sessions.
        config = override(config, f"data.decode={batches.description['place']}")
    monitor: Any = None if monitor_subset is None else build_training_loader(net, dataset, config, subset=monitor_subset)
    try:
        with claimed(run_folder) if is_main() else nullcontext():
            fit(net, batches, config, run_folder=run_folder, resume=resume, monitor=monitor, monitor_subset=monitor_subset or "test")
    except Interrupted as interruption:
        print(f"{interruption} Its checkpoint is in {run_folder}; --resume goes on with it.")
        raise typer.Exit(128 + interruption.signal_number) from None
