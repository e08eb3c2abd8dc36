"""The convolutions of a network along its main path, from the classifier backwards, found by watching one pass."""

from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from objabn.explainers.subject import Subject
from objabn.models.network import AttentionNetwork, evaluating


class Link(NamedTuple):
    """A convolution, or a linear layer, which is one of kernel 1, and what it was called with."""

    name: str
    inputs: int
    outputs: int
    places_in: tuple[int, ...]
    """Frames, rows and columns of what it reads; () where these are pooled."""
    places_out: tuple[int, ...]
    length: int
    """Links on the longest way to it, itself included."""


def find_chain(subject: Subject, clip_BCTYX: Tensor) -> list[Link]:
    """Return the classifier and the convolutions before it, the last first; ValueError where none gives what the classifier reads.

    The convolution before a layer is the one on the longest way whose output has as many channels as the layer reads, and as many
    places or more (pools may stand between): of two that are added up, the main path and not the shortcut. Convolutions of gates, which
    see pooled features while others behind them see places, are no part of it. Only the shapes of one pass over the first clip count.
    """
    links = connected(watched_links(subject, clip_BCTYX[:1]))
    chain = [classifier_of(subject, links)]
    while True:
        before = [link for link in links[: links.index(chain[-1])] if gives(link, chain[-1])]
        if not before:
            break
        chain.append(longest(before))
    if len(chain) == 1:
        raise ValueError(
            f"feature_pyramids goes back from convolution to convolution, and none gives the {chain[0].inputs} channels that "
            f"{chain[0].name}, the classifier of {type(subject.net).__name__}, reads; take gradcam."
        )
    return chain


def watched_links(subject: Subject, clip_BCTYX: Tensor) -> list[Link]:
    """Return convolutions and linear layers in the order of their calls, of a network here those of its backbone; ValueError for tokens."""
    links: list[Link] = []
    net = subject.net
    modules = {name: module for name, module in net.named_modules() if isinstance(module, nn.Conv2d | nn.Conv3d | nn.Linear)}
    if isinstance(net, AttentionNetwork):
        # The branch runs before the tail, and its convolutions may have the same shapes.
        modules = {name: module for name, module in modules.items() if name.startswith("backbone.")}

    def watch(name: str) -> Any:
        def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            is_linear = isinstance(module, nn.Linear)
            sides = [places(features, is_linear=is_linear) for features in (inputs[0], output)]
            if is_linear and len(sides[0]) == 1:
                raise ValueError(
                    f"feature_pyramids is for networks of convolutions, and {name} works on tokens; take gradcam or relevance_cam."
                )
            axis = -1 if is_linear else 1
            links.append(Link(name, inputs[0].shape[axis], output.shape[axis], sides[0], sides[1], 0))

        return note

    handles = [module.register_forward_hook(watch(name)) for name, module in modules.items()]
    try:
        with torch.inference_mode(), evaluating(net):
            subject.scores(clip_BCTYX)
    finally:
        for handle in handles:
            handle.remove()
    return links


def places(features: Tensor, *, is_linear: bool) -> tuple[int, ...]:
    """Return rows and columns, and frames where they have an axis of their own; () where there is one place."""
    sides = tuple(features.shape[1:-1] if is_linear else features.shape[2:])
    return () if prod(sides) == 1 else sides


def connected(links: list[Link]) -> list[Link]:
    """Return the links without those of gates, each with the length of the longest way to it."""
    last_with_places = max((number for number, link in enumerate(links) if link.places_in), default=0)
    found: list[Link] = []
    for number, link in enumerate(links):
        if link.places_in or number > last_with_places:
            before = [other.length for other in found if gives(other, link)]
            found.append(link._replace(length=1 + max(before, default=0)))
    return found


def gives(link: Link, following: Link) -> bool:
    """Tell whether one link's output may be what another reads."""
    fits = not following.places_in or (
        len(link.places_out) == len(following.places_in)
        and all(had >= has for had, has in zip(link.places_out, following.places_in, strict=True))
    )
    return link.outputs == following.inputs and fits


def longest(links: list[Link]) -> Link:
    """Return the link on the longest way, of several the last."""
    return max(enumerate(links), key=lambda numbered: (numbered[1].length, numbered[0]))[1]


def classifier_of(subject: Subject, links: list[Link]) -> Link:
    """Return the layer that gives the answer: the one that a network here names, of another the last one called."""
    net = subject.net
    found = [link for link in links if not isinstance(net, AttentionNetwork) or link.name == net.classifier]
    if not found:
        raise ValueError(
            f"feature_pyramids starts at a convolution or linear layer that gives the answer behind the backbone's own stages, and "
            f"{type(net).__name__} has another head; take gradcam."
        )
    return found[-1]
