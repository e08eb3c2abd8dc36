"""Complete networks in one safetensors file: weights, and everything needed to build the network again as metadata."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save

from objabn.config import ModelConfig
from objabn.files import aside
from objabn.models.build import build_model
from objabn.models.network import AttentionNetwork
from objabn.settings import from_dict, to_dict

METADATA_KEY = "objabn_model"
FORMAT = 1


def save_model(net: AttentionNetwork, path: Path | str) -> None:
    """Write a network to `path`, whole or not at all."""
    path = Path(path)
    if net.class_names is not None and len(net.class_names) != net.classes:
        raise ValueError(f"The network has {net.classes} classes but {len(net.class_names)} class names; give one name for each class.")
    description = {
        "format": FORMAT,
        "config": to_dict(net.config),
        "classes": net.classes,
        "class_names": net.class_names,
        "clip_frames": net.clip_frames,
        "clip_size": net.clip_size,
    }
    if net.stride_frames is not None:
        description["stride_frames"] = net.stride_frames
    tensors = {name: value.detach().cpu().contiguous() for name, value in net.state_dict().items()}
    with aside(path) as file:
        file.write(save(tensors, metadata={METADATA_KEY: json.dumps(description)}))


def load_model(path: Path | str) -> AttentionNetwork:
    """Build the network that `save_model` wrote to `path`, in evaluation mode; the backbone's weights file is not needed."""
    description = read_description(path)
    config: ModelConfig = from_dict(description["config"], ModelConfig)
    with torch.device("meta"):
        # Without weights of its own; what is loaded below replaces every tensor.
        net = build_model(
            dataclasses.replace(config, weights="none"),
            classes=description["classes"],
            clip_frames=description["clip_frames"],
            clip_size=description["clip_size"],
        )
    # safetensors places tensors at any address, and products of matrices round differently off an aligned one.
    net.load_state_dict({name: value.clone() for name, value in load_file(path).items()}, assign=True)
    net.to(memory_format=torch.channels_last_3d)
    net.config, net.weights_report = config, None
    net.stride_frames = description.get("stride_frames")
    names = description["class_names"]
    net.class_names = None if names is None else tuple(names)
    return net.eval()


def read_description(path: Path | str) -> dict[str, Any]:
    """Read what a file of `save_model` says about its network; any other file raises ValueError."""
    path = Path(path)
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
