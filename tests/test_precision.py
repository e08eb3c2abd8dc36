"""What a machine computes with, and what is said when its memory ends."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from toys import Recorder, Toy, nano, toy_batch, toy_config

from objabn.config import Config, DataConfig, OptimConfig, RunConfig
from objabn.models.blocks import FullAveragePool
from objabn.settings import config_hash
from objabn.training.failures import out_of_memory
from objabn.training.loop import fit
from objabn.training.precision import algorithms, as_float32, compiled, resolve_amp, resolve_device
from objabn.types import Batch, Output


def switches() -> tuple[object, ...]:
    cudnn = torch.backends.cudnn
    enabled = torch.are_deterministic_algorithms_enabled()
    return enabled, cudnn.deterministic, cudnn.benchmark, os.environ.get("CUBLAS_WORKSPACE_CONFIG")


class Watch(Recorder):
    """A logger that looks at torch's switches."""

    def log(self, record: dict) -> None:
        super().log(record | {"switches": switches()})


@pytest.mark.parametrize(("is_deterministic", "expected"), [(False, (False, False, True, None)), (True, (True, True, False, ":4096:8"))])
def test_switches_of_torch_are_set_for_the_run_and_put_back(
    is_deterministic: bool, expected: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    before, watch = switches(), Watch()
    config = toy_config(run=RunConfig(device="cpu", log_steps=1, deterministic=is_deterministic))
    fit(nano(config), [toy_batch(0)], config, loggers=[watch])
    assert watch.of("step", "switches") == [expected] * 2
    assert switches() == before


def test_switches_are_put_back_after_an_error_and_a_setting_of_ones_own_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    before = switches()
    with pytest.raises(ZeroDivisionError), algorithms(deterministic=True):
        assert switches() == (True, True, False, ":16:8")
        raise ZeroDivisionError
    assert switches() == before


def test_the_pool_has_a_gradient_that_repeats() -> None:
    features = torch.randn(2, 3, 4, 5, 6, requires_grad=True)
    pooled = FullAveragePool()(features)
    with algorithms(deterministic=True):
        mean = FullAveragePool()(features)
    assert "AvgPool3D" in pooled.grad_fn.name()
    assert "Mean" in mean.grad_fn.name()
    torch.testing.assert_close(mean, pooled)


def train_and_print(device: str) -> None:
    """What a process of the next test runs: its sums of weights and statistics."""
    run = RunConfig(device=device, deterministic=True, log_steps=0)
    config = toy_config(optim=OptimConfig(epochs=2, batch=4, ema=0.9), run=run, dropout=0.5)
    net = nano(config)
    fit(net, [toy_batch(seed) for seed in range(4)], config, loggers=[])
    print([value.double().sum().item() for value in net.state_dict().values()])


@pytest.mark.parametrize("device", [pytest.param("cpu", marks=pytest.mark.slow), pytest.param("cuda", marks=pytest.mark.gpu)])
def test_two_deterministic_runs_end_with_the_same_bits(device: str) -> None:
    code = f"from test_precision import train_and_print; train_and_print({device!r})"
    ends = [
        subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, check=True, capture_output=True, text=True).stdout
        for _ in range(2)
    ]
    assert ends[0] == ends[1]
    assert ends[0].count(",") > 100


def test_how_a_run_is_carried_out_is_no_part_of_its_hash() -> None:
    config = Config()
    assert config_hash(replace(config, run=RunConfig(deterministic=True, log_to=("wandb",)))) == config_hash(config)
    learnt = ({"freeze": ("stem",)}, {"ema": 0.9}, {"patience_epochs": 3}, {"backbone_factor": 0.1}, {"branch_factor": 2.0})
    assert len({config_hash(replace(config, optim=OptimConfig(**settings))) for settings in ({}, *learnt)}) == 6


@pytest.mark.parametrize(
    ("batch", "accumulate", "message"),
    [
        (16, 1, "16 clips of 8 frames of 64 x 64 pixels at a time; .* begin again with --set optim.accumulate=2, .* 2 times 8 clips"),
        (15, 3, "5 clips of .*optim.accumulate=5, which takes the same batch of 15 as 5 times 3 clips"),
        (4, 4, "1 clips of .*begin again with a smaller --backbone, data.crop_size or data.clip_frames"),
    ],
)
def test_what_helps_against_too_little_memory(batch: int, accumulate: int, message: str) -> None:
    data = DataConfig(clip_frames=8, crop_size=64, short_side=(64, 64), eval_short_side=64)
    with pytest.raises(RuntimeError, match=message):
        raise out_of_memory(Config(data=data, optim=OptimConfig(batch=batch, accumulate=accumulate)))


def test_a_full_gpu_ends_the_run_with_that_advice() -> None:
    class Full(list):
        def __iter__(self) -> Iterator[Batch]:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    config, recorder = toy_config(), Recorder()
    with pytest.raises(RuntimeError, match=r"The memory of the GPU does not hold 4 clips of 4 frames of 32 x 32 pixels"):
        fit(Toy(config), Full([toy_batch(0)]), config, loggers=[recorder])
    assert recorder.is_closed


@pytest.mark.parametrize(
    ("gpus", "asked", "found"),
    [
        (0, "auto", "cpu"),
        (2, "auto", "cuda:1"),
        (2, "cuda", "cuda:1"),
        (2, "cuda:0", "cuda:0"),
        (2, "cpu", "cpu"),
        (0, "cuda", "needs a GPU and torch sees none"),
        (2, "cuda:2", "torch sees 2 GPUs, of which cuda:1 is the last"),
        (2, "gpu", "it must be auto, cpu, cuda or a GPU by number"),
        (0, "meta", "it must be auto, cpu, cuda or a GPU by number"),
    ],
)
def test_a_gpu_is_named_by_its_number(monkeypatch: pytest.MonkeyPatch, gpus: int, asked: str, found: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    if " " in found:
        with pytest.raises(ValueError, match=found):
            resolve_device(asked)
    else:
        # torch.cuda.set_device refuses a device without a number, and `str` shows it.
        assert str(resolve_device(asked)) == found


def test_precision_is_what_the_machine_has() -> None:
    cpu = torch.device("cpu")
    assert resolve_amp("auto", cpu) is None
    assert resolve_amp("bf16", cpu) is torch.bfloat16
    with pytest.raises(ValueError, match="fp16 needs a GPU"):
        resolve_amp("fp16", cpu)
    net = torch.nn.Identity()
    assert compiled(net, "auto", cpu) is net
    halves = Output(*(torch.ones(1, dtype=torch.bfloat16) for _ in range(5)))
    assert {tensor.dtype for tensor in as_float32(halves)} == {torch.float32}
