"""Where settings, data, loader and network meet: what several commands share."""

import dataclasses
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.progress import size_text
from objabn.config import Config, DataConfig
from objabn.settings import override

if TYPE_CHECKING:
    from objabn.data.dataset import PackedDataset
    from objabn.data.sampling import ClipPlan
    from objabn.data.schedule import ClipLoader, Rows
    from objabn.evaluation import Evaluation
    from objabn.models.network import AttentionNetwork
    from objabn.training.session import Batches
    from objabn.types import Batch, Output


def with_flags(config: Config, flags: dict[str, Any], assignments: list[str]) -> Config:
    """Return the config with the flags that were given, named `section.name`, and then every --set."""
    given = [f"{path}={value}" for path, value in flags.items() if value is not None]
    return override(config, *given, *assignments)


def default_run_folder(config: Config) -> Path:
    """Return ./runs/NAME-backbone-systemHEADS."""
    model = config.model
    return Path("runs") / f"{Path(config.data.dataset).name.removesuffix('.csv')}-{model.backbone}-{model.system}{model.heads}"


def has_dali() -> bool:
    """Say whether DALI is installed, without importing it."""
    return find_spec("nvidia") is not None and find_spec("nvidia.dali") is not None


def build_loader(
    dataset: "PackedDataset", config: Config, *, subset: str, start_sample: int = 0, **once: "Rows | ClipPlan | None"
) -> "ClipLoader":
    """Return the loader the config asks for, of this rank's clips; `once` is `rows` or `clips` to be read once, instead of the subset."""
    from objabn.training.distributed import rank, world

    own: dict[str, Any] = {"subset": subset, "start_sample": start_sample, "rank": rank(), "world": world(), **once}
    if config.data.loader == "dali":
        if not has_dali():
            raise RuntimeError("NVIDIA DALI is not installed; install objabn[cuda13], or take --loader reader.")
        from dali_pipelines import loader

        return loader(dataset, config, **own)
    from objabn.data.reader import reader

    return reader(dataset, config, **own)


def build_training_loader(
    net: "AttentionNetwork", dataset: "PackedDataset", config: Config, *, subset: str, start_sample: int = 0
) -> "ClipLoader":
    """Return a loader for `fit`: of clips, or of the features that the stem of the network makes of them."""
    if config.run.cache_features == "off":
        return build_loader(dataset, config, subset=subset, start_sample=start_sample)
    from cli.processes import refuse_ranks
    from objabn.feature_cache import cached_loader

    refuse_ranks("train with run.cache_features")

    def read(clips: "ClipPlan") -> "Iterator[Batch]":
        print(f"The stem sees {len(clips.video)} clips of {subset} once; its features are kept beside the dataset.")
        return with_bar(build_loader(dataset, config, subset=subset, clips=clips), f"features of {subset}")

    return cached_loader(net, dataset, config, read, subset=subset, start_sample=start_sample)


def loader_sentence(description: dict[str, Any]) -> str:
    """Return how clips are read, in words."""
    if description["loader"] == "features":
        return f"Features come from the folder features/{description['store']} of the dataset."
    places = {"cpu": "on the CPU", "hybrid": "decoded on the CPU and warped on the GPU", "gpu": "on the GPU"}
    name = {"dali": "DALI", "reader": "the reader"}[description["loader"]]
    rates = ", ".join(f"{place} {rate:.0f} clips/s" for place, rate in description.get("clips_per_second", {}).items())
    threads = "1 thread" if description["threads"] == 1 else f"{description['threads']} threads"
    return (
        f"Clips come from {name} {places[description['place']]}{f' (tried: {rates})' if rates else ''}, {threads}, "
        f"{description['prefetch']} batches ahead; they hold at most {size_text(description['pixel_bytes'])} of pixels."
    )


def build_network(config: Config, classes: tuple[str, ...], *, is_resumed: bool = False) -> "AttentionNetwork":
    """Return a new network for these classes, the same for the same seed; one to be resumed needs no weights file."""
    import torch

    from objabn.models.build import build_model

    torch.manual_seed(config.run.seed)
    model = dataclasses.replace(config.model, weights="none") if is_resumed else config.model
    size = config.data.crop_size
    net = build_model(model, classes=len(classes), clip_frames=config.data.clip_frames, clip_size=size, class_names=classes)
    net.config = config.model
    return net


def held_out_subsets(dataset: "PackedDataset", config: Config) -> list[str]:
    """Return which of val and test this dataset has, val first: the first is watched in training, the last is reported."""
    present = dataset.index.subsets(fold=config.data.fold, val_fraction=config.data.val_fraction)
    return [subset for subset in ("val", "test") if subset in present]


def refuse_missing_masks(dataset: "PackedDataset", config: Config) -> None:
    """Raise ValueError where the mask loss has nothing to learn from."""
    if config.loss.mask > 0 and config.model.system == "object_abn" and not dataset.has_masks:
        name = config.data.dataset
        raise ValueError(f"{name} has no masks, which the mask loss needs; run `objabn masks {name}`, or add --set loss.mask=0.")


def find_run_model(run: Path, checkpoint: str | None) -> tuple[Path, str]:
    """Return the model file of a run and the name of its checkpoint: the one asked for, else best, else last."""
    from objabn.checkpoint import find_model

    found = find_model(run, checkpoint)
    if found is None:
        raise FileNotFoundError(
            f"{run} has no checkpoint {checkpoint or 'best or last'}; objabn train writes one at the end of each epoch."
        )
    return found


def open_run(run: Path, checkpoint: str | None = None) -> tuple["AttentionNetwork", DataConfig]:
    """Return the network of a run folder, an exported folder or a model file, and how clips are cut for it."""
    from objabn.checkpoint import find_model
    from objabn.models.storage import load_model
    from objabn.training.run_folder import read_config

    if checkpoint is not None or find_model(run) is not None:
        return load_model(find_run_model(run, checkpoint)[0]), read_config(run).data
    net = load_model(run)
    if net.clip_config is not None:
        return net, net.clip_config
    size, stride = net.clip_size, DataConfig().stride_frames
    print(f"{run} does not say the stride of its clips; {stride} frames are assumed.")
    return net, DataConfig(clip_frames=net.clip_frames, crop_size=size, short_side=(size, size), eval_short_side=size * 8 // 7)


def evaluate_run(
    run: Path,
    config: Config,
    dataset: "PackedDataset",
    *,
    subset: str,
    checkpoint: str | None = None,
    watch: "Callable[[AttentionNetwork], Callable[[Batch, Output], None]] | None" = None,
) -> "Evaluation":
    """Evaluate a checkpoint of a run on a subset, in float32: half precision would show in the entropies.

    `watch` gets the network, and what it returns sees each batch.
    """
    from objabn.evaluation import evaluate
    from objabn.models.storage import load_model
    from objabn.settings import config_hash
    from objabn.training.run_folder import read_config
    from objabn.versions import versions

    path, name = find_run_model(run, checkpoint)
    net = load_model(path)
    refuse_other_classes(run, net, dataset)
    batches = build_loader(dataset, config, subset=subset)
    on_batch = None if watch is None else watch(net)
    evaluation = evaluate(net, with_bar(batches, f"evaluating {subset}"), device=config.run.device, on_batch=on_batch)
    videos = len(dataset.index.rows(subset, fold=config.data.fold, val_fraction=config.data.val_fraction))
    return dataclasses.replace(
        evaluation,
        dataset=dataset.name,
        subset=subset,
        checkpoint=name,
        skipped=videos - evaluation.videos,
        config_hash=config_hash(read_config(run)),
        versions=versions(),
    )


def refuse_other_classes(run: Path, net: "AttentionNetwork", dataset: "PackedDataset") -> None:
    """Raise ValueError where a dataset has not the classes of a network, or numbers one of the same name otherwise."""
    if net.classes != len(dataset.classes):
        raise ValueError(f"{run} tells {net.classes} classes apart and {dataset.name} has {len(dataset.classes)}; they must be the same.")
    numbers = {name: number for number, name in enumerate(net.class_names or ())}
    for number, name in enumerate(dataset.classes):
        if numbers.get(name, number) != number:
            raise ValueError(
                f"{name!r} is class {numbers[name]} of {run} and class {number} of {dataset.name}; pack that with lists in the run's order."
            )


def with_bar(batches: "Batches", text: str) -> "Iterator[Batch]":
    """Yield the batches under a progress bar, where there is a terminal; of several ranks the first has it."""
    from cli.progress import progress_bar
    from objabn.training.distributed import is_main

    if not is_main():
        yield from batches
        return
    with progress_bar(text, unit="batches") as on_progress:
        for number, batch in enumerate(batches, 1):
            yield batch
            on_progress(number, len(batches))


def print_evaluation(evaluation: "Evaluation") -> None:
    """Show an evaluation as a small table: one row of accuracies, one for each map."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    branch = "" if evaluation.branch_top1 is None else f"  (attention branch {evaluation.branch_top1:.2f} %)"
    views = "" if evaluation.views == 1 else f"  (single views {evaluation.clip_top1:.2f} %, {evaluation.views} a video)"
    console.print(
        f"{evaluation.subset}, {evaluation.videos} videos: top-1 {evaluation.top1:.2f} %{views}{branch}  top-5 {evaluation.top5:.2f} %",
        highlight=False,
        soft_wrap=True,
    )
    table = Table("map", "entropy (bits)", "mask IoU", "pointing", "flat frames")
    for name, bits in evaluation.entropy.items():
        overlap, pointing = (f"{values[name]:.3f}" if name in values else "" for values in (evaluation.mask_iou, evaluation.pointing))
        table.add_row(name, f"{bits:.3f}", overlap, pointing, str(evaluation.flat_frames[name]))
    console.print(table)
