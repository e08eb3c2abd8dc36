"""`kill -9` at seeded moments of a training from the command line: it always goes on from its last checkpoint, to the same bits."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from commands import SMALL, run, write_masked_videos
from mortal import PLACES
from safetensors.torch import load_file

from objabn.checkpoint import find_checkpoint, former_checkpoints, is_complete
from objabn.training.logging import read_records
from objabn.training.run_folder import read_progress

pytestmark = pytest.mark.slow

TRAIN = [
    *("train", "mine", *SMALL, "--epochs", "5", "--loader", "reader", "--resume"),
    *("--set", "data.threads=1", "--set", "optim.ema=0.9", "--set", "optim.lr=1e-3", "--set", "optim.clip_norm=1"),
    *("--set", "run.log_steps=1", "--set", "run.checkpoint_steps=2", "--set", "run.keep_checkpoints=2"),
]
KILLS = 10
OUTSIDE = "another process"
"""The place of a kill that nobody in the program knows of: when log.jsonl has so many lines more."""
LATEST = dict(zip(PLACES, (2, 6, 7, 3, 40, 8, 4), strict=True)) | {OUTSIDE: 6}
"""How often each place is come to at most before the kill."""
TIMES = ("seconds", "clips_per_second", "loader_wait")


class Moment(NamedTuple):
    """When a process is killed: the n-th time that it is at a place."""

    place: str
    times: int


END = Moment("nowhere", 0)
"""A process that nobody kills."""


def moments(seed: int) -> Iterator[Moment]:
    """Yield moments without end, each place as often as every other."""
    generator = random.Random(seed)
    while True:
        for place in generator.sample(sorted(LATEST), len(LATEST)):
            yield Moment(place, generator.randint(1, LATEST[place]))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of packed datasets, of which `mine` has sixteen videos with masks."""
    root = tmp_path_factory.mktemp("chaos")
    write_masked_videos(root, frames=12)
    run("prepare", str(root / "videos"), "--out", str(root / "data/mine"))
    run("masks", "mine", "--from", str(root / "masks"), "--data", str(root / "data"))
    return root / "data"


def start(data: Path, run_folder: Path, moment: Moment) -> subprocess.Popen[str]:
    place, times = ("nowhere", 0) if moment.place == OUTSIDE else moment
    program = [sys.executable, str(Path(__file__).with_name("mortal.py")), place, str(times), str(report_of(run_folder))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    words = [*program, *TRAIN, "--data", str(data), "--out", str(run_folder)]
    return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def report_of(run_folder: Path) -> Path:
    return run_folder.parent / f"{run_folder.name} report.jsonl"


def reports(run_folder: Path) -> list[dict]:
    return read_records(report_of(run_folder))


def finish(process: subprocess.Popen[str], run_folder: Path, moment: Moment) -> bool:
    """Wait for the end of a command, killing it where nobody else does; tell whether it was killed."""
    log, lines = run_folder / "log.jsonl", 0
    if moment.place == OUTSIDE:
        lines = len(read_records(log)) + moment.times
        while process.poll() is None and (not log.exists() or log.read_bytes().count(b"\n") < lines):
            time.sleep(0.001)
        process.kill()
    said, _ = process.communicate(timeout=300)
    assert process.returncode in (0, -signal.SIGKILL), said
    return process.returncode != 0


def step_of(run_folder: Path) -> int:
    return int(read_progress(run_folder).get("step", 0)) if run_folder.exists() else 0


def assert_whole(run_folder: Path) -> None:
    """Check what a kill has left: a checkpoint, once there was one, and nothing half-made where a checkpoint is looked for."""
    found = find_checkpoint(run_folder)
    for folder in (*([] if found is None else [found]), *filter(is_complete, former_checkpoints(run_folder))):
        sizes = json.loads((folder / "manifest.json").read_text())["files"]
        assert {path.name: path.stat().st_size for path in folder.iterdir() if path.name in sizes} == sizes
        assert {"model.safetensors", "state.safetensors", "state.json"} == set(sizes)


def is_unfinished(path: Path) -> bool:
    """Tell whether a file is one that may be half-written; a manifest comes last, and to look for it is no harm."""
    is_hidden, is_aside = path.name.startswith(".") and path.name != ".claim", path.parent.suffix in (".tmp", ".old")
    return is_hidden or (is_aside and path.name != "manifest.json")


def assert_same(run_folder: Path, straight: Path) -> None:
    """Check that a run has come to the very bits of one that nothing has disturbed."""
    assert sorted(path.name for path in run_folder.iterdir()) == sorted(path.name for path in straight.iterdir())
    for name in ("last/model.safetensors", "last/state.safetensors", "best/model.safetensors", "evaluation.json"):
        assert (run_folder / name).read_bytes() == (straight / name).read_bytes(), name
    for folder in former_checkpoints(straight):
        assert is_complete(run_folder / folder.name)
        ours, theirs = (load_file(place / "state.safetensors") for place in (run_folder / folder.name, folder))
        differing = [name for name, value in theirs.items() if not torch.equal(value, ours[name])]
        assert set(differing) <= {"meter.times", "meter.read"}, "seconds may differ"
    assert lines_of(run_folder) == lines_of(straight)


def lines_of(run_folder: Path) -> list[dict]:
    records = read_records(run_folder / "log.jsonl")
    return [{name: value for name, value in record.items() if name not in TIMES} for record in records]


@pytest.fixture(scope="module")
def straight(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing has disturbed."""
    run_folder = tmp_path_factory.mktemp("straight") / "runs/run"
    run_folder.parent.mkdir()
    assert not finish(start(data, run_folder, END), run_folder, END)
    assert step_of(run_folder) == 20
    assert [step for step in (2, 4, 16, 18) if (run_folder / f"step-{step:08}").exists()] == [16, 18]
    return run_folder


@pytest.mark.parametrize("seed", [1, 2])
def test_kills_at_any_moment_change_nothing(data: Path, straight: Path, tmp_path: Path, seed: int) -> None:
    coming, missed, killed, goes_on = moments(seed), [], [], 0
    folders = (tmp_path / "runs" / str(number) for number in range(KILLS + 1))
    folder = next(folders)
    folder.parent.mkdir()
    while True:
        # A moment that the end of a run came before is waited for in the next one.
        moment = missed.pop() if missed else next(coming) if len(killed) < KILLS else END
        before, sessions = step_of(folder), len(reports(folder))
        was_killed = finish(start(data, folder, moment), folder, moment)
        new = reports(folder)[sessions:]
        resumed = [record for record in new if "resumed" in record]
        # A kill may come before anything is loaded.
        assert [record["resumed"] for record in resumed] == [before] * len(resumed)
        assert all(record["is_whole"] and record["folder"] == "last" for record in resumed)
        assert not [record["read"] for record in new if "read" in record and is_unfinished(Path(record["read"]))]
        goes_on += before > 0 and len(resumed)
        if was_killed:
            killed.append(moment)
            assert_whole(folder)
            assert step_of(folder) >= before, "no checkpoint is lost"
            continue
        assert_same(folder, straight)
        assert any("read" in record for record in reports(folder)), "what is read is noticed"
        if moment == END:
            break
        missed.append(moment)
        folder = next(folders)
    assert {moment.place for moment in killed} == set(LATEST), "there are as many kills as places, or more"
    assert goes_on > KILLS / 2
