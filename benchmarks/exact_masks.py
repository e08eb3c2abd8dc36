"""Maps beside masks that somebody drew, and beside the segmenter whose masks the networks learnt from: how much of its ceiling they reach.

python -m benchmarks.exact_masks VIDEOS MASKS RUN... --segmenter FILE --method gradcam, where VIDEOS is a folder of class folders (their
names do not matter) and MASKS holds masks for all of them, as of `objabn masks --from`. Each run sees clips spread over every video,
cut by its own settings but for --stride; each map is measured on the run's grid in frames where something is drawn.
"""

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from objabn.checkpoint import find_model
from objabn.comparison.measuring import Measuring, draw, draw_own, place_of
from objabn.config import Config
from objabn.data import sources
from objabn.data.dataset import PackedDataset, open_dataset
from objabn.data.pack import pack
from objabn.data.reader import reader
from objabn.data.segment import import_masks, segment
from objabn.data.yolo import ultralytics_segmenter
from objabn.files import write_json
from objabn.metrics import THRESHOLD
from objabn.metrics.overlap import cells_iou
from objabn.models.network import AttentionNetwork
from objabn.models.storage import load_model
from objabn.settings import override
from objabn.training.run_folder import read_config
from objabn.types import Batch

SHOWN = ("entropy", "mask_iou", "soft_iou", "pointing")
SEGMENTER = "the segmenter"


class Packed(NamedTuple):
    """The same frames twice, with drawn masks and with those of a segmenter."""

    drawn: PackedDataset
    segmented: PackedDataset


def main(words: Sequence[str] | None = None) -> None:
    """Measure all runs and print a row for each map, and one for the segmenter on each grid."""
    options = parse(words)
    with tempfile.TemporaryDirectory() as folder:
        packed = pack_both(options.videos, options.masks, options.segmenter, Path(folder))
        rows = [row for run in options.runs for row in rows_of(run, packed, options)]
    table = Table("run", "map", *SHOWN, "frames")
    for row in rows:
        table.add_row(row["run"], row["map"], *(f"{row[name]:.3f}" if name in row else "" for name in SHOWN), str(row["frames"]))
    Console(width=120).print(table)
    if options.json:
        write_json(options.json, rows)


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.exact_masks", description=__doc__)
    parser.add_argument("videos", type=Path)
    parser.add_argument("masks", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--segmenter", required=True, help="a segmenter of `objabn masks`")
    parser.add_argument("--method", default="", help="explainers beside the networks' own maps, with commas between them")
    parser.add_argument("--clips", type=int, default=1, help="of each video")
    parser.add_argument("--stride", type=int, default=0, help="frames from one of a clip to the next; otherwise the run's")
    parser.add_argument("--json", type=Path)
    return parser.parse_args(words)


def pack_both(videos: Path, masks: Path, segmenter: str, folder: Path) -> Packed:
    """Pack the videos twice; the segmenter sees the packed frames, as it does before a training."""
    listing = sources.folder(videos)
    for name in Packed._fields:
        pack(listing, folder / name, workers=1)
    import_masks(open_dataset(folder / "drawn"), masks)
    found, description = ultralytics_segmenter(segmenter)
    segment(open_dataset(folder / "segmented"), found, description=description)
    return Packed(*(open_dataset(folder / name) for name in Packed._fields))


def rows_of(run: Path, packed: Packed, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return a row for each map of a run, and one for the segmenter."""
    model = find_model(run)
    if model is None:
        raise FileNotFoundError(f"{run} has no checkpoint; name the folder of a run.")
    config = override(read_config(run), f"data.views={options.clips},1", "data.loader=reader", "optim.batch=1", "optim.accumulate=1")
    config = override(config, f"data.stride_frames={options.stride}") if options.stride else config
    settings = Measuring(methods=tuple(name for name in options.method.split(",") if name), measures=SHOWN)
    return measure_run(run.name, load_model(model[0]), packed, config, settings)


def measure_run(name: str, net: AttentionNetwork, packed: Packed, config: Config, settings: Measuring) -> list[dict[str, Any]]:
    """Measure every map on clip after clip; the means are over clips."""
    found: dict[str, dict[str, list[float]]] = {}
    frames = 0
    for batch, segmented in zip(*(clips_of(dataset, config) for dataset in packed), strict=True):
        frames += int(batch.mask_valid.sum())
        for row, values in measure_clip(net, batch, settings):
            for quantity, value in values.items():
                found.setdefault(row, {}).setdefault(quantity, []).append(value)
        ceiling = cells_iou(segmented.mask >= THRESHOLD, batch.mask >= THRESHOLD, batch.mask_valid)
        found.setdefault(SEGMENTER, {}).setdefault("mask_iou", []).append(float(ceiling))
    means = {row: {quantity: float(np.nanmean(values)) for quantity, values in columns.items()} for row, columns in found.items()}
    return [{"run": name, "map": row, **values, "frames": frames} for row, values in means.items()]


def clips_of(dataset: PackedDataset, config: Config) -> Iterator[Batch]:
    """Yield the clips of all videos one by one."""
    return iter(reader(dataset, config, subset="test", rows=np.arange(len(dataset))))


def measure_clip(net: AttentionNetwork, batch: Batch, settings: Measuring) -> Iterator[tuple[str, Mapping[str, float]]]:
    """Yield each map's name with what it is worth on one clip."""
    for method in settings.methods:
        drawn = draw_own(net, batch, settings)[0] if method == "attention" else draw(net, batch, method, settings)
        values = place_of(drawn, batch, settings)
        for place, name in enumerate(drawn.names):
            yield name, {quantity: float(values[quantity][0, place]) for quantity in SHOWN}


if __name__ == "__main__":
    main()
