"""Complete networks in one safetensors file: weights, and everything needed to build the network again as metadata."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save

from objabn.config import DataConfig, ModelConfig
from objabn.files import aside
from objabn.models.build import build_model
from objabn.models.model_files import FORMAT, METADATA_KEY, model_file, read_description
from objabn.models.network import AttentionNetwork, channels_last
from objabn.settings import HOW_CLIPS_ARE_READ, from_dict, to_dict

NOT_OF_CLIPS = ("dataset", "fold", "val_fraction", *HOW_CLIPS_ARE_READ)
"""Settings of `data` that say which videos are read and by what; the others say how clips are cut out of any video."""


def save_model(net: AttentionNetwork, path: Path | str) -> None:
    """Write a network to the file `path`, whole or not at all."""
    path = Path(path)
    if net.class_names is not None and len(net.class_names) != net.classes:
        raise ValueError(f"The network has {net.classes} classes but {len(net.class_names)} class names; give one name for each class.")
    description = {
        "format": FORMAT,
        "config": model_settings(net.config),
        "classes": net.classes,
        "class_names": net.class_names,
        "clip_frames": net.clip_frames,
        "clip_size": net.clip_size,
    }
    if net.clip_config is not None:
        description["data"] = clip_settings(net.clip_config)
    tensors = {name: value.detach().cpu().contiguous() for name, value in net.state_dict().items()}
    with aside(path) as file:
        file.write(save(tensors, metadata={METADATA_KEY: json.dumps(description)}))


def model_settings(config: ModelConfig) -> dict[str, Any]:
    """Return the settings of a network, without the place where its first weights lay."""
    return to_dict(config) | {"weights": Path(config.weights).name}


def clip_settings(data: DataConfig) -> dict[str, Any]:
    """Return the settings that say how clips are cut out of a video."""
    return {name: value for name, value in to_dict(data).items() if name not in NOT_OF_CLIPS}


def load_model(path: Path | str) -> AttentionNetwork:
    """Build a saved network, in evaluation mode; the backbone's weights file is not needed.

    `path` is a file of `save_model`, a run folder (its best network, else its last) or an exported folder; of `hf-hub:USER/NAME`
    the file is downloaded once by huggingface_hub. Only safetensors are read, so nothing in them is ever run.
    """
    path = model_file(path)
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
    channels_last(net)
    net.config, net.weights_report = config, None
    net.clip_config = from_dict(description["data"], DataConfig) if "data" in description else None
    names = description["class_names"]
    net.class_names = None if names is None else tuple(names)
    return net.eval()
