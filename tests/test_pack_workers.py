"""Processes that crash, hang or run out of memory are noticed, and everything else is done all the same."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from bad_input import assert_said
from videos import class_folders

from objabn.data.pack import pack
from objabn.data.pack_shard import EncodedVideo, PackSettings, encode_entry
from objabn.data.pack_workers import Lost, supervised
from objabn.data.sources import Entry, folder

Step = Callable[[], None]


def misbehave(item: tuple[str, Path], step: Step) -> str:
    """Do what the item asks for; the folder beside it tells of earlier attempts."""
    what, folder = item
    attempts = len(list(folder.glob(f"{what}*")))
    (folder / f"{what} {attempts}").touch()
    if what == "be killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "crash" or (what == "crash once" and attempts == 0):
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == "hang":
        time.sleep(1000)
    if what == "be slow":
        for _ in range(4):
            time.sleep(1.0)
            step()
    if what == "need memory":
        # More than a third of the memory, which is the share of two processes, and less than all.
        return str(np.zeros(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2, np.uint8).size)
    if what == "fail":
        raise KeyError("no such thing")
    return f"did {what}"


def outcomes(folder: Path, *asked: str, workers: int = 2) -> dict[str, object]:
    items = [(what, folder) for what in asked]
    return {asked[position]: result for position, result in supervised(misbehave, items, workers=workers, patience_seconds=2)}


def assert_lost(case: str, found: object) -> None:
    assert isinstance(found, Lost)
    assert_said(case, found.reason)


def test_whatever_becomes_of_one_the_others_are_done(tmp_path: Path) -> None:
    lost = {
        "crash": "a decoder that crashes",
        "be killed": "a process that the system kills",
        "need memory": "a video that needs more memory than there is",
        "fail": "an error that nobody foresaw",
    }
    found = outcomes(tmp_path, "work", *lost, "crash once", "work on")
    for what, case in lost.items():
        assert_lost(case, found.pop(what))
    assert found == {"work": "did work", "crash once": "did crash once", "work on": "did work on"}
    assert len(list(tmp_path.glob("crash [0-9]"))) == 2
    assert len(list(tmp_path.glob("fail*"))) == 1


def encode_or_misbehave(entry: Entry, on_frame: Step, settings: PackSettings) -> EncodedVideo | Lost:
    """Encode a video, unless its name says otherwise."""
    if entry.path.stem == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if entry.path.stem == "hang":
        time.sleep(1000)
    return encode_entry(entry, on_frame, settings)


def test_a_packing_names_the_videos_at_which_its_processes_died(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = class_folders(tmp_path / "source", frames=(5,) * 4)
    for name in ("crash", "hang"):
        (root / "A" / f"{name}.avi").touch()
    monkeypatch.setattr("objabn.data.pack.encode_entry", encode_or_misbehave)
    monkeypatch.setattr("objabn.data.pack.PATIENCE_SECONDS", 1)
    report = pack(folder(root), tmp_path / "packed", workers=2)
    assert (report.videos, len(report.failed)) == (4, 2)
    reasons = {failure["video"]: failure["reason"] for failure in report.failed}
    assert_said("a decoder that crashes", reasons["A/crash.avi"])
    assert_said("a decoder that hangs", reasons["A/hang.avi"])


@pytest.mark.slow
def test_silence_is_given_up_and_slowness_is_not(tmp_path: Path) -> None:
    """The slow one takes longer than there is patience, and shows that it is at work."""
    found = outcomes(tmp_path, "hang", "be slow")
    assert_lost("a decoder that hangs", found.pop("hang"))
    assert found == {"be slow": "did be slow"}


def test_no_process_is_left_when_nobody_listens_any_more(tmp_path: Path) -> None:
    def children() -> set[str]:
        tasks = Path("/proc/self/task").iterdir()
        running = {child for task in tasks for child in (task / "children").read_text().split()}
        return {child for child in running if "resource_tracker" not in Path(f"/proc/{child}/cmdline").read_text()}

    before = children()
    results = supervised(misbehave, [("work", tmp_path), ("hang", tmp_path), ("hang", tmp_path)], workers=3)
    assert next(results) == (0, "did work")
    assert len(children() - before) == 3
    results.close()
    assert children() <= before


def test_a_script_without_a_main_guard_is_told_so(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from objabn.data.pack_workers import supervised\n"
        "def work(item, step): return item\n"
        "print(list(supervised(work, [1], workers=1)))\n"
    )
    result = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1])
    assert result.returncode == 1
    assert "must call this under `if __name__ == '__main__':`" in result.stderr.splitlines()[-1]


@pytest.mark.parametrize("workers", [1, 3])
def test_nothing_to_do_needs_no_process(tmp_path: Path, workers: int) -> None:
    assert outcomes(tmp_path, workers=workers) == {}
