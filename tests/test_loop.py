"""The training loop: it learns, adds gradients up, clips them, stops when it must, and says what it did."""

import io
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from toys import Recorder, Toy, nano, toy_batch, toy_config

from objabn.config import Config, LossConfig, OptimConfig, RunConfig
from objabn.models.storage import load_model
from objabn.objective import build_objective
from objabn.recipes import recipe
from objabn.settings import override
from objabn.training.logging import Screen, read_records
from objabn.training.loop import fit
from objabn.training.run_folder import is_finished
from objabn.training.signals import Interrupted
from objabn.types import Batch


def config_of(loss: LossConfig | None = None, run: RunConfig | None = None, **optim: object) -> Config:
    settings = OptimConfig(**{"epochs": 2, "batch": 4, "lr": 1e-2} | optim)
    return replace(toy_config(optim=settings, run=run), loss=loss or LossConfig(pc=0.0))


def weights_of(net: torch.nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in net.parameters()])


@pytest.mark.slow
def test_it_learns_the_brightest_colour_and_where_it_is() -> None:
    config = config_of(epochs=12, lr=5e-3)
    result = fit(nano(config), [toy_batch(seed, clips=8) for seed in range(4)], config, monitor=[toy_batch(99, clips=16)], loggers=[])
    first, last = result.history[0], result.history[-1]
    assert last["loss"] < 0.4 * first["loss"]
    assert last["mask"] < 0.5 * first["mask"]
    assert last["test_top1"] == 100.0, "on clips it has not seen"
    assert (result.epochs, result.steps) == (12, 48)
    assert result.losses["loss"] == last["loss"]


def test_the_trained_network_is_asked_without_learning_from_the_question() -> None:
    config = config_of(epochs=1)
    net = nano(config)
    fit(net, [toy_batch(0)], config, loggers=[])
    before = {name: value.clone() for name, value in net.state_dict().items()}
    net(toy_batch(1).clip)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_accumulating_four_quarters_equals_one_whole_batch(name: str) -> None:
    whole = [toy_batch(seed, clips=8) for seed in range(2)]
    quarters = [Batch(*(column[i : i + 2] for column in batch)) for batch in whole for i in range(0, 8, 2)]
    one, four = config_of(batch=8, name=name), config_of(batch=8, accumulate=4, name=name)
    net, other = Toy(one), Toy(four)
    fit(net, whole, one, loggers=[])
    result = fit(other, quarters, four, loggers=[])
    assert result.steps == 4
    torch.testing.assert_close(weights_of(other), weights_of(net), rtol=1e-5, atol=1e-6)


def test_clipping_bounds_the_step_of_plain_gradient_descent() -> None:
    config = config_of(epochs=1, name="sgd", momentum=0.0, lr=1.0, clip_norm=1e-3)
    net = Toy(config)
    before = weights_of(net)
    fit(net, [toy_batch(0)], config, loggers=[])
    assert (weights_of(net) - before).norm().item() == pytest.approx(1e-3, rel=1e-3)


def test_a_step_of_plain_gradient_descent_is_rate_times_gradient() -> None:
    config = config_of(epochs=1, name="sgd", momentum=0.0, lr=0.5, loss=LossConfig(pc=0.0, mask=2.0))
    net, reference, batch = Toy(config), Toy(config), toy_batch(0)
    output = reference(batch.clip)
    target = (batch.mask >= 0.5).float()
    loss = torch.nn.functional.cross_entropy(output.logits, batch.label) + 2 * (output.maps[:, 0] - target).square().mean()
    gradients = torch.autograd.grad(loss, list(reference.parameters()))
    fit(net, [batch], config, loggers=[])
    for after, before, gradient in zip(net.parameters(), reference.parameters(), gradients, strict=True):
        torch.testing.assert_close(after, before - 0.5 * gradient)


@pytest.mark.parametrize("setting", ["model.heads=3", "data.clip_frames=8", "model.cut=3"])
def test_a_network_that_the_settings_do_not_describe_is_refused(tmp_path: Path, setting: str) -> None:
    config, name = config_of(), setting.partition("=")[0]
    with pytest.raises(ValueError, match=rf"The network was made with {name}=\d and the settings say otherwise"):
        fit(nano(config), [toy_batch(0)], override(config, setting), run_folder=tmp_path / "run", loggers=[])
    assert not (tmp_path / "run").exists()


def test_a_remainder_smaller_than_a_step_is_dropped() -> None:
    config = config_of(batch=8, accumulate=2, epochs=3)
    assert fit(Toy(config), [toy_batch(seed) for seed in range(5)], config, loggers=[]).steps == 6
    with pytest.raises(ValueError, match=r"An epoch has 1 batches.*optim.accumulate=2"):
        fit(Toy(config), [toy_batch(0)], config, loggers=[])


def test_a_loader_shorter_than_its_length_is_an_error() -> None:
    class Short(list):
        def __len__(self) -> int:
            return 3

    config = config_of()
    with pytest.raises(RuntimeError, match="ended before the epoch did, at step 1"):
        fit(Toy(config), Short([toy_batch(0)]), config, loggers=[])


def test_a_loss_that_is_not_finite_stops_and_keeps_the_good_checkpoint(tmp_path: Path) -> None:
    config = config_of(epochs=3, run=RunConfig(device="cpu", log_steps=2, checkpoint_minutes=0, skip_steps=0))
    good = toy_batch(0)

    class TurnsBad(list):
        epochs = 0

        def __iter__(self) -> Iterator[Batch]:
            self.epochs += 1
            mask = good.mask if self.epochs == 1 else torch.full_like(good.mask, torch.nan)
            return iter([good, good._replace(mask=mask)])

    recorder = Recorder()
    soft = replace(config, loss=LossConfig(pc=0.0, mask_target="soft"))
    with pytest.raises(RuntimeError, match=r"step 4: the loss is not finite; the checkpoint of step 2 is kept.*lower optim.lr"):
        fit(Toy(soft), TurnsBad([good, good]), soft, run_folder=tmp_path / "run", loggers=[recorder])
    assert recorder.is_closed
    assert json.loads((tmp_path / "run/last/state.json").read_text())["progress"]["step"] == 2


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    config = config_of(epochs=1, lr=1e38, name="sgd", run=RunConfig(device="cpu", log_steps=0, checkpoint_steps=1, checkpoint_minutes=0))
    with pytest.raises(RuntimeError, match="step 1: a weight is not a finite number; there is no checkpoint yet"):
        fit(Toy(config), [toy_batch(seed) for seed in range(9)], config, run_folder=tmp_path / "run", loggers=[])


class Signalling(list):
    """Batches during the second of which somebody presses Ctrl-C, or a cluster takes the machine back."""

    number: signal.Signals | None = None

    def __iter__(self) -> Iterator[Batch]:
        for position, batch in enumerate(super().__iter__()):
            if position == 1 and self.number is not None:
                os.kill(os.getpid(), self.number)
            yield batch


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_finish_the_step_save_and_leave_the_handlers_alone(tmp_path: Path, number: signal.Signals) -> None:
    handler = signal.getsignal(number)
    config, clips = config_of(), Signalling([toy_batch(seed) for seed in range(4)])
    clips.number = number
    with pytest.raises(Interrupted, match=number.name) as interruption:
        fit(Toy(config), clips, config, run_folder=tmp_path / "run", loggers=[])
    assert interruption.value.signal_number == number
    assert json.loads((tmp_path / "run/last/state.json").read_text())["progress"] | {"seconds": 0} == {
        "steps_per_epoch": 4, "epoch": 0, "step": 2, "samples": 8, "seconds": 0,
        "best_top1": None, "best_nll": None, "best_epoch": None, "history": [],
    }  # fmt: skip
    assert signal.getsignal(number) is handler


def test_a_signal_during_the_evaluation_of_an_epoch_does_not_lose_that_evaluation(tmp_path: Path) -> None:
    config, clips = config_of(epochs=1), [toy_batch(seed) for seed in range(2)]
    monitor = Signalling(clips)
    monitor.number = signal.SIGTERM
    with pytest.raises(Interrupted):
        fit(Toy(config), clips, config, run_folder=tmp_path / "run", monitor=monitor, loggers=[])
    result = fit(Toy(config), clips, config, run_folder=tmp_path / "run", resume=True, monitor=clips, loggers=[])
    assert (result.steps, len(result.history)) == (2, 1)
    assert "test_top1" in result.history[0]
    assert result.history[0]["loss"] > 0, "the means of the epoch survive too"


def test_a_signal_while_the_last_epoch_is_written_down_is_answered(tmp_path: Path) -> None:
    class Late(Recorder):
        def log(self, record: dict) -> None:
            super().log(record)
            if record["event"] == "epoch" and record["epoch"] == 2:
                os.kill(os.getpid(), signal.SIGTERM)

    config, clips = config_of(epochs=2), [toy_batch(0)]
    with pytest.raises(Interrupted, match="SIGTERM"):
        fit(Toy(config), clips, config, run_folder=tmp_path / "run", loggers=[Late()])
    assert is_finished(tmp_path / "run", config), "and the epoch is not lost"


def test_best_is_kept_for_val_only(tmp_path: Path) -> None:
    config, clips = config_of(epochs=2, lr=1e-3), [toy_batch(seed) for seed in range(2)]
    fit(nano(config), clips, config, run_folder=tmp_path / "val", monitor=clips, monitor_subset="val", loggers=[])
    fit(nano(config), clips, config, run_folder=tmp_path / "test", monitor=clips, loggers=[])
    progress = json.loads((tmp_path / "val/last/state.json").read_text())["progress"]
    records = [record for record in read_records(tmp_path / "val/log.jsonl") if record["event"] == "epoch"]
    assert progress["best_top1"] == max(record["val_top1"] for record in records)
    assert load_model(tmp_path / "val/best/model.safetensors").classes == 3
    assert not (tmp_path / "test/best").exists()


@pytest.mark.parametrize(("every", "evaluated"), [(1, [1, 2, 3, 4]), (3, [3, 4]), (0, [4])])
def test_evaluation_is_every_so_many_epochs_and_after_the_last(every: int, evaluated: list[int]) -> None:
    config = config_of(epochs=4, run=RunConfig(device="cpu", evaluate_epochs=every))
    history = fit(Toy(config), [toy_batch(0)], config, monitor=[toy_batch(1)], loggers=[]).history
    assert [record["epoch"] for record in history if "test_nll" in record] == evaluated


def test_log_lines_carry_the_means_since_the_last_one() -> None:
    config = config_of(epochs=1, name="sgd", lr=1e-30, run=RunConfig(device="cpu", log_steps=2))
    recorder, clips = Recorder(), [toy_batch(seed) for seed in range(4)]
    result = fit(Toy(config), clips, config, loggers=[recorder])
    single = Recorder()
    fit(Toy(config), clips, replace(config, run=RunConfig(device="cpu", log_steps=1)), loggers=[single])
    each = single.of("step", "loss")
    assert recorder.of("step", "loss") == pytest.approx([(each[0] + each[1]) / 2, (each[2] + each[3]) / 2])
    assert recorder.of("step", "step") == [2, 4]
    assert result.losses["loss"] == pytest.approx(sum(each) / 4)
    assert result.history[0]["top1"] == pytest.approx(sum(single.of("step", "top1")) / 4)


def test_the_wait_for_the_loader_is_measured_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(1000))
    monkeypatch.setattr("objabn.training.meter.time.perf_counter", lambda: float(next(now)))
    config, recorder = config_of(epochs=1), Recorder()
    fit(Toy(config), [toy_batch(0)], config, loggers=[recorder])
    # Readings: made 0, epoch begins 1, asks 2, has it 3, asks in vain 4, told so 5, line 6.
    assert recorder.of("step", "loader_wait") == [pytest.approx(100 * 2 / 5)]
    assert recorder.of("step", "clips_per_second") == [pytest.approx(4 / 5)]


def test_off_a_terminal_there_is_one_plain_line_an_epoch() -> None:
    text = io.StringIO()
    screen = Screen(epochs=9, steps_per_epoch=5, console=Console(file=text, width=60))
    values = {"epoch": 1, "loss": 1.25, "top1": 50.0, "clips_per_second": 8.0, "loader_wait": 3.0}
    for step in range(1, 6):
        screen.log({"event": "step", "step": step, **values})
    screen.log({"event": "epoch", "step": 5, **values, "test_top1": 75.0})
    screen.close()
    assert text.getvalue() == "epoch 1/9  loss 1.250  top-1 50.0 %  test top-1 75.0 %  8.0 clips/s  loader wait 3 %\n"


def test_bf16_autocast_trains_and_ends_near_float32() -> None:
    exact = config_of(lr=1e-3)
    coarse = replace(exact, run=RunConfig(device="cpu", amp="bf16"))
    clips = [toy_batch(seed) for seed in range(2)]
    first, second = (fit(nano(config), clips, config, loggers=[]).losses["loss"] for config in (exact, coarse))
    assert first != second
    assert second == pytest.approx(first, rel=0.05)


@pytest.mark.slow
@pytest.mark.usefixtures("shallow")
def test_three_maps_compile_whole_through_training_inference_and_training() -> None:
    config = recipe("demo", heads=3)
    net, batch = nano(replace(toy_config(), model=replace(config.model, heads=3))), toy_batch(0)
    objective = build_objective(config.loss, net)
    forward = torch.compile(net, backend="aot_eager", fullgraph=True, dynamic=False)
    totals = []
    for answer in (net, forward):
        net.train()
        net.zero_grad()
        objective(answer(batch.clip), batch).total.backward()
        net.eval()
        with torch.inference_mode():
            answer(batch.clip)
        net.train()
        objective(answer(batch.clip), batch).total.backward()
        totals.append(torch.cat([parameter.grad.flatten() for parameter in net.parameters()]))
    torch.testing.assert_close(totals[1], totals[0], rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_a_compiled_network_learns_the_same() -> None:
    # Its wrapper answers len() with an error, so nothing may ask for the truth of a network.
    clips, plain = [toy_batch(seed) for seed in range(2)], config_of(epochs=1)
    results = [
        fit(nano(config), clips, config, monitor=clips, loggers=[]).history[0]
        for config in (plain, replace(plain, run=RunConfig(device="cpu", compile="on")))
    ]
    assert results[1]["loss"] == pytest.approx(results[0]["loss"], rel=1e-4)
    assert results[1]["test_nll"] == pytest.approx(results[0]["test_nll"], rel=1e-3)
