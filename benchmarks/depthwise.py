"""X3D-M's depthwise convolutions one by one: each direction in the way that a trial chooses, beside PyTorch's own in both layouts."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.machine_ceilings import measure_ceilings
from benchmarks.result import Row, Timings, measure, timings_row
from objabn.kernels.depthwise_ways import FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT, Direction, Kernel
from objabn.kernels.trial import fastest_way, time_directions, works

CALLS = {"cpu": 1, "cuda": 20}
"""Calls within one timed run, so that starting and waiting for a GPU weigh little."""
FRAMES = 16


class Shape(NamedTuple):
    """One kind of depthwise convolution; rows and columns are `size // shrinkage`."""

    channels: int
    shrinkage: int
    kernel: Kernel = (3, 3, 3)
    stride: int = 1


X3D_M = [
    Shape(24, 2, (5, 1, 1)),
    Shape(54, 2, stride=2),
    Shape(54, 4),
    Shape(108, 4, stride=2),
    Shape(108, 8),
    Shape(216, 8, stride=2),
    Shape(216, 16),
    Shape(432, 16, stride=2),
    Shape(432, 32),
]
Ways = dict[str, Callable[[], object]]


def run(*, device: str = "cpu", clips: int | None = None, size: int | None = None, repeats: int = 9, amp: str = "auto") -> list[Row]:
    """Compare all shapes of X3D-M with three maps: clips of 160 px in float32 on a CPU, of 224 px in bf16 on a GPU."""
    place = torch.device(device)
    on_gpu = place.type == "cuda"
    clips, size = clips or (16 if on_gpu else 2), size or (224 if on_gpu else 160)
    dtype = torch.bfloat16 if amp == "bf16" or (amp == "auto" and on_gpu) else torch.float32
    bandwidth = measure_ceilings(place, dtype).bytes_per_second if on_gpu else None
    return [row for shape in X3D_M for row in shape_rows(shape, clips, size, place, dtype, repeats, bandwidth)]


def shape_rows(
    shape: Shape, clips: int, size: int, device: torch.device, dtype: torch.dtype, repeats: int, bandwidth: float | None
) -> list[Row]:
    """Choose the ways of one shape by a trial, and time them anew beside the others."""
    side = max(1, size // shape.shrinkage)
    clip = torch.randn(clips, shape.channels, FRAMES, side, side, device=device, dtype=dtype).to(memory_format=torch.channels_last_3d)
    trial = time_directions(clip, shape.kernel, shape.stride)
    kernel = "x".join(map(str, shape.kernel))
    case = f"{clips}x{shape.channels}x{FRAMES}x{side}x{side}, {kernel}, stride {shape.stride}, {str(dtype).removeprefix('torch.')}"
    rows: list[Row] = []
    for direction, durations in trial.items():
        chosen = fastest_way(durations)
        ways = ways_of(direction, clip, shape, chosen)
        timings = measure({name: partial(repeat, way, CALLS[device.type]) for name, way in ways.items()}, repeats=repeats)
        per_call = Timings(
            {name: [each / CALLS[device.type] for each in seconds] for name, seconds in timings.seconds.items()}, timings.cpu_seconds
        )
        rows += direction_rows(f"{direction.replace('_', ' ')} by {chosen}: {case}", per_call)
        if bandwidth is not None:
            rows.append(bandwidth_row(f"{direction.replace('_', ' ')} by {chosen}: {case}", clip, shape.stride, per_call, bandwidth))
    return rows


def repeat(way: Callable[[], object], calls: int) -> None:
    """Call a way several times."""
    for _ in range(calls):
        way()


def ways_of(direction: Direction, clip: Tensor, shape: Shape, chosen: str) -> Ways:
    """Return the ways to be timed, each on tensors of its own layout: the chosen one, PyTorch's two, and on a GPU Triton's."""
    with torch.no_grad():
        ways: Ways = {
            "chosen": bound(direction, chosen, clip, shape),
            "channels_last": bound(direction, "stock", clip, shape),
            "contiguous": bound(direction, "stock", clip.contiguous(), shape),
        }
        triton = bound(direction, "triton", clip, shape)
        if clip.device.type == "cuda" and works(triton, must=False):
            ways["triton"] = triton
    return ways


def bound(direction: Direction, way: str, clip: Tensor, shape: Shape) -> Callable[[], object]:
    """Return one way of one direction with what it is given."""
    weight = torch.ones((shape.channels, 1, *shape.kernel), dtype=clip.dtype, device=clip.device)
    if direction == "forward":
        return partial(FORWARD[way], clip, weight, shape.stride)
    gradient = FORWARD["stock"](clip, weight, shape.stride)
    layout = torch.channels_last_3d if clip.is_contiguous(memory_format=torch.channels_last_3d) else torch.contiguous_format
    gradient = gradient.contiguous(memory_format=layout)
    if direction == "input_gradient":
        return partial(INPUT_GRADIENT[way], gradient, weight, shape.stride, (clip.shape[3], clip.shape[4]))
    return partial(WEIGHT_GRADIENT[way], gradient, clip, shape.kernel, shape.stride)


def direction_rows(case: str, timings: Timings) -> list[Row]:
    """Return the comparisons of one direction."""
    names = {"channels_last": "aten, channels-last", "contiguous": "aten, contiguous"}
    if "triton" in timings.seconds:
        names = {"channels_last": "aten, channels-last: cuDNN", "contiguous": "aten, contiguous: PyTorch's native kernel"}
    pairs = [("chosen", peer) for peer in names] + [("triton", peer) for peer in names if "triton" in timings.seconds]
    return [
        timings_row(
            "depthwise",
            case if ours == "chosen" else f"triton's {case.replace(' by ', ', chosen ')}",
            timings,
            ours=ours,
            peer=peer,
            peer_name=names[peer],
        )
        for ours, peer in pairs
    ]


def bandwidth_row(case: str, clip: Tensor, stride: int, timings: Timings, bandwidth: float) -> Row:
    """Return the bytes a second of the chosen way, of which each direction reads or writes clip and result once."""
    moved = clip.numel() * (1 + 1 / stride**2) * clip.element_size()
    achieved = moved / timings.median("chosen")
    return Row(
        suite="depthwise",
        case=case,
        ours=achieved / 1e9,
        peer=bandwidth / 1e9,
        peer_name="bandwidth measured in this run",
        unit="GB/s",
        speedup=achieved / bandwidth,
        spread=None,
        repeats=len(timings.seconds["chosen"]),
    )
