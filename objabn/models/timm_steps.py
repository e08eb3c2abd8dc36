"""Where a network of timm can be cut: the modules that hand a picture on from one to the next, found by watching it run."""

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

CUTS = range(2, 6)


class Steps(NamedTuple):
    """A network as a chain of modules up to its head."""

    names: tuple[str, ...]
    """The modules, each of which takes what the one before it gave."""
    ends: dict[int, int]
    """Steps up to the end of each stage, by the cut that lies there."""
    stage_names: tuple[str, ...]
    """The steps that end the first convolutions and the four stages."""
    stage_channels: tuple[int, ...]
    """Channels behind these."""
    grids: dict[int, tuple[int, int]]
    """Rows and columns behind each stage, by the cut that lies there."""
    is_channels_last: bool
    """Pictures are (B, y, x, C) between the steps."""


class Call(NamedTuple):
    """A module was called."""

    name: str
    given: tuple[Any, ...]
    is_plain: bool
    """Nothing but one argument was given."""
    output: Any


def find_steps(network: Any, name: str, clip_size: int) -> Steps:
    """Watch a network on the device meta as it runs on a picture of `clip_size` pixels.

    ValueError where it computes anything between its modules, or has no stages that halve the picture to a quarter, an eighth, a
    sixteenth and a thirty-second: then nothing says where it could be cut.
    """
    reductions = {info["reduction"]: info["module"] for info in network.feature_info}
    missing = [f"1/{2**cut}" for cut in CUTS if 2**cut not in reductions]
    if missing:
        raise ValueError(f"{name} cannot be cut: it has no stage of {', '.join(missing)} of the picture's size; choose another backbone.")
    stages = {cut: reductions[2**cut] for cut in CUTS}
    calls = chain(network, name, torch.empty(1, 3, clip_size, clip_size, device="meta"), ends=set(reductions.values()))
    names = tuple(call.name for call in calls)
    lost = [stage for stage in stages.values() if stage not in names]
    if lost:
        raise ValueError(f"{name} cannot be cut: {', '.join(lost)} does not hand all it gives on to the next; choose another backbone.")
    shapes = {call.name: call.output.shape for call in calls}
    is_channels_last = getattr(network, "output_fmt", "NCHW") == "NHWC"
    rows = 1 if is_channels_last else 2
    first = reductions[2] if reductions.get(2) in names else names[0]
    stage_names = (first, *stages.values())
    return Steps(
        names=names,
        ends={cut: names.index(stage) + 1 for cut, stage in stages.items()},
        stage_names=stage_names,
        stage_channels=tuple(shapes[stage][-1 if is_channels_last else 1] for stage in stage_names),
        grids={cut: (shapes[stage][rows], shapes[stage][rows + 1]) for cut, stage in stages.items()},
        is_channels_last=is_channels_last,
    )


def chain(network: Any, name: str, picture: Tensor, *, ends: set[str]) -> list[Call]:
    """Return the calls by which a picture passes through the whole network, each taking the very tensor that the last one gave."""
    calls: list[Call] = []
    for path, module in links(network, ends):
        module.register_forward_hook(partial(note, calls, path), with_kwargs=True)
    with torch.no_grad():
        last = network.eval().forward_features(picture)
    reached, passed = picture, []
    for call in calls:
        if call.is_plain and call.given[0] is reached:
            reached = call.output
            passed.append(call)
    if reached is not last:
        place = f"behind {passed[-1].name}" if passed else "before its first module"
        raise ValueError(f"{name} cannot be cut: {place} it computes what is in none of its modules; choose another backbone.")
    return passed


def links(network: nn.Module, ends: set[str], prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules that may be steps: children, and in place of a plain sequence that ends no stage its members."""
    for child, module in network.named_children():
        path = prefix + child
        if isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward and path not in ends:
            yield from links(module, ends, f"{path}.")
        else:
            yield path, module


def note(calls: list[Call], name: str, _module: nn.Module, given: tuple[Any, ...], keywords: dict[str, Any], output: Any) -> None:
    """Write down a call."""
    calls.append(Call(name, given, len(given) == 1 and not keywords, output))
