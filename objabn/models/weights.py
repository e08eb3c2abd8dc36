"""Weights of a backbone from a file: whatever wraps them, strictly, and with a report of what was done."""

import pickle
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from objabn.models.backbone import Backbone

WRAPPERS = ("model_state", "state_dict")
PREFIXES = ("module.", "model.")
NAMES_SHOWN = 4
COUNTER = ".num_batches_tracked"
"""Of batch norms; files older than PyTorch 0.4.1 have none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightsReport:
    """What was loaded, and whether the classifier had to be replaced."""

    source: str
    """The file, or `none`."""
    tensors: int
    """Tensors taken from it."""
    classes: int
    """Classes of the network."""
    classes_in_file: int | None
    """Classes of the file's classifier; None without weights."""
    replaced: tuple[str, ...] = ()
    """Layers that begin afresh, because the file's are for other classes or another system had none."""
    is_of_other_system: bool = False
    """The backbone alone was taken, of a network with another attention system."""

    def __str__(self) -> str:
        if self.classes_in_file is None:
            return "Random weights: nothing was loaded (weights=none)."
        layers = ", ".join(self.replaced)
        of_classes = f"the layers of its {self.classes_in_file} classes begin afresh for {self.classes} new ones: {layers}"
        afresh = f"these layers begin afresh: {layers}" if self.is_of_other_system else of_classes
        return f"{self.tensors} tensors from {self.source}{f'; {afresh}' if layers else ''}."


def load_weights(
    net: Backbone, weights: str, *, kinetics400: str | None, classifier: str, name: str, imagenet: str | None = None
) -> WeightsReport:
    """Load `kinetics400`, `imagenet`, a path or `none` into a backbone.

    `kinetics400` is the address of the published weights, `imagenet` the name of the network of timm that has them, `classifier`
    the layer that is replaced where the file has another number of classes, `name` the backbone's name for messages. Anything
    else that does not fit raises ValueError.
    """
    own = net.state_dict()
    classes = own[f"{classifier}.weight"].shape[0]
    if weights == "none":
        return WeightsReport(source="none", tensors=0, classes=classes, classes_in_file=None)
    content, source = fetch(weights, kinetics400=kinetics400, imagenet=imagenet, name=name)
    state = net.adapt_weights(unwrap(content, source))
    refuse_misfit(own, state, ignore=classifier, source=source, name=name)
    classes_in_file = state[f"{classifier}.weight"].shape[0]
    replaced = (classifier,) if classes_in_file != classes else ()
    taken = {key: value for key, value in state.items() if not (replaced and key.startswith(f"{classifier}."))}
    net.load_state_dict(own | taken)
    return WeightsReport(source=source, tensors=len(taken), classes=classes, classes_in_file=classes_in_file, replaced=replaced)


def fetch(weights: str, *, kinetics400: str | None, imagenet: str | None, name: str) -> tuple[Any, str]:
    """Return what `weights` means, and where it comes from; ValueError for what this backbone was never published with."""
    if weights == "kinetics400":
        if kinetics400 is None:
            other = "--weights imagenet, " if imagenet else ""
            raise ValueError(f"There are no Kinetics-400 weights of {name}; give {other}--weights PATH or --weights none.")
        return download(kinetics400), kinetics400
    if weights == "imagenet":
        if imagenet is None:
            raise ValueError(f"There are no ImageNet weights of {name}; give --weights PATH or --weights none.")
        return download_from_timm(imagenet), f"{imagenet} of timm"
    return read(Path(weights)), weights


def download(address: str) -> Any:
    """Fetch published weights once and keep them in torch.hub's cache."""
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    try:
        return torch.hub.load_state_dict_from_url(address, map_location="cpu", progress=sys.stderr.isatty(), weights_only=True)
    except OSError as error:
        file = address.rpartition("/")[-1]
        raise RuntimeError(
            f"{file} could not be downloaded from {address} ({error}); put the file into {folder}, or give --weights PATH|none."
        ) from error


def download_from_timm(network: str) -> dict[str, Tensor]:
    """Fetch the weights that timm has for a network, kept in the cache of the hub they come from."""
    import timm  # noqa: PLC0415  (slow to import, and used here only)

    try:
        state: dict[str, Tensor] = timm.create_model(network, pretrained=True).state_dict()
    except OSError as error:
        raise RuntimeError(
            f"timm could not download the weights of {network} ({error}); save its state dict where it can, and give --weights PATH|none."
        ) from error
    return state


def read(path: Path) -> Any:
    """Read a weights file without running anything that is in it."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no weights file {path}; give `kinetics400`, `imagenet`, the path of a file or a run, or `none`.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            # PyTorch wonders at pickles that it then refuses.
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # What PyTorch says here is how to load the file all the same.
        raise ValueError(
            f"{path} is no file of plain tensors, and nothing else is loaded, as it could run code; save the tensors alone by torch.save."
        ) from error
    except Exception as error:
        # Damaged bytes make readers raise anything.
        raise ValueError(f"{path} is damaged, or no weights file at all; give another file, or --weights none.") from error


def unwrap(content: Any, source: str) -> dict[str, Tensor]:
    """Take the tensors out of `model_state` or `state_dict` and off the prefixes `module.` and `model.`."""
    for wrapper in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not content or not all(isinstance(value, Tensor) for value in content.values()):
        raise ValueError(f"{source} holds no weights: expected tensors by name, alone or under {' or '.join(WRAPPERS)}.")
    while prefix := next((prefix for prefix in PREFIXES if all(key.startswith(prefix) for key in content)), None):
        content = {key.removeprefix(prefix): value for key, value in content.items()}
    return content


def refuse_misfit(own: dict[str, Tensor], state: dict[str, Tensor], *, ignore: str, source: str, name: str) -> None:
    """Raise ValueError naming what is missing, unexpected or of another shape, all but the layer `ignore` in its shape."""
    other = [key for key in own.keys() & state.keys() if own[key].shape != state[key].shape and not key.startswith(f"{ignore}.")]
    missing = {key for key in own.keys() - state.keys() if not key.endswith(COUNTER)}
    complaints = {"missing": missing, "unexpected": state.keys() - own.keys(), "of another shape": other}
    found = [f"{len(keys)} {what} ({shorten(sorted(keys))})" for what, keys in complaints.items() if keys]
    if found:
        raise ValueError(
            f"{source} does not fit {name}: of its tensors {', '.join(found)}; give weights of the same backbone, or --weights none."
        )


def shorten(names: list[str]) -> str:
    """Join the first few names."""
    return ", ".join(names[:NAMES_SHOWN]) + (", ..." if len(names) > NAMES_SHOWN else "")
