"""A memory that is too small: the largest batch that fits is found by trial and named, with what else helps."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from bad_input import assert_said
from hypothesis import given
from hypothesis import strategies as st
from toys import Recorder, Toy, nano, toy_batch, toy_config

from objabn.config import Config, LossConfig, OptimConfig, RunConfig
from objabn.training.capacity import find_capacity, largest_fitting
from objabn.training.loop import fit
from objabn.training.session import start_session
from objabn.types import Output


def config_of(batch: int, *, accumulate: int = 1, run: RunConfig | None = None) -> Config:
    return replace(
        toy_config(optim=OptimConfig(epochs=1, batch=batch, accumulate=accumulate), run=run or RunConfig(device="cpu")),
        loss=LossConfig(pc=0.0),
    )


def limited(config: Config, clips: int, error: Callable[[], Exception], tried: list[int]) -> Toy:
    """A network on a device whose memory holds so many clips at a time."""
    net = Toy(config)
    forward = net.forward

    def frugal(clip: torch.Tensor) -> Output:
        tried.append(len(clip))
        if len(clip) > clips:
            raise error()
        return forward(clip)

    net.forward = frugal
    return net


def full_gpu() -> Exception:
    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


@pytest.mark.parametrize(
    ("batch", "limit", "tried", "case"),
    [
        (12, 5, [12, 3, 4, 6], "a GPU too small for a batch"),
        (12, 0, [12, 3, 1], "a GPU too small for a single clip"),
        (1, 0, [1], "a GPU too small for a single clip"),
    ],
)
def test_the_largest_batch_that_fits_is_found_and_named(batch: int, limit: int, tried: list[int], case: str) -> None:
    config, seen, recorder = config_of(batch), [], Recorder()
    with pytest.raises(RuntimeError) as stop:
        fit(limited(config, limit, full_gpu, seen), [toy_batch(0, clips=batch)], config, loggers=[recorder])
    assert_said(case, str(stop.value))
    assert sorted(set(seen)) == sorted(tried), "by halves"
    assert recorder.is_closed


@given(st.sets(st.integers(1, 500), max_size=30), st.integers(0, 501))
def test_bisection_finds_what_trying_all_would(sizes: set[int], limit: int) -> None:
    tried: list[int] = []

    def does_fit(size: int) -> bool:
        tried.append(size)
        return size <= limit

    descending = sorted(sizes, reverse=True)
    assert largest_fitting(descending, does_fit) == max((size for size in sizes if size <= limit), default=0)
    assert len(tried) <= len(sizes).bit_length(), "each costs seconds"


@pytest.mark.usefixtures("shallow")
def test_the_trial_changes_nothing_of_the_network_and_makes_the_moments() -> None:
    config = config_of(4)
    net = nano(config)
    session = start_session(net, [toy_batch(0)], config, run_folder=None, still=())
    before = {name: value.clone() for name, value in net.state_dict().items()}
    assert find_capacity(session) == 2
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    moments = session.state.optimizer.state[net.branch.map_conv.weight]
    assert moments["step"] == 0
    assert not moments["exp_avg"].any()


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:114] err == 0. DefaultCPUAllocator: can't allocate memory: you tried 8 bytes"),
    ],
)
def test_a_full_machine_is_told_without_a_trial(error: Exception) -> None:
    config, tried = config_of(4, run=RunConfig(device="cpu", amp="bf16", recompute=False)), []
    with pytest.raises(RuntimeError) as stop:
        fit(limited(config, 0, lambda: error, tried), [toy_batch(0)], config, loggers=[])
    assert_said("a machine without memory for a batch", str(stop.value))
    assert "amp" not in str(stop.value), "that is on already"
    assert tried == [4]


@pytest.mark.gpu
def test_on_a_gpu_what_is_said_to_fit_does() -> None:
    run, clips = RunConfig(device="cuda", compile="off", amp="off", kernels="stock"), 4096
    config, before = config_of(clips, run=run), torch.cuda.memory_reserved()
    torch.cuda.set_per_process_memory_fraction((before + 1.5 * 2**30) / torch.cuda.get_device_properties(0).total_memory)
    try:
        with pytest.raises(RuntimeError, match=r"; (\d+) fit, as a trial found") as stop:
            fit(nano(config), [toy_batch(0, clips=clips)], config, loggers=[])
        fitting = int(re.search(r"; (\d+) fit", str(stop.value)).group(1))
        assert 1 < fitting < clips
        del stop
        smaller = config_of(clips, accumulate=clips // fitting, run=run)
        parts = [toy_batch(seed, clips=fitting) for seed in range(clips // fitting)]
        assert fit(nano(smaller), parts, smaller, loggers=[]).steps == 1
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def test_another_error_stays_what_it_is() -> None:
    config = config_of(4)
    with pytest.raises(RuntimeError, match=r"^something else$"):
        fit(limited(config, 0, lambda: RuntimeError("something else"), []), [toy_batch(0)], config, loggers=[])
