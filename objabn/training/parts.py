"""The parts of a network by name: which of them stay as they are, and whose learning rate is another."""

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import nn

from objabn.models.network import AttentionNetwork

PARTS = ("stem", "tail", "classifier", "branch", "gate", "norms")
"""What `optim.freeze` knows beside the names of modules; `norms` are the batch norms of stem and tail."""


def part_of(net: AttentionNetwork, path: str) -> str:
    """Return the part that a module or parameter with this dotted name is in: stem, tail, classifier, branch or gate."""
    section, _, inner = path.partition(".")
    if section not in ("backbone", "tail"):
        return "gate" if section == "side_gates" else section
    if is_within(path, net.classifier):
        return "classifier"
    if section == "tail":
        return section
    return "stem" if any(is_within(inner, block) for block in net.backbone.stem_names) else "tail"


def is_within(path: str, name: str) -> bool:
    """Say whether a dotted name is `name` or lies below it."""
    return path == name or path.startswith(f"{name}.")


def frozen_modules(net: AttentionNetwork, freeze: Sequence[str]) -> list[nn.Module]:
    """Return the modules that `optim.freeze` means, each for itself without its children; an unknown name raises ValueError."""
    modules = {path: module for path, module in net.named_modules() if path}
    chosen: dict[nn.Module, None] = {}
    for name in freeze:
        found = [module for path, module in modules.items() if is_meant(net, name, path, module)]
        if not found:
            nearest = difflib.get_close_matches(name, [*PARTS, *modules], n=1)
            hint = f"; did you mean {nearest[0]!r}?" if nearest else "."
            raise ValueError(f"optim.freeze={name} is not possible; it must be {', '.join(PARTS)}, or a module of the network{hint}")
        chosen |= dict.fromkeys(found)
    return list(chosen)


def is_meant(net: AttentionNetwork, name: str, path: str, module: nn.Module) -> bool:
    """Say whether `name` of `optim.freeze` means the module at `path`."""
    if name not in PARTS:
        return is_within(path, name)
    part = part_of(net, path)
    if name == "norms":
        return part in ("stem", "tail") and isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d)
    # The dropout before the classifier is there for the classifier's sake, and stays on while that one learns.
    return name == ("classifier" if part == "tail" and isinstance(module, nn.Dropout) else part)


@contextmanager
def frozen(net: AttentionNetwork, freeze: Sequence[str]) -> Iterator[list[nn.Module]]:
    """Yield the modules of `frozen_modules`; their parameters do not learn while the context lasts. ValueError if none is left to."""
    modules = frozen_modules(net, freeze)
    parameters = [parameter for module in modules for parameter in module.parameters(recurse=False) if parameter.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        if not any(parameter.requires_grad for parameter in net.parameters()):
            raise ValueError(f"optim.freeze={','.join(freeze)} leaves nothing of the network to be trained; name fewer parts.")
        yield modules
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def set_training_mode(net: AttentionNetwork, still: Sequence[nn.Module]) -> None:
    """Put the network into training mode but for the modules that stand still: their batch norms keep their statistics."""
    net.train()
    for module in still:
        module.training = False


def trained_share(net: AttentionNetwork, freeze: Sequence[str]) -> str:
    """Say how many of a network's parameters are trained."""
    total = sum(parameter.numel() for parameter in net.parameters())
    with frozen(net, freeze):
        trained = sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad)
    return f"{trained:,} of {total:,} parameters are trained; frozen: {', '.join(freeze)}."
