"""`objabn explain` killed at several moments: nothing half has a name, and the same command goes on."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from toys import nano, toy_config
from videos import numbered_frames, write_video

from objabn.models.storage import save_model

ROOT = Path(__file__).parents[1]
WORDS = [sys.executable, "-c", "from cli.main import run; run()", "explain", "net.safetensors", "videos", "--out", "out"]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}


def contents() -> dict[str, bytes]:
    """What stands under proper names."""
    files = [path for path in Path("out").rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {str(path.relative_to("out")): path.read_bytes() for path in files}


@pytest.mark.slow
def test_killed_at_any_moment_nothing_half_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    net = nano(toy_config())
    net.clip_config = toy_config().data
    save_model(net, Path("net.safetensors"))
    for seed, name in enumerate(("a/clip.mp4", "b/long.mp4")):
        write_video(Path("videos") / name, numbered_frames(100 * seed + 20, seed=seed))
    begin = time.monotonic()
    subprocess.run(WORDS, check=True, env=ENVIRONMENT)
    seconds, whole = time.monotonic() - begin, contents()
    assert len(whole) == 10
    for share in (0.75, 0.9):
        shutil.rmtree("out")
        process = subprocess.Popen(WORDS, env=ENVIRONMENT)
        time.sleep(share * seconds)
        process.kill()
        process.wait()
        assert contents().items() <= whole.items()
        subprocess.run(WORDS, check=True, env=ENVIRONMENT)
        assert contents() == whole
        assert not [path for path in Path("out").rglob(".*") if path.is_file()]
