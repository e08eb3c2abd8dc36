"""Former checkpoints beside last/: each whole, the latest so many, given up for want of room; and one on demand by SIGUSR1."""

import errno
import io
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from bad_input import assert_said
from rich.console import Console
from toys import Recorder, Toy, nano, toy_batch, toy_config

from objabn import checkpoint as checkpoint_module
from objabn.checkpoint import find_checkpoint, former_checkpoints, is_complete, keep_latest
from objabn.config import Config, LossConfig, OptimConfig, RunConfig
from objabn.models.model_files import model_file
from objabn.models.storage import load_model
from objabn.training.logging import Screen
from objabn.training.loop import fit
from objabn.training.run_folder import consumed_samples
from objabn.types import Batch

CLIPS = [toy_batch(seed) for seed in range(5)]


class Killed(BaseException):
    """Stands for SIGKILL: nothing in between may catch it."""


def config_of(*, keep: int, every: int = 1, epochs: int = 1) -> Config:
    run = RunConfig(device="cpu", log_steps=1, checkpoint_steps=every, checkpoint_minutes=0, keep_checkpoints=keep)
    return replace(toy_config(optim=OptimConfig(epochs=epochs, batch=4, lr=1e-2), run=run), loss=LossConfig(pc=0.0))


def step_in(folder: Path) -> int:
    return int(json.loads((folder / "state.json").read_text())["progress"]["step"])


def names_in(run_folder: Path) -> list[str]:
    return sorted(path.name for path in run_folder.iterdir() if path.is_dir())


def weights_of(net: torch.nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in net.parameters()])


@pytest.mark.parametrize(("keep", "every", "expected"), [(0, 2, []), (2, 1, [3, 4]), (9, 2, [2, 4])])
def test_the_latest_stay_and_each_is_what_last_was(tmp_path: Path, keep: int, every: int, expected: list[int]) -> None:
    config = config_of(keep=keep, every=every)
    fit(Toy(config), CLIPS, config, run_folder=tmp_path, loggers=[])
    assert names_in(tmp_path) == ["last", *(f"step-{step:08}" for step in expected)]
    assert [step_in(folder) for folder in former_checkpoints(tmp_path)] == expected
    assert all(map(is_complete, former_checkpoints(tmp_path)))
    # The end of the epoch is the step of the last checkpoint before it, and takes its place.
    assert step_in(tmp_path / "last") == 5


@pytest.mark.usefixtures("shallow")
def test_a_kept_one_is_a_model_and_a_place_to_go_on_from(tmp_path: Path) -> None:
    config = config_of(keep=1, every=3)
    net, other = nano(config), nano(config, seed=1)
    fit(net, CLIPS, config, run_folder=tmp_path / "run", loggers=[])
    kept = tmp_path / "run/step-00000003"
    for path in (kept / "model.safetensors", kept):
        loaded = load_model(path)
        assert (loaded.classes, model_file(path)) == (3, kept / "model.safetensors")
    shutil.rmtree(tmp_path / "run/last")
    kept.rename(tmp_path / "run/last")
    fit(other, CLIPS, config, run_folder=tmp_path / "run", resume=True, loggers=[])
    assert torch.equal(weights_of(net), weights_of(other))


def test_what_a_kill_left_of_a_deletion_is_deleted_and_other_folders_are_not(tmp_path: Path) -> None:
    config = config_of(keep=9)
    fit(Toy(config), CLIPS, config, run_folder=tmp_path, loggers=[])
    (tmp_path / "step-00000002/manifest.json").unlink()
    for name in ("step-by-step", "steps"):
        (tmp_path / name).mkdir()
    keep_latest(tmp_path, 2)
    assert names_in(tmp_path) == ["last", "step-00000003", "step-00000004", "step-by-step", "steps"]


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> torch.Tensor:
    """The weights of a run that nothing has disturbed."""
    config = config_of(keep=1, every=2)
    net = Toy(config)
    fit(net, CLIPS, config, run_folder=tmp_path_factory.mktemp("straight"), loggers=[])
    return weights_of(net)


def survives(run_folder: Path, moment: int, straight: torch.Tensor) -> bool:
    """Kill a run at this operation on its folder, resume it, and check its end; tell whether it came to that operation."""
    config, left, patch = config_of(keep=1, every=2), iter(range(moment)), pytest.MonkeyPatch()

    def mortal(function: Callable) -> Callable:
        def call(*given: object, **named: object) -> object:
            if next(left, None) is None:
                raise Killed
            return function(*given, **named)

        return call

    patch.setattr(Path, "rename", mortal(Path.rename))
    patch.setattr(Path, "unlink", mortal(Path.unlink))
    for name in ("write_json", "remove", "flush"):
        patch.setattr(checkpoint_module, name, mortal(getattr(checkpoint_module, name)))
    try:
        fit(Toy(config), CLIPS, config, run_folder=run_folder, loggers=[])
        return False
    except Killed:
        patch.undo()
        assert (find_checkpoint(run_folder) is None) == (consumed_samples(run_folder) == 0)
        net = Toy(config)
        fit(net, CLIPS, config, run_folder=run_folder, resume=True, loggers=[])
        assert torch.equal(weights_of(net), straight)
        assert set(names_in(run_folder)) <= {"last", "step-00000004"}, "nothing that a kill left stays"
        return True
    finally:
        patch.undo()


@pytest.mark.parametrize("moment", [22, 25])
def test_a_kill_between_two_operations_loses_nothing(tmp_path: Path, straight: torch.Tensor, moment: int) -> None:
    assert survives(tmp_path, moment, straight)


@pytest.mark.slow
def test_a_kill_between_any_two_operations_loses_nothing(tmp_path: Path, straight: torch.Tensor) -> None:
    moments = next(moment for moment in range(1000) if not survives(tmp_path / str(moment), moment, straight))
    assert moments > 40


@contextmanager
def full_disk(is_full: Callable[[int], bool]) -> Iterator[None]:
    """Have the disk be full for the states of checkpoints when so many have been begun."""
    sync, patch, begun = os.fsync, pytest.MonkeyPatch(), iter(range(100))

    def fsync(descriptor: int) -> None:
        if "last.tmp/.state.safe" in str(Path(f"/proc/self/fd/{descriptor}").readlink()) and is_full(next(begun)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    patch.setattr(os, "fsync", fsync)
    yield
    patch.undo()


def test_a_kept_one_gives_way_to_the_next_where_the_disk_is_full(tmp_path: Path) -> None:
    config, recorder, text = config_of(keep=3), Recorder(), io.StringIO()
    screen = Screen(epochs=1, steps_per_epoch=5, console=Console(file=text, width=200))
    with full_disk(lambda _: len(former_checkpoints(tmp_path)) > 1):
        fit(Toy(config), CLIPS, config, run_folder=tmp_path, loggers=[recorder, screen])
    assert names_in(tmp_path) == ["last", "step-00000004"]
    notes = [record["text"] for record in recorder.records if record["event"] == "note"]
    assert_said("a disk that is full while former checkpoints are kept on it", notes[0])
    assert len(notes) == 3
    assert text.getvalue().startswith(notes[0])


def test_only_one_gives_way_and_what_there_is_stays_whole(tmp_path: Path, straight: torch.Tensor) -> None:
    config = config_of(keep=3)
    net = Toy(config)
    with full_disk(lambda begun: begun >= 3), pytest.raises(OSError, match="No space left on device") as stop:
        fit(Toy(config), CLIPS, config, run_folder=tmp_path, loggers=[])
    assert stop.value.filename == str(tmp_path / "last.tmp/state.safetensors")
    assert [step_in(folder) for folder in (find_checkpoint(tmp_path), *former_checkpoints(tmp_path))] == [3, 2]
    fit(net, CLIPS, config, run_folder=tmp_path, resume=True, loggers=[])
    assert torch.equal(weights_of(net), straight)


class Signalling(list):
    """Batches during the second of which somebody asks for a checkpoint, twice."""

    def __iter__(self) -> Iterator[Batch]:
        for position, batch in enumerate(super().__iter__()):
            if position == 1:
                signal.raise_signal(signal.SIGUSR1)
                signal.raise_signal(signal.SIGUSR1)
            yield batch


def test_sigusr1_writes_a_checkpoint_after_the_step_and_the_run_goes_on(tmp_path: Path) -> None:
    handler, config, found = signal.getsignal(signal.SIGUSR1), config_of(keep=0, every=0), []

    class Watching(Recorder):
        def log(self, record: dict) -> None:
            super().log(record)
            found.append(consumed_samples(tmp_path) // 4)

    result = fit(Toy(config), Signalling(CLIPS), config, run_folder=tmp_path, loggers=[Watching()])
    assert result.steps == 5
    assert found == [0, 0, 2, 2, 2, 2], "one checkpoint, once step 2 is logged"
    assert signal.getsignal(signal.SIGUSR1) is handler
