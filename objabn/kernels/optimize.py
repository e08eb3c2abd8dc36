"""Give the depthwise convolutions of a network the ways that are fastest on this machine, by a short measured trial."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from objabn.kernels.depthwise import Ways
from objabn.kernels.depthwise_ways import FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT
from objabn.kernels.modules import DepthwiseConv3d, Met, is_supported, met_with, shape_key
from objabn.kernels.trial import fastest_way, time_directions

PASSES = 4
# Which convolutions met what, and with how many clips.
Meetings = dict[nn.Conv3d, dict[Met, int]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Choices:
    """Which way was chosen for which shape; `Choices(**json.loads(text))` reads what `json.dumps(asdict(choices))` wrote."""

    ways: dict[str, dict[str, str]] = field(default_factory=dict)
    """Of each shape, the way of each direction: forward, input_gradient, weight_gradient."""
    milliseconds: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    """Of each shape and direction, what each way took in the trial; ways that do not work here are missing."""


def optimize(net: nn.Module, clip: Tensor, *, choices: Choices | None = None, dtype: torch.dtype | None = None) -> Choices:
    """Swap the depthwise convolutions of a network in place for ones that compute each shape in its fastest way, and return the choices.

    `clip` is what the network will be trained with, on its device: (B, 3, T, Y, X), of the batch size to come; `dtype` is that of
    autocast, if any. Parameters, their names, hooks, modes and statistics stay as they are. With `choices` of an earlier trial
    nothing is measured, so that a resumed run has the same bits; shapes that are not among them, and networks without depthwise
    convolutions, stay as they are. ValueError for a way that there is none of.
    """
    measures = choices is None
    choices = choices or Choices()
    # A swapped convolution can hand on another layout than before, so that what comes behind it meets something new.
    for _ in range(PASSES):
        meetings = record_meetings(net, clip, dtype)
        if measures:
            try_ways(meetings, clip.device, choices)
        if not any([swap(module, met_clips, choices) for module, met_clips in meetings.items()]):
            break
    return choices


def record_meetings(net: nn.Module, clip: Tensor, dtype: torch.dtype | None) -> Meetings:
    """Run the network once without a gradient, and return what its depthwise convolutions are given."""
    meetings: Meetings = {}

    def record(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        assert isinstance(module, nn.Conv3d)
        meetings.setdefault(module, {})[met_with(inputs[0])] = len(inputs[0])

    hooks = [module.register_forward_pre_hook(record) for module in net.modules() if is_supported(module)]
    if not hooks:
        return meetings
    try:
        with judging(net), torch.no_grad(), torch.autocast(clip.device.type, dtype, enabled=dtype is not None):
            net(clip)
    finally:
        for hook in hooks:
            hook.remove()
    return meetings


@contextmanager
def judging(net: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode, where it neither updates statistics nor draws numbers; each module's mode is put back."""
    modes = {module: module.training for module in net.modules()}
    net.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def try_ways(meetings: Meetings, device: torch.device, choices: Choices) -> None:
    """Time all ways on each shape that is not among the choices yet, on noise that leaves the random state alone."""
    noise = torch.Generator(device).manual_seed(0)
    for module, met_clips in meetings.items():
        for met, clips in met_clips.items():
            key = shape_key(module, met)
            if key in choices.ways:
                continue
            size = (clips, module.in_channels, met.frames, met.height, met.width)
            layout = torch.channels_last_3d if met.is_channels_last else torch.contiguous_format
            values = torch.randn(size, generator=noise, device=device).to(met.dtype).contiguous(memory_format=layout)
            taps_t, taps_y, taps_x = module.kernel_size
            durations = time_directions(values, (taps_t, taps_y, taps_x), module.stride[1])
            choices.milliseconds[key] = {
                direction: {way: round(ms, 4) for way, ms in ways.items()} for direction, ways in durations.items()
            }
            choices.ways[key] = {direction: fastest_way(ways) for direction, ways in durations.items()}


def chosen_ways(named: dict[str, str]) -> Ways:
    """Read the ways of one shape. ValueError for one that there is none of."""
    known: dict[str, list[str]] = {"forward": [*FORWARD], "input_gradient": [*INPUT_GRADIENT], "weight_gradient": [*WEIGHT_GRADIENT]}
    for direction, way in named.items():
        if way not in known.get(direction, []):
            raise ValueError(f"A depthwise convolution has no way {way!r} for {direction!r}; it has {known}.")
    return Ways(**named)


def swap(module: nn.Conv3d, met_clips: dict[Met, int], choices: Choices) -> bool:
    """Give a convolution the ways chosen for what it met, where they are not all PyTorch's own; say whether that changed it."""
    keys = {met: shape_key(module, met) for met in met_clips}
    ways = {met: chosen_ways(choices.ways[key]) for met, key in keys.items() if key in choices.ways}
    known = module.ways if isinstance(module, DepthwiseConv3d) else {}
    other = {met: chosen for met, chosen in ways.items() if chosen != known.get(met, Ways())}
    if other:
        module.__class__ = DepthwiseConv3d
        assert isinstance(module, DepthwiseConv3d)
        module.ways = known | other
    return bool(other)
