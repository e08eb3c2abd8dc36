"""A step that is not finite leaves every bit as it was, is counted, and ends the run only when too many follow each other."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from bad_input import assert_said
from ranks import run_ranks
from toys import Recorder, Toy, nano, toy_batch, toy_config

from objabn.config import Config, LossConfig, OptimConfig, RunConfig
from objabn.training.distributed import process_group, rank
from objabn.training.guard import StepGuard
from objabn.training.judged import Judged
from objabn.training.logging import sentence
from objabn.training.loop import fit
from objabn.training.session import Session, start_session
from objabn.training.state import split_optimizer
from objabn.training.step import take_step
from objabn.types import Batch

GOOD = [toy_batch(seed) for seed in range(4)]
BAD = GOOD[3]._replace(mask=torch.full_like(GOOD[3].mask, torch.nan))


def config_of(run: RunConfig | None = None, **optim: object) -> Config:
    settings = OptimConfig(**{"epochs": 1, "batch": 4, "lr": 1e-2, "schedule": "constant"} | optim)
    run = run or RunConfig(device="cpu", log_steps=1, checkpoint_minutes=0)
    return replace(toy_config(optim=settings, run=run), loss=LossConfig(pc=0.1, mask_target="soft"))


def session_of(run: RunConfig | None = None, **optim: object) -> Session:
    config = config_of(run, **optim)
    session = start_session(nano(config), GOOD, config, run_folder=None, still=())
    session.state.net.train()
    return session


def everything(session: Session) -> dict[str, torch.Tensor]:
    """Copies of all that a step may change, by name."""
    state = session.state
    parts = {"net": state.net, "objective": state.objective, **({"average": state.average.net} if state.average else {})}
    tensors = {f"{part}.{name}": value for part, module in parts.items() for name, value in module.state_dict().items()}
    return {name: value.clone() for name, value in (tensors | split_optimizer(state.optimizer)[0]).items()}


def differing(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> list[str]:
    return [name for name, value in one.items() if not torch.equal(value, other[name])]


def spoil_gradient(session: Session) -> Callable[[], None]:
    """Have the next backward pass overflow in one weight, behind a loss that is finite."""
    weight = next(parameter for parameter in session.state.net.parameters() if parameter.ndim > 1)
    return weight.register_hook(lambda gradient: gradient * torch.inf).remove


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize("settings", [{"name": "adam", "ema": 0.9, "clip_norm": 1.0}, {"name": "sgd"}])
def test_a_spoiled_step_changes_no_bit_and_the_next_one_is_as_if_it_had_not_been(settings: dict) -> None:
    session, undisturbed = session_of(**settings), session_of(**settings)
    # The very first one, before there are moments; then with moments, by the loss and by the gradient alone.
    begin = everything(session)
    take_step(session, iter([BAD]))
    assert not differing(begin, everything(session))
    for other in (session, undisturbed):
        other.state.progress.step = 1  # the average counts steps
        take_step(other, iter(GOOD[:1]))
    before = everything(session)
    assert differing(begin, before), "a good step does change them"
    assert any(name.endswith("running_mean") and value.any() for name, value in before.items())
    assert any(name.startswith("objective.") for name in before), "prototypes"
    take_step(session, iter([BAD]))
    remove_hook = spoil_gradient(session)
    take_step(session, iter(GOOD[1:2]))
    remove_hook()
    assert not differing(before, everything(session))
    session.state.progress.step = 2
    for other in (session, undisturbed):
        take_step(other, iter(GOOD[2:3]))
    assert not differing(everything(undisturbed), everything(session))
    assert session.state.guard.longest.tolist() == [2, 1], "two in a row, one of them by its loss"


@pytest.mark.usefixtures("shallow")
def test_one_bad_part_spoils_a_step_of_several() -> None:
    session = session_of(batch=8, accumulate=2)
    take_step(session, iter(GOOD[:2]))
    before = everything(session)
    take_step(session, iter([GOOD[2], BAD]))
    assert not differing(before, everything(session))
    take_step(session, iter([BAD, GOOD[2]]))
    assert not differing(before, everything(session))
    assert session.state.progress.step == 3
    assert session.state.progress.samples == 24, "what was seen was seen"


@pytest.mark.usefixtures("shallow")
def test_a_scale_that_is_too_high_is_lowered_and_no_failure() -> None:
    session, plain = session_of(name="sgd"), session_of(name="sgd")
    scaler = torch.amp.GradScaler("cpu", init_scale=3e38, backoff_factor=2.0**-100)
    session.state = replace(session.state, scaler=scaler)
    before = everything(session)
    take_step(session, iter(GOOD[:1]))
    assert not differing(before, everything(session))
    assert scaler.get_scale() < 1e9
    assert session.state.guard.longest.tolist() == [0, 0]
    assert session.state.meter.epoch()["loss"] > 0, "the loss was one, and is told"
    for other in (session, plain):
        take_step(other, iter(GOOD[1:2]))
    after, expected = everything(session), everything(plain)
    assert differing(before, after)
    for name, value in expected.items():
        torch.testing.assert_close(after[name], value, rtol=1e-4, atol=1e-6)


def on_two_ranks() -> None:
    """What each process of the next test does: rank 1 has a batch that is not finite, then a loss of that kind with a finite gradient."""
    with process_group("cpu"):
        config = config_of()
        session = start_session(Toy(config), GOOD, config, run_folder=None, still=())
        take_step(session, iter(GOOD[:1]))
        before = everything(session)
        take_step(session, iter([BAD if rank() else GOOD[1]]))
        judge = session.judge

        def infinite(batch: Batch) -> Judged:
            judged = judge(batch)
            return judged._replace(losses=judged.losses._replace(total=judged.losses.total + (torch.inf if rank() else 0.0)))

        session.judge = infinite
        take_step(session, iter(GOOD[2:3]))
        print(differing(before, everything(session)), session.state.guard.longest.tolist())
        session.judge = judge
        take_step(session, iter(GOOD[:1]))
        print(differing(before, everything(session)) != [], [value.sum().item() for value in session.state.net.parameters()])


@pytest.mark.slow
def test_all_ranks_leave_out_what_is_spoiled_on_one() -> None:
    first, second = run_ranks("from test_guard import on_two_ranks; on_two_ranks()")
    assert first == second
    assert first.splitlines()[0] == "[] [2, 2]"
    assert first.splitlines()[1].startswith("True")


@pytest.mark.gpu
@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize("amp", ["off", "bf16", "fp16"])
def test_on_a_gpu_the_verdict_is_not_waited_for(amp: str) -> None:
    session = session_of(run=RunConfig(device="cuda", amp=amp, compile="off", log_steps=0), name="adam", ema=0.9, clip_norm=1.0)
    good, bad = (batch.to("cuda") for batch in (GOOD[0], BAD))
    for batch in (good, bad):
        take_step(session, iter([batch]))
    before = everything(session)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        take_step(session, iter([bad]))
        take_step(session, iter([bad]))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert not differing(before, everything(session))
    assert session.state.guard.reason_to_stop(3) == "the loss of 3 steps in a row was not finite"
    take_step(session, iter([good]))
    assert differing(before, everything(session))


@pytest.mark.parametrize(
    ("loss", "norm", "scale", "expected"),
    [
        (1.0, 2.0, 1.0, (False, False)),
        (torch.nan, 2.0, 1.0, (True, True)),
        (torch.inf, torch.nan, 65536.0, (True, True)),
        (1.0, torch.inf, 65536.0, (True, False)),  # fp16 has scaled too high, and lowers the scale by itself
        (1.0, torch.inf, 1.0, (True, True)),
        (1.0, torch.nan, 0.5, (True, True)),
    ],
)
def test_the_verdict(loss: float, norm: float, scale: float, expected: tuple[bool, bool]) -> None:
    guard = StepGuard([torch.nn.BatchNorm1d(2)], torch.device("cpu"))
    guard.remember()
    verdict = guard.judge(torch.tensor(loss), torch.tensor(norm), scale=torch.tensor(scale))
    assert (bool(verdict.is_spoiled), bool(verdict.is_failure)) == expected
    assert guard.longest[0] == expected[1]


@pytest.mark.parametrize(
    ("skip_steps", "rows", "reason"),
    [
        (0, ["l"], "the loss is not finite"),
        (1, ["g"], "the gradient is not finite"),
        (2, ["l", "-", "l"], None),
        (2, ["-", "l", "l", "-", "-"], "the loss of 2 steps in a row was not finite"),  # read late, it is still known
        (3, ["l", "g", "l"], "the loss or the gradient of 3 steps in a row was not finite"),
    ],
)
def test_so_many_in_a_row_are_a_reason_to_stop(skip_steps: int, rows: list[str], reason: str | None) -> None:
    guard, bad, good = StepGuard([], torch.device("cpu")), torch.tensor(torch.nan), torch.tensor(1.0)
    for row in rows:
        guard.remember()
        guard.judge(bad if row == "l" else good, bad if row == "g" else good, scale=torch.ones(()))
    assert guard.reason_to_stop(skip_steps) == reason


class Turning(list):
    """Batches with bad ones among them, in the order of a word of g and b."""

    def __init__(self, word: str) -> None:
        super().__init__({"g": GOOD[number % 3], "b": BAD}[letter] for number, letter in enumerate(word))


def test_what_is_skipped_is_told_and_left_out_of_the_means() -> None:
    each, whole = Recorder(), Recorder()
    run = RunConfig(device="cpu", log_steps=2, checkpoint_minutes=0)
    fit(Toy(config_of()), Turning("ggbbg"), config_of(), loggers=[each])
    history = fit(Toy(config_of()), Turning("ggbbg"), config_of(run), loggers=[whole]).history
    first, second, third, fourth, fifth, epoch = each.records
    assert [record.get("skipped_steps") for record in each.records] == [None, None, 1, 1, None, 2]
    assert [record["step"] for record in each.records] == [1, 2, 3, 4, 5, 5]
    assert "loss" not in third and "top1" not in fourth, "nothing was learnt from"
    good = (first, second, fifth)
    for name in ("loss", "mask", "top1"):
        assert epoch[name] == pytest.approx(sum(record[name] for record in good) / 3)
        assert whole.records[0][name] == pytest.approx((first[name] + second[name]) / 2)
    assert [record.get("skipped_steps") for record in whole.records] == [None, 2, 2]
    assert history[0]["loss"] == pytest.approx(epoch["loss"])
    assert_said("a step whose loss or gradient is not finite", sentence(epoch))
    assert sentence(third).startswith("0.0 clips/s"), "which has no loss to show"
    assert all(one["step"] <= other["step"] for one, other in pairwise(each.records))


def test_a_run_stops_after_so_many_and_keeps_its_checkpoint(tmp_path: Path) -> None:
    run = RunConfig(device="cpu", log_steps=1, checkpoint_steps=1, checkpoint_minutes=0, skip_steps=3)
    config = config_of(run)
    with pytest.raises(RuntimeError) as stop:
        fit(Toy(config), Turning("gbbgbbbggg"), config, run_folder=tmp_path / "run", loggers=[])
    assert_said("too many such steps in a row", str(stop.value))
    # Two of the three are known to the checkpoint: whoever resumes has one left.
    with pytest.raises(RuntimeError, match="stopped at step 7: the loss of 3 steps in a row"):
        fit(Toy(config), Turning("gbbgbbbggg"), config, run_folder=tmp_path / "run", resume=True, loggers=[])


def test_an_epoch_without_a_finite_step_stops_the_run() -> None:
    config = config_of()
    with pytest.raises(RuntimeError, match="there is no checkpoint yet") as stop:
        fit(Toy(config), Turning("bb"), config, loggers=[])
    assert_said("an epoch of such steps alone", str(stop.value))


def test_steps_that_fail_are_resumed_bit_for_bit(tmp_path: Path) -> None:
    class Mortal(Turning):
        def __iter__(self) -> Iterator[Batch]:
            yield from self[:5]
            raise KeyboardInterrupt

    config = config_of(RunConfig(device="cpu", log_steps=1, checkpoint_steps=2, checkpoint_minutes=0), name="sgd")
    straight, resumed = Recorder(), Recorder()
    one, other = Toy(config), Toy(config)
    fit(one, Turning("gbgbbg"), config, run_folder=tmp_path / "straight", loggers=[straight])
    with pytest.raises(KeyboardInterrupt):
        fit(Toy(config), Mortal("gbgbbg"), config, run_folder=tmp_path / "killed", loggers=[])
    fit(other, Turning("gbgbbg"), config, run_folder=tmp_path / "killed", resume=True, loggers=[resumed])
    assert not differing(one.state_dict(), other.state_dict())
    assert resumed.of("epoch", "skipped_steps") == straight.of("epoch", "skipped_steps") == [3]
