"""`objabn masks`: object masks for every packed frame, from a segmenter or from one's own files."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.completion import complete_dataset
from cli.places import DataOption, dataset_folder
from cli.progress import progress_bar, size_text

if TYPE_CHECKING:
    from objabn.data.segment import MaskReport


def masks(
    dataset: Annotated[str, typer.Argument(help="Name or folder of a packed dataset.", autocompletion=complete_dataset)],
    *,
    segmenter: Annotated[str, typer.Option(help="Name of an Ultralytics segmentation network, or a .pt or .onnx file.")] = "yolo26n-seg",
    confidence: Annotated[float, typer.Option(help="Objects found with less are left out.")] = 0.5,
    own: Annotated[Path | None, typer.Option("--from", help="One's own masks: PNG folders or NPZ files per video.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")] = "auto",
    data: DataOption = Path("data"),
) -> None:
    """Make the object masks of a packed dataset; run by torchrun, every process takes a part.

    Example: objabn masks ucf101 --segmenter yolo11n-seg
    """
    from objabn.data.dataset import open_dataset

    packed = open_dataset(dataset_folder(dataset, data))
    begin = time.monotonic()
    with progress_bar(f"Masks of {packed.name}", unit="frames") as on_progress:
        if own is not None:
            from objabn.data.segment import import_masks

            report = import_masks(packed, own, on_progress=on_progress)
        else:
            from objabn.data.segment import segment
            from objabn.data.yolo import ultralytics_segmenter

            part = (int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))
            run, description = ultralytics_segmenter(segmenter, confidence=confidence, device=own_device(device, part[1]))
            report = segment(packed, run, description=description, part=part, on_progress=on_progress)
    if report is not None:
        summarise(report, packed.root, time.monotonic() - begin)


def own_device(device: str, world: int) -> str:
    """Return this process's GPU under torchrun."""
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if device in ("auto", "cuda") and world > 1 and has_gpu() else device


def has_gpu() -> bool:
    """Tell whether torch sees a GPU."""
    import torch

    return torch.cuda.is_available()


def summarise(report: "MaskReport", root: Path, seconds: float) -> None:
    """Print what the store holds."""
    share = 100 * report.found / max(1, report.frames)
    print(f"{root / 'masks'} holds {report.frames} masks, {size_text(report.bytes)}; {share:.1f} % show an object ({seconds:.0f} s).")
