"""A complete network as the start of another one: of all of it where both are of the same make, of its backbone for another system."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from objabn.config import ModelConfig
from objabn.models.backbone import Backbone
from objabn.models.model_files import read_description
from objabn.models.network import AttentionNetwork
from objabn.models.weights import WeightsReport, shorten
from objabn.settings import from_dict

ARCHITECTURE = (
    *("backbone", "system", "heads", "cut", "attention_blocks", "class_head", "map_kernel", "apply"),
    *("merge_activation", "temporal", "hidden_channels"),
)
"""Settings of `model` that say which layers there are and what they compute."""


def architecture(description: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of `ARCHITECTURE` of the network that a model file describes."""
    config = from_dict(description["config"], ModelConfig)
    return {name: getattr(config, name) for name in ARCHITECTURE}


def load_complete(net: AttentionNetwork, path: Path, *, replace_classes: bool) -> WeightsReport:
    """Load a model file into a new network of the same make, and report what was taken.

    With `replace_classes` the layers that depend on the number of classes stay new, unless the classes are known to be
    the same. ValueError for another make, and for other classes without `replace_classes`.
    """
    description = read_description(path)
    refuse_other_make(net.config, architecture(description), path)
    are_known = net.class_names is not None and description["class_names"] is not None
    is_same = list(net.class_names or ()) == description["class_names"] if are_known else net.classes == description["classes"]
    if not is_same and not replace_classes:
        raise ValueError(
            f"{path} tells apart {classes_text(description)}, which are not the classes here; `objabn train DATASET --finetune {path}` "
            "(model.replace_classes=true) begins the layers that depend on them afresh and takes the others."
        )
    replaced = net.class_layers if replace_classes and not (are_known and is_same) else ()
    taken = {name: value for name, value in load_file(path).items() if not any(name.startswith(f"{layer}.") for layer in replaced)}
    refuse_other_length(net, taken, path, clip_frames=description["clip_frames"])
    net.load_state_dict(net.state_dict() | taken)
    return WeightsReport(
        source=str(path), tensors=len(taken), classes=net.classes, classes_in_file=description["classes"], replaced=replaced
    )


def is_of_other_system(config: ModelConfig, path: Path) -> bool:
    """Say whether a model file holds another attention system on the same backbone."""
    theirs = architecture(read_description(path))
    return theirs["backbone"] == config.backbone and theirs["system"] != config.system


def load_backbone_of(backbone: Backbone, path: Path) -> WeightsReport:
    """Load the backbone of a complete network; its classifier begins afresh, and all of a head that the other system did without."""
    own, prefix = backbone.state_dict(), "backbone."
    state = {name.removeprefix(prefix): value for name, value in load_file(path).items() if name.startswith(prefix)}
    taken = {name: value for name, value in state.items() if name in own and not name.startswith(f"{backbone.classifier}.")}
    replaced = sorted({name.rpartition(".")[0] for name in own.keys() - taken.keys()})
    backbone.load_state_dict(own | taken)
    description = read_description(path)
    return WeightsReport(
        source=f"the backbone of {path}",
        tensors=len(taken),
        classes=own[f"{backbone.classifier}.weight"].shape[0],
        classes_in_file=description["classes"],
        replaced=tuple(replaced),
        is_of_other_system=True,
    )


def refuse_other_make(config: ModelConfig, theirs: dict[str, Any], path: Path) -> None:
    """Raise ValueError naming the settings that would have to be those of the file."""
    other = [f"model.{name}={value}" for name, value in theirs.items() if value != getattr(config, name)]
    if other:
        raise ValueError(
            f"{path} is a network of another make: it has {', '.join(other)}; set the same, "
            "begin with `objabn train DATASET --finetune`, which does, or give weights of the backbone alone."
        )


def refuse_other_length(net: AttentionNetwork, taken: dict[str, Tensor], path: Path, *, clip_frames: int) -> None:
    """Raise ValueError where layers were built for another number of frames."""
    own = net.state_dict()
    other = sorted(name for name, value in taken.items() if own[name].shape != value.shape)
    if other:
        raise ValueError(
            f"{path} was built for clips of {clip_frames} frames and this network for {net.clip_frames}, which {shorten(other)} "
            f"cannot be: set data.clip_frames={clip_frames}."
        )


def classes_text(description: dict[str, Any]) -> str:
    """Return how many classes a model file is for, and the first of them."""
    names: Sequence[str] = description["class_names"] or ()
    examples = f" ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})" if names else ""
    return f"{description['classes']} classes{examples}"
