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

from objabn.data.pack_workers import Lost, supervised

Step = Callable[[], None]


def misbehave(item: tuple[str, Path], step: Step) -> str:
    """Do what the item asks for; the folder beside it tells of earlier attempts."""
    what, folder = item
    attempts = len(list(folder.glob(f"{what}*")))
    (folder / f"{what} {attempts}").touch()
    if what == "crash" or (what == "crash once" and attempts == 0):
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == "leave":
        os._exit(3)
    if what == "hang":
        time.sleep(1000)
    if what == "be slow":
        for _ in range(5):
            time.sleep(0.7)
            step()
    if what == "need memory":
        return str(np.zeros(10**14, np.uint8).sum())
    if what == "fail":
        raise KeyError("no such thing")
    return f"did {what}"


def outcomes(folder: Path, *asked: str, workers: int = 2) -> dict[str, object]:
    items = [(what, folder) for what in asked]
    return {asked[position]: result for position, result in supervised(misbehave, items, workers=workers, patience_seconds=2)}


def test_whatever_becomes_of_one_the_others_are_done(tmp_path: Path) -> None:
    found = outcomes(tmp_path, "work", "crash", "leave", "fail", "need memory", "crash once", "work on")
    assert found == {
        "work": "did work",
        "crash": Lost("the process that decoded it was ended twice, by SIGSEGV"),
        "leave": Lost("the process that decoded it was ended twice, by exit code 3"),
        "fail": Lost("an unforeseen error came of it (KeyError: 'no such thing')"),
        "need memory": Lost("it needs more memory than there is"),
        "crash once": "did crash once",
        "work on": "did work on",
    }
    assert len(list(tmp_path.glob("crash [0-9]"))) == 2
    assert len(list(tmp_path.glob("fail*"))) == 1


def test_silence_is_given_up_and_slowness_is_not(tmp_path: Path) -> None:
    """The slow one takes longer than there is patience, and shows that it is at work."""
    found = outcomes(tmp_path, "hang", "be slow")
    assert found == {"hang": Lost("it was given up since nothing came of it for 2 s"), "be slow": "did be slow"}


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
