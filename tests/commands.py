"""The command line called in this process, and little videos of one's own for it."""

from pathlib import Path
from typing import Any

import numpy as np
from typer.main import get_command
from typer.testing import CliRunner
from videos import numbered_frames, write_video

from cli.main import app

SMALL = [
    *("--backbone", "x3d_nano", "--weights", "none", "--epochs", "1", "--batch", "2", "--device", "cpu"),
    *("--set", "data.crop_size=32", "--set", "data.short_side=32,36", "--set", "data.eval_short_side=32"),
    *("--set", "data.clip_frames=4", "--set", "model.cut=2", "--set", "data.val_fraction=0.5", "--set", "run.kernels=stock"),
]


def run(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
    return result.output


def loaded(command: str) -> Any:
    """Return a command as the command line builds it."""
    return get_command(app).get_command(None, command)  # type: ignore[attr-defined]


def write_own_videos(folder: Path) -> None:
    """Write eight videos into `my videos`, a folder of the classes falling and rising, and exact masks into `my masks`."""
    for number in range(8):
        name = f"{'falling' if number % 2 else 'rising'}/clip {number}"
        write_video(folder / "my videos" / f"{name}.mp4", numbered_frames(12, seed=number))
        masks = np.zeros((12, 48, 64), np.uint8)
        masks[:, 10:30, 20:50] = 1
        path = folder / "my masks" / f"{name}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, mask=masks)


def write_masked_videos(root: Path, *, frames: int) -> None:
    """Write sixteen videos into `videos`, a folder of two classes, and masks of noise into `masks`."""
    for number in range(16):
        name = f"{'falling' if number % 2 else 'rising'}/clip {number}"
        write_video(root / "videos" / f"{name}.mp4", numbered_frames(frames, seed=number))
        (root / "masks" / name).parent.mkdir(parents=True, exist_ok=True)
        np.savez(root / "masks" / f"{name}.npz", mask=np.random.default_rng(number).integers(0, 2, (frames, 48, 64), np.uint8))
