"""How folders of runs become a comparison: what they must share, what each is measured with, and where unfinished work is kept."""

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import objabn
from cli.places import dataset_folder, is_same_dataset
from objabn.config import Config

if TYPE_CHECKING:
    from objabn.comparison import Comparison, Measuring, RunFacts
    from objabn.comparison.video_table import VideoTable
    from objabn.data.dataset import PackedDataset
    from objabn.data.schedule import Rows
    from objabn.models.network import AttentionNetwork


COUNTED = ("comparison", "explainers", "faithfulness", "metrics", "models")
"""Packages whose code decides what is measured."""


class Subject(NamedTuple):
    """A run that is compared."""

    name: str
    folder: Path
    config: Config
    weights: Path
    checkpoint: str


class Work(NamedTuple):
    """What is compared, and on which videos."""

    subjects: tuple[Subject, ...]
    dataset: "PackedDataset"
    subset: str
    rows: "Rows"
    videos_of_subset: int
    settings: "Measuring"
    out: Path | None
    """Where tables are kept; otherwise in each run's folder."""

    @property
    def videos(self) -> tuple[str, ...]:
        """Names of the videos."""
        return tuple(self.dataset.index.name(row) for row in self.rows.tolist())


def open_subjects(runs: Sequence[Path], flags: dict[str, Any], checkpoint: str | None) -> tuple[Subject, ...]:
    """Return the runs with the settings that the command line changes."""
    from cli.compose import find_run_model, with_flags
    from objabn.comparison.description import run_names
    from objabn.training.run_folder import read_config

    found = []
    for name, run in zip(run_names(runs), runs, strict=True):
        config = with_flags(read_config(run), flags, [])
        found.append(Subject(name, run, config, *find_run_model(run, checkpoint)))
    return tuple(found)


def plan_work(
    subjects: tuple[Subject, ...], settings: "Measuring", *, subset: str | None, videos: int | None, data: Path, out: Path | None
) -> Work:
    """Return what is to be measured; ValueError where runs do not share their videos."""
    from cli.compose import held_out_subsets
    from objabn.comparison.selection import spread_videos
    from objabn.data.dataset import open_dataset

    first = subjects[0]
    packed = open_dataset(dataset_folder(first.config.data.dataset, data))
    chosen = subset or "".join(held_out_subsets(packed, first.config)[-1:]) or "test"
    rows = rows_of(packed, first.config, chosen)
    for other in subjects[1:]:
        names = first.config.data.dataset, other.config.data.dataset
        if not is_same_dataset(*names, data):
            raise ValueError(
                f"{first.folder} was trained on {names[0]} and {other.folder} on {names[1]}; say with --dataset on which to compare."
            )
        if rows_of(packed, other.config, chosen).tolist() != rows.tolist():
            raise ValueError(
                f"{first.folder} and {other.folder} hold out other videos (data.fold, data.val_fraction), so that one has learnt from "
                "what the other is tested on; compare runs of one division."
            )
    return Work(subjects, packed, chosen, spread_videos(packed.index, rows, videos), len(rows), settings, out)


def rows_of(dataset: "PackedDataset", config: Config, subset: str) -> "Rows":
    """Return the videos of a subset as a run divides them."""
    return dataset.index.rows(subset, fold=config.data.fold, val_fraction=config.data.val_fraction)


def load_network(subject: Subject, dataset: "PackedDataset") -> "AttentionNetwork":
    """Return a run's network where it is to be computed."""
    from cli.compose import refuse_other_classes
    from objabn.models.storage import load_model
    from objabn.training.precision import resolve_device

    net = load_model(subject.weights)
    refuse_other_classes(subject.folder, net, dataset)
    return net.to(resolve_device(subject.config.run.device))


def cost_sentence(subject: Subject, work: Work) -> str:
    """Say how many passes of its network a run still needs, and about how long they take here."""
    from objabn.comparison.passes import passes_of_clip, seconds_of_pass

    net, views = load_network(subject, work.dataset), math.prod(subject.config.data.views)
    left = {method: views * (len(work.rows) - table.finished) for method, (_, table) in tables_of(subject, work).items()}
    passes = {method: count * passes_of_clip(net, method, work.settings) for method, count in left.items() if count}
    if not passes:
        return f"{subject.name}: measured before."
    each = ", ".join(f"{method} {count}" for method, count in passes.items())
    return (
        f"{subject.name}: about {sum(passes.values())} passes ({each}), some {time_text(seconds_of_pass(net) * sum(passes.values()))} here."
    )


def time_text(seconds: float) -> str:
    """Write a time that is only guessed."""
    minutes = seconds / 60
    return f"{max(1, round(minutes))} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def compare_subjects(work: Work, *, baseline: str, resamples: int, seed: int) -> "Comparison":
    """Measure every run, and compare them."""
    from objabn.comparison import make_comparison
    from objabn.versions import versions

    return make_comparison(
        runs=[measure_subject(subject, work) for subject in work.subjects],
        baseline=baseline,
        resamples=resamples,
        seed=seed,
        dataset=work.dataset.name,
        subset=work.subset,
        fingerprints=work.dataset.fingerprints,
        videos=work.videos,
        videos_of_subset=work.videos_of_subset,
        settings=work.settings,
        versions=versions(),
    )


def measure_subject(subject: Subject, work: Work) -> "RunFacts":
    """Return a run's numbers, measured or kept from before."""
    from cli.compose import build_loader
    from cli.progress import progress_bar
    from objabn.comparison import RunFacts, RunValues
    from objabn.comparison.description import clip_text, losses_text
    from objabn.comparison.measured_run import RunMeasurer, blocks_of
    from objabn.settings import config_hash
    from objabn.training.environment import hardware
    from objabn.training.run_folder import read_config

    tables = tables_of(subject, work)
    net, blocks = load_network(subject, work.dataset), blocks_of(subject.config)
    measurer = RunMeasurer(net, work.rows, work.settings, {method: table for method, (_, table) in tables.items()})
    missing = sum(-(-(len(work.rows) - table.finished) // blocks.videos) for _, table in tables.values())

    def save(method: str) -> None:
        path, table = tables[method]
        table.write(path)

    with progress_bar(subject.name, unit="blocks") as on_progress:
        if missing:
            batches = build_loader(work.dataset, subject.config, subset=work.subset, rows=work.rows[measurer.first_missing :])
            measurer.fill(batches, blocks, save, lambda done: on_progress(done, missing))
    values = RunValues(
        name=subject.name,
        grid=(subject.config.grid_size, subject.config.grid_size),
        map_names=net.map_names,
        values={row: columns for _, table in tables.values() for row, columns in table.values.items()},
    )
    return RunFacts(
        values=values,
        losses=losses_text(subject.config, net.map_names),
        clip=clip_text(subject.config.data),
        checkpoint=subject.checkpoint,
        config_hash=config_hash(read_config(subject.folder)),
        weights=file_hash(subject.weights),
        refusals=measurer.refusals,
        hardware=hardware(),
    )


def tables_of(subject: Subject, work: Work) -> "dict[str, tuple[Path, VideoTable]]":
    """Return the table of each method as far as it was filled before, and its file: another one for everything that could change it."""
    from objabn.comparison.measured_run import blocks_of
    from objabn.comparison.video_table import VideoTable, table_name
    from objabn.models.storage import clip_settings
    from objabn.settings import to_dict
    from objabn.training.environment import hardware
    from objabn.versions import versions

    data = subject.config.data
    about = {
        "weights": file_hash(subject.weights),
        "dataset": work.dataset.fingerprints,
        "videos": work.videos,
        "clips": clip_settings(data) | {"loader": data.loader},
        "blocks": blocks_of(subject.config),
        "settings": to_dict(work.settings) | {"methods": None},
        "device": subject.config.run.device,
        "hardware": hardware(),
        "versions": versions(),
        "code": code_hash(),
    }
    folder = work.out or subject.folder / "comparison"
    paths = {method: folder / table_name(method, about) for method in work.settings.methods}
    return {method: (path, VideoTable.read(path, work.videos)) for method, path in paths.items()}


def code_hash() -> str:
    """Return the SHA-256 of the modules that make numbers: in a checkout they change between versions."""
    root = Path(objabn.__file__).parent
    paths = sorted(path for package in COUNTED for path in (root / package).rglob("*.py"))
    return hashlib.sha256("".join(map(file_hash, paths)).encode()).hexdigest()


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
