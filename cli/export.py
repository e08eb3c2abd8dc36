"""`objabn export`: a trained network as something others can use."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.completion import complete_run


class Format(StrEnum):
    """What can be written."""

    safetensors = "safetensors"
    onnx = "onnx"
    pt2 = "pt2"
    hub = "hub"


FORMAT_HELP = (
    "safetensors: for objabn.load_model; onnx: for ONNX runtimes; pt2: for PyTorch without objabn; hub: a folder with a model card."
)


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a run, or a model.safetensors.", autocompletion=complete_run)],
    *,
    file_format: Annotated[Format, typer.Option("--format", help=FORMAT_HELP)] = Format.safetensors,
    out: Annotated[Path | None, typer.Option(help="Otherwise RUN/model.FORMAT, or RUN/hub.")] = None,
) -> None:
    """Write the best network of a run, or the last one where there is no best; onnx and pt2 are compared with PyTorch first.

    Example: objabn export runs/ucf101-x3d_m-object_abn3 --format onnx
    """
    from cli.progress import size_text
    from objabn.exporting import export as write
    from objabn.exporting.graphs import TOLERANCE

    written = write(run, file_format.value, out)
    files = written.path.iterdir() if written.path.is_dir() else [written.path]
    size = size_text(sum(file.stat().st_size for file in files))
    print(f"{written.path} ({', '.join(filter(None, [written.checkpoint, size]))})")
    if written.differences:
        told = ", ".join(f"{name} {difference:.1e}" for name, difference in written.differences.items())
        print(f"Largest difference from PyTorch: {told} (allowed: {TOLERANCE:.0e} of an output's largest value, or of 1).")
    if written.remark:
        print(written.remark)
