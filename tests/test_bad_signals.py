"""Ctrl-C, SIGTERM and kill -9 at random moments: no process stays behind, nothing half-made is taken for whole, and all goes on."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from bad_input import assert_said
from commands import SMALL, run, write_masked_videos
from safetensors.torch import load_file
from videos import class_folders, everything

from objabn.data.dataset import open_dataset

PROGRAM = "import sys; sys.argv[0] = 'objabn'; from cli.main import run; run()"
SMALL_DEMO = """if True:
    import functools, sys
    from objabn import recipes
    from objabn.data import demo
    from objabn.settings import override
    from cli.main import run
    whole = recipes.recipe
    short = ["optim.epochs=3", "optim.batch=4", "data.loader=reader", "data.threads=1", "run.device=cpu"]
    recipes.recipe = lambda *words, **choice: override(whole(*words, **choice), *short)
    demo.make_demo = functools.partial(demo.make_demo, train=24, test=8, size=96, frames=24)
    sys.argv[0] = "objabn"
    run()
"""
TRAIN = ["train", "mine", *SMALL, "--epochs", "3", "--loader", "reader", "--set", "data.threads=1"]
MARK = f"OBJABN_TEST={os.getpid()}"
ENDS = {0, 128 + signal.SIGINT, 128 + signal.SIGTERM, -signal.SIGKILL, -signal.SIGINT, -signal.SIGTERM}
"""Negative is the system's own way, which holds again once the command has done its work."""


def start(program: str, *words: str | Path) -> subprocess.Popen[str]:
    """Start a command whose processes can be recognised by what their environment holds."""
    environment = {**os.environ, **dict([MARK.split("=")]), "COLUMNS": "200", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, words)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def listens_to_signals(process: subprocess.Popen[str]) -> bool:
    """Tell whether the program has begun: SIGTERM has a handler."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except FileNotFoundError:
        return True
    caught = next((line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")), "0")
    return process.poll() is not None or bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def left_behind() -> Iterator[int]:
    """Yield the processes that belong to a command, whoever their parent is now."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            is_ours = MARK.encode() in (folder / "environ").read_bytes().split(b"\0")
            if is_ours and (folder / "stat").read_text().rpartition(")")[2].split()[0] != "Z":
                yield int(folder.name)
        except OSError:
            continue


def hit(process: subprocess.Popen[str], seconds: float, number: int) -> tuple[int, str]:
    """Send a signal so many seconds after the program has begun; return how it ended and what it said to stderr."""
    while not listens_to_signals(process):
        time.sleep(0.01)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(number)
    _, said = process.communicate(timeout=60)
    end = time.monotonic() + 20
    while (rest := list(left_behind())) and time.monotonic() < end:
        time.sleep(0.05)
    assert not rest, "a process outlives its command"
    assert process.returncode in ENDS, said
    assert "Traceback" not in said, said
    return process.returncode, said


def interrupt_until_done(begin: Callable[[], subprocess.Popen[str]], *, rounds: int, longest: float, seed: int) -> None:
    """Begin a command again and again, hitting it at a random moment each time, and let it come to its end."""
    generator = random.Random(seed)
    for _ in range(rounds):
        hit(begin(), generator.uniform(0, longest), generator.choice([signal.SIGINT, signal.SIGTERM, signal.SIGKILL]))
    process = begin()
    _, said = process.communicate()
    assert process.returncode == 0, said


def test_a_command_that_is_told_to_stop_says_so(tmp_path: Path) -> None:
    class_folders(tmp_path / "source", frames=(30,) * 12)
    for number, case in ((signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")):
        process = start(PROGRAM, "prepare", tmp_path / "source", "--out", tmp_path / "packed")
        assert process.stdout is not None
        process.stdout.readline()
        code, said = hit(process, 0.0, number)
        assert code == 128 + number
        assert_said(case, said)
        assert not (tmp_path / "packed" / "manifest.json").exists()
        assert not [path for path in (tmp_path / "packed").glob(".*") if path.name != ".claim"]


@pytest.mark.slow
def test_prepare_is_interrupted_at_any_moment(tmp_path: Path) -> None:
    class_folders(tmp_path / "source", frames=(60,) * 48)
    run("prepare", str(tmp_path / "source"), "--out", str(tmp_path / "straight"))
    words = ["prepare", tmp_path / "source", "--out", tmp_path / "packed"]
    interrupt_until_done(lambda: start(PROGRAM, *words), rounds=12, longest=2.5, seed=1)
    assert everything(tmp_path / "packed") == everything(tmp_path / "straight")


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of packed datasets; `mine` has no masks yet, and `masks` beside it holds them."""
    root = tmp_path_factory.mktemp("signals")
    write_masked_videos(root, frames=40)
    run("prepare", str(root / "videos"), "--out", str(root / "data/mine"))
    return root / "data"


@pytest.mark.slow
def test_masks_are_interrupted_at_any_moment(packed: Path) -> None:
    words = ["masks", "mine", "--from", packed.parent / "masks", "--data", packed]
    run(*map(str, words))
    straight = everything(packed / "mine" / "masks")
    for path in (packed / "mine" / "masks").iterdir():
        path.unlink()
    interrupt_until_done(lambda: start(PROGRAM, *words), rounds=8, longest=0.6, seed=2)
    assert everything(packed / "mine" / "masks") == straight


@pytest.mark.slow
def test_training_and_evaluation_are_interrupted_at_any_moment(packed: Path, tmp_path: Path) -> None:
    run("masks", "mine", "--from", str(packed.parent / "masks"), "--data", str(packed))
    words = [*TRAIN, "--data", packed, "--resume", "--out"]
    run(*map(str, words), str(tmp_path / "straight"))
    interrupt_until_done(lambda: start(PROGRAM, *words, tmp_path / "run"), rounds=10, longest=6.0, seed=3)
    for name in ("last/model.safetensors", "last/state.safetensors", "best/model.safetensors", "evaluation.json"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes(), name
    before = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    begin = lambda: start(PROGRAM, "evaluate", tmp_path / "run", "--subset", "val", "--data", packed)  # noqa: E731
    interrupt_until_done(begin, rounds=5, longest=4.0, seed=4)
    assert json.loads((tmp_path / "run" / "evaluation.json").read_text()) == before


@pytest.mark.slow
def test_the_demo_is_interrupted_at_any_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    straight = start(SMALL_DEMO, "demo", "--out", "straight", "--data", "straight data")
    _, said = straight.communicate()
    assert straight.returncode == 0, said
    interrupt_until_done(lambda: start(SMALL_DEMO, "demo", "--out", "runs", "--data", "data"), rounds=10, longest=8.0, seed=5)
    assert everything(Path("data/demo")) == everything(Path("straight data/demo"))
    for row, frames in enumerate(open_dataset("data/demo").index.frames.tolist()):
        clips = [open_dataset(f"{folder}/demo").masks(row, np.arange(frames)) for folder in ("data", "straight data")]
        np.testing.assert_array_equal(clips[0].mask, clips[1].mask)
    ours, theirs = (load_file(f"{folder}/demo/last/model.safetensors") for folder in ("runs", "straight"))
    assert all(bool((value == theirs[name]).all()) for name, value in ours.items())
