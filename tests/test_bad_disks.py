"""A full disk: one sentence, nothing half-written is taken for whole, and once there is room all goes on as if nothing had been."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from bad_input import assert_told, objabn
from commands import SMALL, run, write_own_videos
from safetensors.torch import load_file
from videos import everything

TRAIN = ["train", "mine", *SMALL, "--epochs", "2", "--loader", "reader", "--set", "data.threads=1"]


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What comes of all commands where there is room: `data/mine` with masks, `run`, and `net.safetensors`."""
    root = tmp_path_factory.mktemp("straight")
    write_own_videos(root)
    run("prepare", str(root / "my videos"), "--out", str(root / "data/mine"))
    run("masks", "mine", "--from", str(root / "my masks"), "--data", str(root / "data"))
    run(*TRAIN, "--data", str(root / "data"), "--out", str(root / "run"))
    run("export", str(root / "run"), "--out", str(root / "net.safetensors"))
    return root


@contextmanager
def full_disk(name: str, *, after: int = 0) -> Iterator[None]:
    """Have the disk be full whenever a file whose path holds `name` is to be written to it, `after` so many times."""
    sync, patch, count = os.fsync, pytest.MonkeyPatch(), iter(range(10**6))

    def fsync(descriptor: int) -> None:
        if name in str(Path(f"/proc/self/fd/{descriptor}").readlink()) and next(count) >= after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    patch.setattr(os, "fsync", fsync)
    yield
    patch.undo()


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable:
    """The command line, run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: objabn(monkeypatch, capsys, *words)


def hidden(folder: Path) -> list[Path]:
    return list(folder.rglob(".*"))


def test_packing_and_masks_go_on_once_there_is_room(straight: Path, told: Callable) -> None:
    # One worker, so that the first shard is whole before the second one fails.
    prepare = ["prepare", straight / "my videos", "--out", "data/mine", "--workers", 1]
    with full_disk("shard-00001"):
        assert_told("a disk that is full while packing", told(*prepare))
    kept = Path("data/mine/shard-00000.safetensors").stat().st_mtime_ns
    assert not hidden(Path("data"))
    assert told(*prepare).exit_code == 0
    assert Path("data/mine/shard-00000.safetensors").stat().st_mtime_ns == kept
    assert everything(Path("data/mine")) == everything(straight / "data/mine")
    masks = ["masks", "mine", "--from", straight / "my masks"]
    with full_disk("shard-00001"):
        assert_told("a disk that is full while masks are made", told(*masks))
    assert not hidden(Path("data"))
    assert told(*masks).exit_code == 0
    assert everything(Path("data/mine/masks")) == everything(straight / "data/mine/masks")


@pytest.mark.parametrize("file", ["model.safetensors", "state.safetensors", "state.json", "manifest.json"])
def test_training_goes_on_from_its_last_checkpoint(file: str, straight: Path, told: Callable) -> None:
    train = [*TRAIN, "--data", straight / "data", "--out", "run"]
    with full_disk(f"last.tmp/.{file}", after=1):
        assert_told("a disk that is full while training", told(*train))
    assert told(*train, "--resume").exit_code == 0
    ours, theirs = (load_file(folder / "last/model.safetensors") for folder in (Path("run"), straight / "run"))
    assert all(np.array_equal(value, theirs[name]) for name, value in ours.items())
    assert Path("run/evaluation.json").read_text() == (straight / "run/evaluation.json").read_text()


def test_an_exported_file_is_replaced_by_a_whole_one_only(straight: Path, told: Callable) -> None:
    Path("net.safetensors").write_text("the one before")
    with full_disk("net.safetensors"):
        assert_told("a disk that is full while exporting", told("export", straight / "run", "--out", "net.safetensors"))
    assert Path("net.safetensors").read_text() == "the one before"
    assert not hidden(Path())


def test_too_little_room_is_said_before_anything_is_written(straight: Path, told: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(0, 0, 1000))
    assert_told("a disk with too little room", told("prepare", straight / "my videos", "--out", "data/mine"))
    assert not Path("data").exists()


@contextmanager
def small_disk(place: Path, kilobytes: int) -> Iterator[None]:
    """A disk of its own, so small, as far as this machine allows to make one."""
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(place)]
    if sys.platform != "linux" or subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.slow
def test_a_disk_that_is_really_full(straight: Path, tmp_path: Path, told: Callable) -> None:
    """At whatever size the disk becomes full: the files that are there are whole, and with more room the end is the same."""
    for kilobytes in (8, 64, 200, 400, 700, 900, 1100):
        place = tmp_path / str(kilobytes)
        with small_disk(place, kilobytes):
            commands = [
                ["prepare", straight / "my videos", "--out", place / "data/mine"],
                ["masks", "mine", "--from", straight / "my masks", "--data", place / "data"],
                [*TRAIN, "--data", place / "data", "--out", place / "run", "--resume"],
            ]
            for words in commands:
                found = told(*words)
                if found.exit_code:
                    break
            assert found.exit_code == 1, "the disk is large enough for all"
            assert "No space left on device" in found.text or "are needed; choose another --out" in found.text
            assert not hidden(place)
            subprocess.run(["mount", "-o", "remount,size=64m", str(place)], check=True)
            for words in commands:
                assert told(*words).exit_code == 0
            assert everything(place / "data/mine") == everything(straight / "data/mine")
            assert everything(place / "data/mine/masks") == everything(straight / "data/mine/masks")
            for name in ("last/model.safetensors", "last/state.safetensors", "evaluation.json"):
                assert (place / "run" / name).read_bytes() == (straight / "run" / name).read_bytes()
