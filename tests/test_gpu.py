"""Training and evaluation on a GPU: every precision finishes, goes on after a stop, and answers as the CPU does."""

import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from toys import Recorder, nano, toy_batch, toy_config

from objabn.config import Config, DataConfig, ModelConfig, OptimConfig, RunConfig
from objabn.data.dataset import PackedDataset
from objabn.data.demo import make_demo
from objabn.evaluation import evaluate
from objabn.models.build import build_model
from objabn.models.storage import load_model
from objabn.training.loop import fit
from objabn.training.run_folder import consumed_samples
from objabn.training.session import start_session
from objabn.training.signals import Interrupted
from objabn.training.step import take_step

pytestmark = pytest.mark.gpu


def config_of(*, amp: str, compile_mode: str = "off", epochs: int = 3) -> Config:
    run = RunConfig(device="cuda", amp=amp, compile=compile_mode, log_steps=1, checkpoint_minutes=0)
    config = toy_config(optim=OptimConfig(epochs=epochs, batch=4, lr=1e-3), run=run)
    return replace(config, model=replace(config.model, heads=3))


class StopsIn(Recorder):
    """A logger that raises the signal of a cluster at one step."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def log(self, record: dict) -> None:
        super().log(record)
        if record["event"] == "step" and record["step"] == self.step:
            signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize(("amp", "compile_mode"), [("off", "off"), ("bf16", "off"), ("fp16", "off"), ("auto", "on"), ("auto", "graphs")])
def test_a_run_on_a_gpu_is_stopped_and_goes_on_to_its_end(tmp_path: Path, amp: str, compile_mode: str) -> None:
    config, clips = config_of(amp=amp, compile_mode=compile_mode), [toy_batch(seed) for seed in range(4)]
    with pytest.raises(Interrupted):
        fit(nano(config), clips, config, run_folder=tmp_path, monitor=clips[:1], loggers=[StopsIn(6)])
    assert consumed_samples(tmp_path) == 4 * 6
    net = nano(config, seed=5)
    result = fit(net, clips, config, run_folder=tmp_path, resume=True, monitor=clips[:1], loggers=[])
    assert (result.epochs, result.steps) == (3, 12)
    assert all(parameter.is_cuda for parameter in net.parameters())
    assert result.history[-1]["loss"] < result.history[0]["loss"]
    saved = load_model(tmp_path / "last/model.safetensors").state_dict()
    assert all(torch.equal(value.cpu(), saved[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize(("is_deterministic", "tolerance"), [(True, 0.0), (False, 1e-2)])
def test_a_run_that_was_stopped_ends_as_one_that_was_not(tmp_path: Path, is_deterministic: bool, tolerance: float) -> None:
    config, clips = config_of(amp="off"), [toy_batch(seed) for seed in range(4)]
    config = replace(config, run=replace(config.run, deterministic=is_deterministic, kernels="auto"))
    straight = fit(nano(config), clips, config, run_folder=tmp_path / "straight", loggers=[])
    with pytest.raises(Interrupted):
        fit(nano(config), clips, config, run_folder=tmp_path / "stopped", loggers=[StopsIn(6)])
    resumed = fit(nano(config, seed=5), clips, config, run_folder=tmp_path / "stopped", resume=True, loggers=[])
    assert resumed.losses == pytest.approx(straight.losses, rel=tolerance, abs=tolerance)


@pytest.mark.parametrize("amp", ["off", "bf16", "fp16"])
def test_no_step_waits_for_the_gpu(amp: str) -> None:
    config, clips = config_of(amp=amp), [toy_batch(seed) for seed in range(3)]
    session = start_session(nano(config).train(), clips, config, run_folder=None, still=())
    take_step(session, iter(clips[:1]))  # the moments are made, and the fastest convolutions found
    try:
        torch.cuda.set_sync_debug_mode("error")
        take_step(session, iter(clips[1:]))
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_bf16_and_compilation_learn_what_float32_learns() -> None:
    clips, settings = [toy_batch(seed) for seed in range(4)], [("off", "off"), ("bf16", "off"), ("off", "on")]
    losses = []
    for amp, compile_mode in settings:
        config = config_of(amp=amp, compile_mode=compile_mode)
        losses.append(fit(nano(config), clips, config, loggers=[]).losses["loss"])
    assert losses == pytest.approx([losses[0]] * 3, rel=0.1)


def test_a_network_is_evaluated_on_a_gpu_as_on_the_cpu() -> None:
    clips, net = [toy_batch(seed) for seed in range(2)], nano(config_of(amp="off"))
    on_cpu = evaluate(net, clips)
    on_gpu = evaluate(net, clips, device="cuda")
    assert on_gpu.videos == on_cpu.videos == 8
    # TF32, which convolutions may take, has ten bits; a cell may change its bin.
    assert on_gpu.nll == pytest.approx(on_cpu.nll, rel=1e-2)
    assert on_gpu.entropy == pytest.approx(on_cpu.entropy, abs=0.1)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> PackedDataset:
    return make_demo(tmp_path_factory.mktemp("gpu") / "demo", train=16, test=8, size=96, frames=24)


@pytest.mark.parametrize("decode", ["cpu", "gpu"])
def test_training_and_evaluation_are_fed_by_dali(demo: PackedDataset, decode: str) -> None:
    pytest.importorskip("nvidia.dali")
    from dali_pipelines import loader
    from objabn.data.reader import reader

    data = DataConfig(clip_frames=4, stride_frames=3, short_side=(40, 48), eval_short_side=40, crop_size=32, decode=decode)
    model = ModelConfig(backbone="x3d_nano", weights="none", cut=2, heads=3, attention_init="random")
    config = Config(data=data, model=model, optim=OptimConfig(epochs=2, batch=4), run=RunConfig(device="cuda", compile="off"))
    net = build_model(model, classes=4, clip_frames=4, clip_size=32)
    assert fit(net, loader(demo, config), config, monitor=loader(demo, config, subset="test"), loggers=[]).steps == 8
    found = evaluate(net, loader(demo, config, subset="test"), device="cuda")
    expected = evaluate(net, reader(demo, config, subset="test"), device="cuda")
    assert found.videos == expected.videos == 8
    assert found.nll == pytest.approx(expected.nll, rel=0.05)
    assert found.mask_iou.keys() == {"M_u", "M_o", "M_b"}
