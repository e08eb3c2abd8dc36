"""Finding the last layer with places: one pass over a clip shows which modules have rows and columns, and which of them matter."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from objabn.explainers.frozen import frozen
from objabn.explainers.grids import volume_of
from objabn.explainers.hooks import parts, with_tensors
from objabn.explainers.subject import Subject
from objabn.models.network import evaluating


@dataclass(kw_only=True, slots=True)
class Places:
    """What is known of the rows and columns of a module's output."""

    is_reduced: bool
    """Their grid is coarser than the clip."""
    matter: bool = False
    """The answer depends on them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """What a pass over one clip shows; no features are kept."""

    clip_size: tuple[int, int, int]
    """Frames, rows and columns."""
    token_grid: tuple[int, int, int] | None
    """The same of rows of tokens, where there are any."""
    places: dict[str, Places | None]
    """By names of modules, in the order of their last calls; None where there are no rows and columns."""
    starts: list[Tensor]
    """What the first modules gave, from where on gradients are recorded."""


def last_name(subject: Subject, clip_BCTYX: Tensor, patches_TYX: tuple[int, int, int] | None) -> str:
    """Return the name of the last module on the way of one clip with rows and columns on which the predicted class depends.

    `patches_TYX` is the grid of rows of tokens. Raises ValueError where there is none.
    """
    size_TYX = (clip_BCTYX.shape[2], clip_BCTYX.shape[3], clip_BCTYX.shape[4])
    survey = Survey(clip_size=size_TYX, token_grid=patches_TYX, places={}, starts=[])
    with torch.inference_mode(mode=False), torch.enable_grad(), evaluating(subject.net), frozen(subject.net):
        with surveyed(subject.net, survey):
            score = subject.scores(clip_BCTYX.detach()).max()
        if score.requires_grad:
            torch.autograd.grad(score, survey.starts, allow_unused=True)
    found = search(subject.net, "", survey.places)
    if found is None:
        raise ValueError(f"No layer of {type(subject.net).__name__} has rows and columns on which the answer depends; name one.")
    return found


@contextmanager
def surveyed(net: nn.Module, survey: Survey) -> Iterator[None]:
    """Have all modules of a network noted in a survey."""
    handles = [module.register_forward_hook(noting(survey, name)) for name, module in net.named_modules() if name]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def noting(survey: Survey, name: str) -> Callable[[nn.Module, Any, Any], Any]:
    """Return a hook that notes the places of a module's output at once, and in the backward pass whether they matter."""

    def note(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        output = with_tensors(output, lambda part: started(survey, part))
        survey.places.pop(name, None)
        survey.places[name] = places = places_of(survey, output)
        known = [part for part in parts(output) if part is not None]
        if places is not None and known[0].requires_grad:
            known[0].register_hook(judging(survey, places, known[1:2]))
        return output

    return note


def started(survey: Survey, part: Tensor) -> Tensor:
    """Have gradients recorded from a tensor on, where they are not yet; what follows may change it in place."""
    if part.requires_grad or not torch.is_grad_enabled():
        return part
    survey.starts.append(part.detach().requires_grad_())
    return survey.starts[-1].clone()


def places_of(survey: Survey, output: Any) -> Places | None:
    """Return what is known of a module's places; None where it has no rows and columns."""
    found = volume_of(output, 1, size_TYX=survey.clip_size, patches_TYX=survey.token_grid)
    if found is None or found.shape[-1] * found.shape[-2] == 1:
        return None
    return Places(is_reduced=tuple(found.shape[-2:]) != survey.clip_size[-2:])


def judging(survey: Survey, places: Places, sizes: list[Any]) -> Callable[[Tensor], None]:
    """Return a hook that notes of the gradient of an output, with the sizes that stand beside it, whether it has any at its places."""

    def judge(slope: Tensor) -> None:
        found = volume_of([slope, *sizes], 1, size_TYX=survey.clip_size, patches_TYX=survey.token_grid)
        places.matter = places.matter or (found is not None and bool(found.any()))

    return judge


def search(net: nn.Module, parent: str, places: Mapping[str, Places | None]) -> str | None:
    """Return the last module below `parent` whose places matter, looking inside others only where that is an adapter or none is there.

    Behind the last attention of a transformer only the class token matters: the places of its last block do not, and the block
    before it is taken.
    """
    children = called_children(net, parent, places)
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
            found = search(net, name, places)
            if found is not None:
                return found
    return None if chosen is None else children[chosen]


def called_children(net: nn.Module, parent: str, calls: Mapping[str, Any]) -> list[str]:
    """Return the children of a module in the order of their last calls, that of `calls`; of one that is only a list, those of the list."""
    below = net.get_submodule(parent)
    names: list[str] = []
    for child, _ in below.named_children():
        name = f"{parent}.{child}" if parent else child
        names += [name] if name in calls else called_children(net, name, calls)
    order = list(calls)
    return sorted(names, key=order.index)
