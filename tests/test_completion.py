"""What Tab offers, asked as bash asks it: a process with the words in its environment."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cli.completion import defaults
from objabn.config import Config
from objabn.models.build import create_model
from objabn.models.sizes import BACKBONES
from objabn.settings import override

PROGRAM = "import sys; sys.argv[0] = 'objabn'; from cli.main import run; run()"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A working folder with two packed datasets, a folder that is none, and two runs."""
    for name in ("data/ucf101/manifest.json", "data/own/manifest.json", "data/begun/shard-0.safetensors", "runs/a/config.json"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("{}")
    (tmp_path / "runs/empty").mkdir()
    return tmp_path


def complete(place: Path, *words: str, program: str = PROGRAM, **environment: str) -> list[str]:
    """Return what is offered in place of the last word."""
    asked = {"_OBJABN_COMPLETE": "complete_bash", "COMP_WORDS": "\n".join(["objabn", *words]), "COMP_CWORD": str(len(words))}
    known = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[1])}
    command, variables = [sys.executable, "-c", program], known | asked | environment
    said = subprocess.run(command, cwd=place, env=variables, capture_output=True, text=True, check=True).stdout
    return [line for line in said.splitlines() if line]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("mod",), ["models"]),
        (("train", ""), ["demo", "own", "ucf101"]),
        (("masks", "u"), ["ucf101"]),
        (("train", "--data", "nowhere", ""), ["demo"]),
        (("train", "own", "--backbone", "x3d_"), [name for name in BACKBONES if name.startswith("x3d_")]),
        (("train", "own", "--backbone", "slow"), ["slow_r50", "slowfast_r50"]),
        (("train", "own", "--system", "ob"), ["object_abn"]),
        (("train", "own", "--loader", ""), ["dali", "reader"]),
        (("evaluate", ""), ["runs/a"]),
        (("evaluate", "runs/a", "--subset", ""), ["val", "test"]),
        (("explain", "r"), ["runs/a"]),
        (("export", "elsewhere/"), []),
    ],
)
def test_names_that_are_here_are_offered(place: Path, words: tuple[str, ...], offered: list[str]) -> None:
    assert complete(place, *words) == offered


def test_datasets_are_looked_for_where_the_environment_says(place: Path) -> None:
    (place / "data").rename(place / "elsewhere")
    assert complete(place, "train", "") == ["demo"]
    assert complete(place, "train", "", OBJABN_DATA="elsewhere") == ["demo", "own", "ucf101"]


@pytest.mark.parametrize(
    ("word", "offered"),
    [
        ("loss.mask", ["loss.mask=", "loss.mask_target=", "loss.mask_warmup_epochs="]),
        ("loss.mask_t", ["loss.mask_target=hard", "loss.mask_target=soft"]),
        ("loss.mask_target=s", ["loss.mask_target=soft"]),
        ("optim.lr", ["optim.lr=0.0001"]),
        ("data.short_side", ["data.short_side=256,320"]),
        ("run.deterministic", ["run.deterministic=true", "run.deterministic=false"]),
        ("nothing.", []),
    ],
)
def test_settings_are_offered_with_their_values(place: Path, word: str, offered: list[str]) -> None:
    assert complete(place, "train", "own", "--set", word) == offered


def test_every_setting_is_known_and_may_be_set_to_its_default() -> None:
    from cli.completion import values_of

    assert "optim.lr" in defaults()
    for path, default in defaults().items():
        text = ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
        assert override(Config(), f"{path}={text}") == Config()
        assert set(values_of(*path.split("."))) & {text, text.lower()}


def test_completion_imports_nothing_heavy(place: Path) -> None:
    program = f"import atexit, json, sys; atexit.register(lambda: json.dump(sorted(sys.modules), open('modules', 'w'))); {PROGRAM}"
    assert complete(place, "train", "own", "--backbone", "x3d_n", program=program) == ["x3d_nano"]
    assert not {"torch", "numpy", "av", "nvidia.dali"} & set(json.loads((place / "modules").read_text()))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_gets_a_script(place: Path, shell: str) -> None:
    environment = {"_OBJABN_COMPLETE": f"source_{shell}"}
    assert "_OBJABN_COMPLETE=complete_" + shell in "\n".join(complete(place, "", **environment))


def test_all_backbones_that_are_offered_can_be_built() -> None:
    for name in BACKBONES:
        with torch.device("meta"):
            assert create_model(name, classes=2, clip_frames=1, clip_size=32).config.backbone == name
