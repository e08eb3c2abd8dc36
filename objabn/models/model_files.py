"""Files of complete networks: where they are, and what they say about their network without its tensors being read."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from objabn.checkpoint import find_model

METADATA_KEY = "objabn_model"
FORMAT = 1
HUB = "hf-hub:"


def model_file(path: Path | str) -> Path:
    """Return the file that holds the network of a run, of an exported folder or of a hub's; a path of anything else stays as it is."""
    if str(path).startswith(HUB):
        from huggingface_hub import hf_hub_download  # noqa: PLC0415  (slow to import, and used here only)

        return Path(hf_hub_download(str(path).removeprefix(HUB), "model.safetensors"))
    path = Path(path)
    found = find_model(path)
    if found is not None:
        return found[0]
    return path / "model.safetensors" if path.is_dir() else path


def is_complete_model(path: Path) -> bool:
    """Say whether a file holds a network with everything needed to build it, as `save_model` writes it."""
    try:
        with safe_open(path, framework="pt") as file:
            return METADATA_KEY in (file.metadata() or {})
    except (OSError, SafetensorError):
        return False


def read_description(path: Path) -> dict[str, Any]:
    """Read what a file of `save_model` says about its network; any other file raises ValueError."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no model file {path}; objabn.save_model writes one, and each run has last/model.safetensors.")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file ({error}); objabn.load_model reads files of objabn.save_model.") from error
    if METADATA_KEY not in metadata:
        raise ValueError(f"{path} is not a model of objabn; weights of a backbone are given as create_model(..., weights={str(path)!r}).")
    description: dict[str, Any] = json.loads(metadata[METADATA_KEY])
    if description["format"] != FORMAT:
        raise ValueError(
            f"{path} has format {description['format']}, but this objabn reads format {FORMAT}; install the objabn that wrote it."
        )
    return description
