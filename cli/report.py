"""`objabn report`: one HTML file that shows runs: numbers, clips with their maps, classes, curves, settings."""

import dataclasses
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.completion import complete_dataset, complete_run
from cli.evaluate import Checkpoint, Subset
from cli.places import DataOption, dataset_folder
from cli.train import Loader

if TYPE_CHECKING:
    from objabn.config import Config
    from objabn.data.dataset import PackedDataset
    from objabn.evaluation import Evaluation
    from objabn.reporting import Predictions, ShownClip

CLIPS_AT_ONCE = 4


def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs, side by side.", autocompletion=complete_run)],
    *,
    out: Annotated[Path | None, typer.Option(help="Otherwise report.html in the run's folder, or beside the first of several.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Another dataset with the same classes.", autocompletion=complete_dataset)] = None,
    subset: Annotated[Subset | None, typer.Option(help="Otherwise test, or val where there is no test.")] = None,
    checkpoint: Annotated[Checkpoint | None, typer.Option(help="Otherwise best, or last where there is no best.")] = None,
    clips: Annotated[int, typer.Option(min=0, help="Videos in the gallery, at most.")] = 12,
    method: Annotated[str, typer.Option(help="Maps in the gallery: attention, gradcam, ... with commas between them.")] = "attention",
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:1.")] = None,
    loader: Annotated[Loader | None, typer.Option(help="reader needs no DALI.")] = None,
    data: DataOption = Path("data"),
) -> None:
    """Show runs in one HTML file that needs nothing else: results, playing clips with their maps, classes, curves, settings.

    What each network says of every video is kept in RUN/predictions.json. Example: objabn report runs/demo
    """
    from cli.compose import held_out_subsets, with_flags
    from cli.processes import refuse_ranks
    from objabn.data.dataset import open_dataset
    from objabn.explainers import find_method
    from objabn.training.run_folder import read_config

    refuse_ranks("report")
    methods = [name.strip() for name in method.split(",")]
    for name in methods:
        find_method(name)
    flags = {"data.dataset": dataset, "data.loader": None if loader is None else loader.value, "run.device": device}
    configs = [with_flags(read_config(run), flags, []) for run in runs]
    opened = {name: open_dataset(dataset_folder(name, data)) for name in dict.fromkeys(config.data.dataset for config in configs)}
    packed = [opened[config.data.dataset] for config in configs]
    chosen = subset.value if subset else "".join(held_out_subsets(packed[0], configs[0])[-1:]) or "test"
    found = [
        stored_predictions(run, config, its_data, chosen, checkpoint) for run, config, its_data in zip(runs, configs, packed, strict=True)
    ]
    path = out or (runs[0] / "report.html" if len(runs) == 1 else runs[0].parent / "report.html")
    write_report(path, runs, configs, packed, found, clips=clips, methods=methods)
    print(f"Written to {path} ({path.stat().st_size / 1e6:.1f} MB); open it in a browser.")


def stored_predictions(run: Path, config: "Config", dataset: "PackedDataset", subset: str, checkpoint: str | None) -> "Predictions":
    """Return what a run says of every video of a subset: as it is stored, or evaluated now."""
    from cli.compose import find_run_model
    from objabn.reporting import read_predictions, source_of

    path, name = find_run_model(run, checkpoint)
    stored = read_predictions(run / "predictions.json", source_of(path, name, dataset, config, subset))
    return stored or evaluate_and_store(run, config, dataset, subset, checkpoint)[1]


def evaluate_and_store(
    run: Path, config: "Config", dataset: "PackedDataset", subset: str, checkpoint: str | None = None
) -> "tuple[Evaluation, Predictions]":
    """Evaluate a run and keep what it says of every video in predictions.json."""
    from cli.compose import evaluate_run, find_run_model
    from objabn.reporting import ScoreKeeper, source_of, write_predictions

    path, name = find_run_model(run, checkpoint)
    keeper = ScoreKeeper()
    evaluation = evaluate_run(run, config, dataset, subset=subset, checkpoint=checkpoint, watch=keeper.watch)
    predictions = keeper.predictions(evaluation, dataset, source_of(path, name, dataset, config, subset))
    write_predictions(run / "predictions.json", predictions)
    return evaluation, predictions


def write_report(
    path: Path,
    runs: Sequence[Path],
    configs: "Sequence[Config]",
    datasets: "Sequence[PackedDataset]",
    predictions: "Sequence[Predictions]",
    *,
    clips: int = 12,
    methods: Sequence[str] = ("attention",),
) -> None:
    """Write the page of runs whose videos are evaluated; at most so many of them are shown."""
    import json

    from objabn import __version__
    from objabn.files import write_text
    from objabn.reporting import ReportedRun, choose_videos, refuse_different, report_data, report_page
    from objabn.training.logging import read_records
    from objabn.training.run_folder import read_config

    refuse_different([str(run) for run in runs], predictions)
    chosen = choose_videos(predictions, clips) if clips else {}
    reported = []
    for run, config, dataset, of_run in zip(runs, configs, datasets, predictions, strict=True):
        environment = run / "environment.json"
        reported.append(
            ReportedRun(
                name=run.resolve().name,
                config=read_config(run),
                records=read_records(run / "log.jsonl"),
                environment=json.loads(environment.read_text()) if environment.is_file() else {},
                predictions=of_run,
                clips=shown_clips(run, config, dataset, list(chosen), of_run.source["checkpoint"], methods),
            )
        )
    made = f"objabn {__version__}, {datetime.now().astimezone():%Y-%m-%d %H:%M}"
    write_text(path, report_page(report_data(reported, chosen=chosen, made=made)))


def shown_clips(
    run: Path, config: "Config", dataset: "PackedDataset", rows: list[int], checkpoint: str, methods: Sequence[str]
) -> "dict[int, ShownClip]":
    """Return the centre clips of these videos with their maps."""
    if not rows:
        return {}
    import numpy as np

    from cli.compose import build_loader, find_run_model, with_bar
    from objabn.models.storage import load_model
    from objabn.reporting import gallery_clips
    from objabn.training.precision import resolve_device

    net = load_model(find_run_model(run, checkpoint)[0]).to(resolve_device(config.run.device))
    # Batches of training may be too large for the gradients of an explainer, and one here is mostly padding.
    optim = dataclasses.replace(config.optim, batch=min(config.optim.batch, CLIPS_AT_ONCE), accumulate=1)
    single = dataclasses.replace(config, data=dataclasses.replace(config.data, views=(1, 1)), optim=optim)
    batches = build_loader(dataset, single, subset="test", rows=np.array(rows))
    return dict(gallery_clips(net, with_bar(batches, "clips to show"), dataset, single, methods))
