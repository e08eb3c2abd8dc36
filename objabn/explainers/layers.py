"""Which layer to look at: the one asked for, or the last whose features have places that the answer depends on."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from objabn.explainers.grids import volume_of
from objabn.explainers.hooks import Outputs, captured, gradients
from objabn.explainers.subject import Subject, Volume
from objabn.models.network import AttentionNetwork, evaluating

ATTENDED = "attended"
"""The layer that the maps of a network here lie on: behind its cut."""


class Layer(NamedTuple):
    """A module and how its output becomes (B, C, T', y, x)."""

    name: str
    volume: Volume


def find_layer(subject: Subject, clip_BCTYX: Tensor) -> Layer:
    """Return the layer of a subject.

    Unless it names one: of a network here, the last stage (with attention across places, the block before the last); of another,
    the last module on its way from clip to answer whose output has rows and columns, all found by one pass over the first clip.
    "attended" is the stage behind the cut. Raises ValueError where there is no such module, or none with places.
    """
    net, name = subject.net, subject.layer
    if isinstance(net, AttentionNetwork) and name in (None, ATTENDED):
        backbone = net.backbone
        name = f"backbone.{backbone.explained_name if name is None else backbone.stage_names[backbone.cut - 1]}"
        return Layer(name, backbone.volume)
    if name is None:
        return last_layer(subject, clip_BCTYX[:1])
    check_name(net, name)
    return Layer(name, subject.volume or volume_for(subject, name, clip_BCTYX))


def check_name(net: nn.Module, name: str) -> None:
    """Raise ValueError where a network has no module of a name."""
    names = [known for known, _ in net.named_modules() if known]
    if name not in names:
        parent = name.rpartition(".")[0]
        near = [known for known in names if known.rpartition(".")[0] == parent] or [known for known in names if "." not in known]
        raise ValueError(f"There is no layer {name!r}; here are {', '.join(near[:12])}{', ...' if len(near) > 12 else ''}.")


def volume_for(subject: Subject, name: str, clip_BCTYX: Tensor) -> Volume:
    """Return how the output of a module becomes (B, C, T', y, x): as its backbone says, or found out from its shape."""
    net = subject.net
    if isinstance(net, AttentionNetwork) and name.removeprefix("backbone.") in net.backbone.stage_names:
        return net.backbone.volume

    def volume(output: Any, clips: int) -> Tensor:
        found = located(subject, output, clips, clip_BCTYX)
        if found is None:
            raise ValueError(
                f"What {name} gives has no frames, rows and columns that could be recognised; choose another layer, or give `volume`, "
                "a function of its output and the number of clips that returns (B, C, T, y, x)."
            )
        return found

    return volume


def located(subject: Subject, output: Any, clips: int, clip_BCTYX: Tensor) -> Tensor | None:
    """Return what a module gave as (B, C, T', y, x), or None; tokens lie on the grid of the network's first convolution."""
    size_TYX = (clip_BCTYX.shape[2], clip_BCTYX.shape[3], clip_BCTYX.shape[4])
    found = volume_of(output, clips, size_TYX=size_TYX)
    if found is None and isinstance(output, Tensor) and output.ndim == 3:
        found = volume_of(output, clips, size_TYX=size_TYX, patches_TYX=patch_grid(subject, clip_BCTYX[:1]))
    return found


class FirstConvolutionError(Exception):
    """Ends a pass that has seen what it was made for."""


def patch_grid(subject: Subject, clip_BCTYX: Tensor) -> tuple[int, int, int] | None:
    """Return frames, rows and columns behind the first convolution that a network calls; None where it calls none."""
    grids: list[tuple[int, int, int]] = []

    def note(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        sides = output.shape[2:]
        grids.append((1, sides[0], sides[1]) if len(sides) == 2 else (sides[0], sides[1], sides[2]))
        raise FirstConvolutionError

    convolutions = [module for module in subject.net.modules() if isinstance(module, nn.Conv2d | nn.Conv3d)]
    handles = [module.register_forward_hook(note) for module in convolutions]
    try:
        with torch.no_grad(), evaluating(subject.net):
            subject.scores(clip_BCTYX)
    except FirstConvolutionError:
        return grids[0]
    finally:
        for handle in handles:
            handle.remove()
    return None


def last_layer(subject: Subject, clip_BCTYX: Tensor) -> Layer:
    """Return the last module on the way of one clip with rows and columns on which the predicted class depends."""
    names = [name for name, _ in subject.net.named_modules() if name]
    with torch.inference_mode(mode=False), torch.enable_grad(), evaluating(subject.net), captured(subject.net, names) as outputs:
        scores_BK = subject.scores(clip_BCTYX)
    slopes = gradients(scores_BK.max(), list(outputs.values()))
    places = {name: places_of(subject, slope, clip_BCTYX) for name, slope in zip(outputs, slopes, strict=True)}
    found = search(subject.net, "", outputs, places)
    if found is None:
        raise ValueError(f"No layer of {type(subject.net).__name__} has rows and columns on which the answer depends; name one.")
    return Layer(found, volume_for(subject, found, clip_BCTYX))


class Places(NamedTuple):
    """What is known of the places in a module's output."""

    is_reduced: bool
    """Their grid is coarser than the clip."""
    matter: bool
    """The answer depends on them."""


def places_of(subject: Subject, slope: Any, clip_BCTYX: Tensor) -> Places | None:
    """Return what is known of a module's places; None where it has no rows and columns."""
    found = located(subject, slope, 1, clip_BCTYX)
    if found is None or found.shape[-1] * found.shape[-2] == 1:
        return None
    return Places(found.shape[-2:] != clip_BCTYX.shape[-2:], bool(found.any()))


def search(net: nn.Module, parent: str, outputs: Outputs, places: dict[str, Places | None]) -> str | None:
    """Return the last module below `parent` whose places matter, looking inside others only where that is an adapter or none is there.

    Behind the last attention of a transformer only the class token matters: the places of its last block do not, and the block
    before it is taken.
    """
    children = called_children(net, parent, outputs)
    chosen = None
    for place, name in enumerate(children):
        known = places[name]
        has_weights = any(True for _ in net.get_submodule(name).parameters())
        if known is not None and known.matter and (known.is_reduced or has_weights):
            chosen = place
    if chosen is not None and any(True for _ in net.get_submodule(children[chosen]).children()):
        return children[chosen]
    for name in reversed(children[0 if chosen is None else chosen + 1 :]):
        known = places[name]
        if chosen is None or (known is not None and not known.matter):
            found = search(net, name, outputs, places)
            if found is not None:
                return found
    return None if chosen is None else children[chosen]


def called_children(net: nn.Module, parent: str, outputs: Outputs) -> list[str]:
    """Return the children of a module in the order of their last calls; of one that is only a list, those of the list."""
    below = net.get_submodule(parent)
    names: list[str] = []
    for child, _ in below.named_children():
        name = f"{parent}.{child}" if parent else child
        names += [name] if name in outputs else called_children(net, name, outputs)
    order = list(outputs)
    return sorted(names, key=order.index)
