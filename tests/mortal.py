"""The command line on a shallow network, which ends by SIGKILL when it comes to a place for the n-th time.

`python mortal.py PLACE N REPORT WORDS...` runs `objabn WORDS...` and writes into REPORT, a line each, from which checkpoint
it goes on and which files of runs it reads. The place `nowhere` lets it come to its end.
"""

import contextlib
import importlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

PLACES = {
    "clip": ("objabn.data.reader", "Reader", "read_clip"),
    "step": ("objabn.training.step", "", "clip_gradients"),
    "log line": ("objabn.training.logging", "JsonLines", "log"),
    "evaluation": ("objabn.training.scores", "VideoScores", "add"),
    "file": ("os", "", "fsync"),
    "rename": ("pathlib", "Path", "rename"),
    "deletion": ("shutil", "", "rmtree"),
}
"""Module, class and function that is not come back from."""


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()


def leave_half(place: str, given: tuple[Any, ...]) -> None:
    """Leave what a kill in the middle of the function would leave."""
    if place == "file":
        # What is flushed by a descriptor for reading is whole already.
        with contextlib.suppress(OSError):
            os.ftruncate(given[0], os.fstat(given[0]).st_size // 2)
    if place == "log line":
        given[0].file.write(json.dumps(given[1])[:20])
        given[0].file.flush()
    if place == "deletion":
        min(given[0].iterdir()).unlink()


def kill_at(place: str, times: int) -> None:
    """Have this process killed when it comes to the place for the n-th time."""
    module_name, class_name, name = PLACES[place]
    module = importlib.import_module(module_name)
    owner = getattr(module, class_name) if class_name else module
    function, left = getattr(owner, name), iter(range(times - 1))

    def mortal(*given: Any, **named: Any) -> Any:
        if next(left, None) is None:
            leave_half(place, given)
            die()
        return function(*given, **named)

    setattr(owner, name, mortal)


def report_to(path: Path) -> None:
    """Write down from which checkpoint training goes on, and which files of run folders are read by Python."""
    from objabn.checkpoint import is_complete
    from objabn.training import loop

    file, load_state = path.open("a", buffering=1), loop.load_state

    def tell(**values: Any) -> None:
        file.write(json.dumps(values) + "\n")

    def load(state: Any, folder: Path, **named: Any) -> None:
        is_whole = is_complete(folder)
        load_state(state, folder, **named)
        tell(resumed=state.progress.step, folder=folder.name, is_whole=is_whole)

    def listen(event: str, given: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(given[1], str) and given[1].startswith("r") and "/runs/" in str(given[0]):
            tell(read=str(given[0]))

    loop.load_state = load
    sys.addaudithook(listen)


def shallow() -> None:
    """Make `x3d_nano` a network of one block a stage, as the fixture of this name does."""
    from objabn.models.sizes import BACKBONES, X3D_SIZES, X3DSize

    size = X3DSize(width_factor=1.0, depth_factor=0.2, head_channels=32, clip_frames=4, clip_size=32, kinetics400=None)
    X3D_SIZES["x3d_nano"] = BACKBONES["x3d_nano"] = size


def main(place: str, times: str, report: str, *words: str) -> None:
    from cli.main import run

    shallow()
    report_to(Path(report))
    if place != "nowhere":
        kill_at(place, int(times))
    sys.argv = ["objabn", *words]
    run()


if __name__ == "__main__":
    # Where this file lies is of no use to anybody else.
    sys.path[0] = str(Path(__file__).parents[1])
    main(*sys.argv[1:])
