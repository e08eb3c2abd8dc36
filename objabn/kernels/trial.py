"""A short trial: which of several ways of computing one thing is the fastest here."""

import math
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from objabn.kernels.depthwise_ways import FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT, Direction, Kernel, possible_ways

Way = Callable[[], object]
ROUNDS = 6
# A way whose fastest of two runs takes this many times as long as the fastest way's gets no further ones.
PATIENCE = 2
HOPELESS = 2.5
# What another way must gain over PyTorch's own to be worth it, which is more than two trials differ by.
WORTH = 0.95


def time_ways(ways: dict[str, Way], device: str) -> dict[str, float]:
    """Return the milliseconds of each way that works here; the first one, PyTorch's own, must.

    On a CPU they take turns and the fastest run of each counts, for what else the machine does can only add to it.
    """
    working = {name: way for place, (name, way) in enumerate(ways.items()) if works(way, must=place == 0)}
    if device == "cuda":
        from triton.testing import do_bench  # noqa: PLC0415

        # Empties the second cache before each run, as the rest of a training step does.
        return {name: float(do_bench(way, warmup=5, rep=20, return_mode="median")) for name, way in working.items()}
    fastest = dict.fromkeys(working, math.inf)
    for turn in range(ROUNDS):
        limit = HOPELESS * min(fastest.values())
        for name, way in working.items():
            if turn < PATIENCE or fastest[name] <= limit:
                fastest[name] = min(fastest[name], milliseconds(way))
    return fastest


def works(way: Way, *, must: bool) -> bool:
    """Run a way once, and say whether it could be run; the error of one that must be is raised."""
    try:
        way()
    except Exception:
        # Compilers and drivers fail each in their own manner; a way that does not work here is simply not taken.
        if must:
            raise
        return False
    return True


def milliseconds(way: Way) -> float:
    """Return the duration of one run on the CPU."""
    start = time.perf_counter()
    way()
    return 1e3 * (time.perf_counter() - start)


def fastest_way(durations: dict[str, float]) -> str:
    """Return the fastest way, or `stock` where it is as good within the trial's accuracy."""
    best = min(durations, key=durations.__getitem__)
    return best if durations[best] < WORTH * durations["stock"] else "stock"


def time_directions(clip_BCTYX: Tensor, kernel: Kernel, stride: int) -> dict[Direction, dict[str, float]]:
    """Time all ways of all directions of a depthwise convolution on a clip, in its device, layout and number format."""
    device = clip_BCTYX.device.type
    layout = torch.channels_last_3d
    is_channels_last = clip_BCTYX.is_contiguous(memory_format=layout)
    weight = torch.ones((clip_BCTYX.shape[1], 1, *kernel), dtype=clip_BCTYX.dtype, device=clip_BCTYX.device)
    size = (clip_BCTYX.shape[3], clip_BCTYX.shape[4])

    def names(direction: Direction) -> list[str]:
        return possible_ways(direction, device=device, is_channels_last=is_channels_last, kernel=kernel, stride=stride)

    with torch.no_grad():
        gradient = FORWARD["stock"](clip_BCTYX, weight, stride)
        forward: dict[str, Way] = {name: partial(FORWARD[name], clip_BCTYX, weight, stride) for name in names("forward")}
        of_clip: dict[str, Way] = {name: partial(INPUT_GRADIENT[name], gradient, weight, stride, size) for name in names("input_gradient")}
        of_weight: dict[str, Way] = {
            name: partial(WEIGHT_GRADIENT[name], gradient, clip_BCTYX, kernel, stride) for name in names("weight_gradient")
        }
        return {
            "forward": time_ways(forward, device),
            "input_gradient": time_ways(of_clip, device),
            "weight_gradient": time_ways(of_weight, device),
        }
