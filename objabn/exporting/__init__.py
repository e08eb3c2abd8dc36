"""Ways out of objabn: a network in a file or a folder that others can use."""

from pathlib import Path
from typing import NamedTuple

from objabn.exporting.description import describe
from objabn.exporting.graphs import build_graph
from objabn.exporting.hub import write_hub_folder
from objabn.exporting.run import read_run
from objabn.files import aside
from objabn.models.network import AttentionNetwork
from objabn.models.storage import load_model, save_model

NAMES = {"safetensors": "model.safetensors", "onnx": "model.onnx", "pt2": "model.pt2", "hub": "hub"}
"""What an export is called unless it is given a name."""


class Export(NamedTuple):
    """What was written."""

    path: Path
    """The file, or the folder of format `hub`."""
    checkpoint: str | None
    """Which of a run's it is, `best` or `last`."""
    differences: dict[str, float]
    """Largest difference from PyTorch by output; empty where the weights are written as they are."""
    remark: str = ""
    """What should be known about it."""


def export(source: AttentionNetwork | Path | str, file_format: str = "safetensors", out: Path | str | None = None) -> Export:
    """Write a network, or the one that `load_model` finds at a path, as `safetensors`, `onnx`, `pt2` or `hub`.

    `onnx` and `pt2` run without objabn and are compared with PyTorch before they are written: RuntimeError where they differ.
    `hub` is a folder with a model card. `out` is otherwise in the folder of the run, or the working folder.
    """
    if file_format not in NAMES:
        raise ValueError(f"There is no format {file_format!r}; choose one of {', '.join(NAMES)}.")
    run = read_run(Path(source)) if isinstance(source, Path | str) else None
    net = load_model(source) if isinstance(source, Path | str) else source
    path = Path(out) if out is not None else (run.folder if run else Path()) / NAMES[file_format]
    differences: dict[str, float] = {}
    if run is not None:
        net.clip_config = run.config.data
    if file_format == "safetensors":
        save_model(net, path)
    elif file_format == "hub":
        write_hub_folder(path, net, run)
    else:
        content, differences = build_graph(net, file_format, describe(net))
        with aside(path) as file:
            file.write(content)
    has_no_numbers = file_format == "hub" and run is not None and run.evaluation is None
    remark = f"Its card has no numbers; `objabn evaluate {source}` makes them." if has_no_numbers else ""
    return Export(path, run.checkpoint if run else None, differences, remark)
