"""The trainings of a reproduction: each in its folder, trained, measured and kept, and what they come to together."""

import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.places import dataset_folder
from objabn.config import Config
from objabn.machine import Ranks

if TYPE_CHECKING:
    from cli.reproduce import Job
    from objabn.comparison.video_table import Values
    from objabn.reproduction import RowRuns, SeedRun

MEASURES = ("entropy", "entropy_pixels", "mask_iou", "soft_iou", "pointing")


def has_gpu(device: str | None) -> bool:
    """Say whether trainings will run on a GPU."""
    from objabn.training.precision import resolve_device

    return resolve_device(device or "auto").type == "cuda"


def own_gpu(config: Config, ranks: Ranks) -> Config:
    """Return the settings with the GPU of this process, where torchrun started several on a machine with GPUs."""
    import torch

    if ranks.world == 1 or config.run.device not in ("auto", "cuda") or not torch.cuda.is_available():
        return config
    return dataclasses.replace(config, run=dataclasses.replace(config.run, device=f"cuda:{ranks.local_rank}"))


def train_run(folder: Path, config: Config, data: Path) -> None:
    """Train one row with one seed as far as it is not trained yet."""
    from cli.compose import held_out_subsets
    from cli.train import fit_run
    from objabn.data.dataset import open_dataset
    from objabn.training.run_folder import is_finished

    if is_finished(folder, config):
        return
    borrow_kernels(folder, config)
    dataset = open_dataset(dataset_folder(config.data.dataset, data))
    fit_run(config, folder, dataset, held_out_subsets(dataset, config)[0], resume=True)


def borrow_kernels(folder: Path, config: Config) -> None:
    """Begin a run with the kernels that another one of the same layers found, so that the trial of half a minute is made once."""
    from objabn.training.run_folder import read_config

    if folder.exists():
        return
    for found in sorted(folder.parents[1].glob("*/seed*/kernels.json")):
        # Another process may be about to train there.
        if (found.parent / "config.json").is_file() and shapes(read_config(found.parent)) == shapes(config):
            folder.mkdir(parents=True)
            shutil.copyfile(found, folder / "kernels.json")
            return


def shapes(config: Config) -> tuple[object, ...]:
    """Return the settings that the shapes of a network's layers and of its batches hang on."""
    model = config.model
    layers = (model.backbone, model.cut, model.system, model.heads, model.attention_blocks, model.map_kernel)
    return (*layers, config.data, config.optim.batch, config.run.amp)


def is_measured(folder: Path, config: Config, methods: tuple[str, ...], data: Path) -> bool:
    """Say whether a run has its numbers already, be its weights still there or not; ValueError where they are of other clips or masks."""
    from objabn.training.run_folder import refuse_other_settings

    path = folder / "measured.json"
    if not path.is_file():
        return False
    refuse_other_settings(folder, config)
    before, now = json.loads(path.read_text())["about"], about_run(folder, config, methods, data)
    if before["data"] != now["data"]:
        raise ValueError(f"{folder} was measured on other frames or masks than {config.data.dataset} has now; choose another --out.")
    is_same = all(before["weights"].get(name) == found for name, found in now["weights"].items())
    return is_same and before["methods"] == now["methods"]


def measure_run(folder: Path, config: Config, methods: tuple[str, ...], data: Path) -> None:
    """Measure the last epoch, and the one chosen on `val`, on the test videos, and keep that in measured.json."""
    from objabn.files import write_json
    from objabn.training.run_folder import read_progress

    about, progress = about_run(folder, config, methods, data), read_progress(folder)
    names = [name for name in ("best", "last") if name in about["weights"]]
    found = {name: measure_checkpoint(folder, config, name, methods, data) for name in names}
    chosen = {"seconds": progress["seconds"], "chosen_epoch": progress["best_epoch"]}
    write_json(folder / "measured.json", {"about": about, **chosen, "checkpoints": found})


def about_run(folder: Path, config: Config, methods: tuple[str, ...], data: Path) -> dict[str, Any]:
    """Return all that a run's numbers rest on."""
    from cli.comparing import file_hash
    from objabn.checkpoint import find_model
    from objabn.data.dataset import open_dataset

    dataset = open_dataset(dataset_folder(config.data.dataset, data))
    models = {name: find_model(folder, name) for name in ("best", "last")}
    return {
        "weights": {name: file_hash(model[0]) for name, model in models.items() if model is not None},
        "data": list(dataset.fingerprints),
        "methods": list(methods),
    }


def measure_checkpoint(folder: Path, config: Config, checkpoint: str, methods: tuple[str, ...], data: Path) -> dict[str, Any]:
    """Return the numbers of every test video, as `objabn compare` measures them."""
    from cli.comparing import measure_subject, open_subjects, plan_work
    from objabn.comparison import Measuring
    from objabn.comparison.video_table import VideoTable

    subjects = open_subjects([folder], {"run.device": config.run.device, "data.loader": config.data.loader}, checkpoint)
    settings = Measuring(methods=methods, measures=MEASURES)
    work = plan_work(subjects, settings, subset="test", videos=None, data=data, out=None)
    values = measure_subject(subjects[0], work).values
    table = VideoTable(work.videos)
    table.values = values.values
    return {"videos": table.videos, "maps": values.map_names, "grid": values.grid, "values": table.rows()}


def read_seed(job: "Job") -> "SeedRun | None":
    """Return what a training came to; None where it is not finished and measured."""
    from objabn.reproduction import SeedRun
    from objabn.reproduction.runs import read_curve

    path = job.folder / "measured.json"
    if not path.is_file():
        return None
    kept = json.loads(path.read_text())
    found = kept["checkpoints"]
    return SeedRun(
        seed=job.seed,
        map_names=tuple(found["last"]["maps"]),
        grid=tuple(found["last"]["grid"]),
        checkpoints={name: columns(each["values"]) for name, each in found.items()},
        chosen_epoch=kept["chosen_epoch"],
        curve=read_curve(job.folder),
        seconds=kept["seconds"],
    )


def columns(rows: dict[str, dict[str, list[float | None]]]) -> "Values":
    """Return numbers as arrays, NaN for what is absent."""
    import numpy as np

    return {row: {name: np.array(values, np.float64) for name, values in found.items()} for row, found in rows.items()}


def collect(jobs: "Sequence[Job]") -> "tuple[list[RowRuns], list[str]]":
    """Return the rows with the seeds that are finished, and what is missing."""
    from objabn.reproduction import RowRuns

    found = [(job, read_seed(job)) for job in jobs]
    rows = {
        job.row.name: RowRuns(row=job.row, seeds=tuple(seed for other, seed in found if other.row == job.row and seed is not None))
        for job in jobs
    }
    missing = [f"{job.row.name} seed {job.seed}" for job, seed in found if seed is None]
    return [row for row in rows.values() if row.seeds], missing


def write_pages(folder: Path, dataset: str, budget: str, jobs: "Sequence[Job]", data: Path, *, command: str) -> None:
    """Write reproduction.json, .md, .html and .svg of what is finished; of several processes the last one to end has it all."""
    from objabn.comparison.description import clip_text, machine_text
    from objabn.data.dataset import open_dataset
    from objabn.files import write_json, write_text
    from objabn.reproduction import PICTURE, html_page, markdown_page, picture, summarize
    from objabn.training.environment import hardware
    from objabn.versions import versions

    rows, missing = collect(jobs)
    if not rows:
        print("No row is finished yet.")
        return
    first = jobs[0].config.data
    packed = open_dataset(dataset_folder(dataset, data))
    facts = {
        "command": command,
        "clips": clip_text(first),
        "videos": len(packed.index.rows("test", fold=first.fold)),
        "machine": machine_text(hardware()),
        "hardware": hardware(),
        "versions": versions(),
        "missing": missing,
    }
    summary = summarize(dataset, budget, rows, facts=facts)
    write_json(folder / "reproduction.json", summary)
    write_text(folder / "reproduction.md", markdown_page(summary))
    write_text(folder / "reproduction.html", html_page(summary))
    (folder / PICTURE).unlink(missing_ok=True)
    if curves := picture(summary):
        write_text(folder / PICTURE, curves)
    left = f" ({len(missing)} runs are missing)" if missing else ""
    print(f"Written to {folder}: reproduction.json, .md and .html{left}.")
