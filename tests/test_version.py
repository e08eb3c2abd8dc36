"""Versions are told at once, and are those of the libraries themselves."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch
from commands import run

import objabn
from cli import version
from objabn import versions


def test_the_versions_are_those_of_the_libraries_themselves() -> None:
    import av

    told = dict(line.split(" ", 1) for line in run("--version").splitlines())
    assert run("--version").splitlines()[0] == f"objabn {objabn.__version__}"
    assert told["torch"] == torch.__version__
    assert told.get("cuda") == torch.version.cuda
    assert told["python"] == sys.version.split()[0]
    assert told["ffmpeg"] == av.ffmpeg_version_info
    assert told["numpy"] == metadata.version("numpy")


def test_torch_is_not_imported_for_it() -> None:
    code = "import sys; from objabn.versions import versions; found = versions(); print(found['torch'], 'torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True).stdout
    assert said.split() == [torch.__version__, "False"]


def test_what_is_absent_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", absent)
    assert set(versions.versions()) == {"objabn", "python"}


def test_a_pyav_that_cannot_be_imported_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    assert version.ffmpeg_version().startswith("not found (")
