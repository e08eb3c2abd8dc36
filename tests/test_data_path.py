"""The whole table of the data path, made from small videos."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from videos import numbered_frames, write_video

from benchmarks.data_path import parse


@pytest.mark.slow
def test_the_whole_table_in_one_command(tmp_path: Path) -> None:
    for number in range(20):
        name = f"{'ab'[number % 2]}/clip {number}"
        write_video(tmp_path / f"videos/{name}.avi", numbered_frames(20, height=128, width=160, seed=number))
        masks = np.zeros((20, 128, 160), np.uint8)
        masks[:, 20:80, 30:100] = 1
        (tmp_path / f"masks/{name}").parent.mkdir(parents=True, exist_ok=True)
        np.savez(tmp_path / f"masks/{name}.npz", mask=masks)
    small = ["optim.batch=8", "data.crop_size=64", "data.short_side=64,72", "data.eval_short_side=64", "run.device=cpu"]
    settings = [word for setting in small for word in ("--set", setting)]
    words = ["videos", "--masks", "masks", "--out", "out", "--epochs", "1", *settings]
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.data_path", *words],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert result.returncode == 0, result.stderr
    waits = dict(re.findall(r"^(\w+): the loader was waited for, % of each epoch: (.+)$", result.stdout, re.MULTILINE))
    assert set(waits) == {"frames", "vp9", "h264"}
    assert 0 <= float(waits["frames"]) <= 100
    rows = json.loads((tmp_path / "out/loader.json").read_text())["rows"]
    assert {"DALI on the CPU, JPEG", "DALI on the CPU, vp9", "reader, h264"} <= {row["case"].partition(":")[0] for row in rows}
    assert all(row["frame_exact"] for row in rows)
    assert json.loads((tmp_path / "out/step.json").read_text())["rows"]


def test_masks_come_from_one_place() -> None:
    assert parse(["videos", "--segmenter", "net.pt", "--out", "out"]).masks is None
    with pytest.raises(SystemExit):
        parse(["videos", "--out", "out"])
    with pytest.raises(SystemExit):
        parse(["videos", "--segmenter", "net.pt", "--masks", "mine", "--out", "out"])
