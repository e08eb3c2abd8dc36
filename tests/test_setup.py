"""`make setup` installs again when more is asked for than was installed, and not otherwise."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def make(*words: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    # `make test` hands its own variables on to what it starts.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name not in {"BENCH", "EXTRAS"}}
    return subprocess.run(["make", *words, "setup"], cwd=ROOT, capture_output=True, text=True, check=False, env=environment)


@pytest.mark.parametrize(
    ("installed", "asked", "missing"),
    [
        ([], [], False),
        ([], ["BENCH=1"], True),
        (["BENCH=1"], ["BENCH=1"], False),
        ([], ["EXTRAS=cuda12,masks,dev"], True),
        (["EXTRAS=cuda12"], ["EXTRAS=cuda12", "BENCH=1"], True),
    ],
)
def test_more_extras_are_installed(tmp_path: Path, installed: list[str], asked: list[str], missing: bool) -> None:
    (stamp,) = [line.split()[1] for line in make("-n", f"VENV={tmp_path}", *installed).stdout.splitlines() if line.startswith("touch ")]
    Path(stamp).touch()
    assert make("-q", f"VENV={tmp_path}", *asked).returncode == int(missing)


def test_the_peers_of_the_bench_are_an_extra(tmp_path: Path) -> None:
    assert '".[cuda13,masks,dev]"' in make("-n", f"VENV={tmp_path}").stdout
    assert '".[cuda13,masks,dev,bench]"' in make("-n", f"VENV={tmp_path}", "BENCH=1").stdout
    assert '".[cuda12,bench]"' in make("-n", f"VENV={tmp_path}", "BENCH=1", "EXTRAS=cuda12").stdout
