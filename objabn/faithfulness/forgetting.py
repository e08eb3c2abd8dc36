"""The parts of a network in the order in which they are called, and how they forget what they learnt."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from objabn.explainers.layer_search import called_children
from objabn.explainers.subject import Subject
from objabn.models.network import evaluating

FIRST_SPREAD = 0.02
"""Standard deviation of weights that belong to no layer, before they learn: that of positions and class tokens in vision transformers."""

REST = "all other weights"


class Stage(NamedTuple):
    """A part of a network."""

    name: str
    modules: tuple[str, ...]
    """Whose own weights belong to it."""


def stages_from_top(subject: Subject, clip_BCTYX: Tensor) -> list[Stage]:
    """Return the parts of a network from its answer down to the clip, found by one pass.

    They are its children, but one that holds more than half of all modules with weights is opened, and its own children stand in its
    place: some five to twenty parts of about the size of a stage, whatever the network. Weights of none of them, such as class
    tokens and positions, come last as `REST`.
    """
    net = subject.net
    stages = opened(net, "", call_order(subject, clip_BCTYX))[::-1]
    known = {net.get_submodule(name) for stage in stages for name in stage.modules}
    rest = tuple(name for name, module in net.named_modules() if has_weights(module) and module not in known)
    return [*stages, Stage(REST, rest)] if rest else stages


def call_order(subject: Subject, clip_BCTYX: Tensor) -> dict[str, None]:
    """Return the names of the modules that a pass calls, in the order of their last calls."""
    order: dict[str, None] = {}

    def noting(name: str) -> Callable[..., None]:
        def note(*_: Any) -> None:
            order.pop(name, None)
            order[name] = None

        return note

    handles = [module.register_forward_hook(noting(name)) for name, module in subject.net.named_modules()]
    try:
        with torch.inference_mode(), evaluating(subject.net):
            subject.scores(clip_BCTYX.to(subject.baseline.device))
    finally:
        for handle in handles:
            handle.remove()
    return order


def opened(net: nn.Module, parent: str, order: dict[str, None]) -> list[Stage]:
    """Return the parts below a module in the order of their calls."""
    half = sum(map(has_weights, net.modules())) / 2
    found: list[Stage] = []
    for name in called_children(net, parent, order):
        part = net.get_submodule(name)
        count = sum(map(has_weights, part.modules()))
        if count > half and count > has_weights(part):
            found += opened(net, name, order)
        elif count:
            found.append(Stage(name, tuple(inner for inner, _ in part.named_modules(prefix=name))))
    return found


def has_weights(module: nn.Module) -> bool:
    """Tell whether a module has weights of its own, besides those of its children."""
    return next(module.parameters(recurse=False), None) is not None


def forget(net: nn.Module, stage: Stage, *, seed: int) -> None:
    """Draw the weights of a stage anew, as its layers do when they are made; the random numbers of everyone else go on untouched.

    Normalisations forget what they measured as well.
    """
    modules = [net.get_submodule(name) for name in stage.modules]
    devices = {parameter.device for module in modules for parameter in module.parameters(recurse=False)}
    with torch.random.fork_rng([device for device in devices if device.type == "cuda"]), torch.no_grad():
        torch.manual_seed(seed)
        for module in modules:
            reset = getattr(module, "reset_parameters", None)
            if reset is not None:
                reset()
            else:
                for parameter in module.parameters(recurse=False):
                    parameter.normal_(std=FIRST_SPREAD)
