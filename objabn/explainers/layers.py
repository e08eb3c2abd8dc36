"""Which layer to look at: the one asked for, or the last whose features have places that the answer depends on."""

from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from objabn.explainers.grids import volume_of
from objabn.explainers.layer_search import last_name
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
        name = last_name(subject, clip_BCTYX[:1], patch_grid(subject, clip_BCTYX[:1]))
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
    size_TYX = (clip_BCTYX.shape[2], clip_BCTYX.shape[3], clip_BCTYX.shape[4])
    patches = cache(lambda: patch_grid(subject, clip_BCTYX[:1]))

    def volume(output: Any, clips: int) -> Tensor:
        found = volume_of(output, clips, size_TYX=size_TYX)
        if found is None:
            found = volume_of(output, clips, size_TYX=size_TYX, patches_TYX=patches())
        if found is None:
            raise ValueError(
                f"What {name} gives has no frames, rows and columns that could be recognised; choose another layer, or give `volume`, "
                "a function of its output and the number of clips that returns (B, C, T, y, x)."
            )
        return found

    return volume


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
