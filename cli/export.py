"""`objabn export`: a trained network as one file."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    """What can be written."""

    safetensors = "safetensors"


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    *,
    file_format: Annotated[Format, typer.Option("--format", help="Weights and settings in one file.")] = Format.safetensors,
    out: Annotated[Path | None, typer.Option(help="Otherwise RUN/model.FORMAT.")] = None,
) -> None:
    """Write the best network of a run, or the last one where there is no best, as one file for `objabn.load_model`.

    Example: objabn export runs/ucf101-x3d_m-object_abn3 --out object_abn.safetensors
    """
    from cli.compose import find_run_model
    from objabn.models.storage import load_model, save_model
    from objabn.training.run_folder import read_config

    model, checkpoint = find_run_model(run, None)
    path = out or run / f"model.{file_format.value}"
    net = load_model(model)
    net.stride_frames = read_config(run).data.stride_frames
    save_model(net, path)
    print(f"{path} ({checkpoint})")
