"""The page on many GPUs: its commands can be typed, its settings exist, and its budgets are those that its Python computes."""

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from commands import loaded
from test_docs import ROOT, execute, python_blocks
from toys import Toy, toy_config
from videos import class_folders, packed

from objabn.config import Config, LossConfig, OptimConfig
from objabn.settings import to_dict

PAGE = ROOT / "docs" / "scaling.md"
TEXT = PAGE.read_text().replace("\\\n", " ")
COMMANDS = re.findall(r"--no-python (objabn .+)$", TEXT, re.MULTILINE)


def test_the_page_has_commands() -> None:
    assert len(COMMANDS) == 5


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_is_one(line: str) -> None:
    _, command, *words = shlex.split(line)
    assert loaded(command).make_context(command, words).params


def test_every_setting_is_one() -> None:
    named = set(re.findall(r"(?:`|--set )(optim|run|data)\.(\w+)", TEXT))
    assert len(named) > 10
    known = to_dict(Config())
    assert all(name in known[section] for section, name in named)


def test_the_budgets_are_what_the_page_computes() -> None:
    names: dict = {}
    execute(PAGE, names, python_blocks(PAGE))
    shown = re.findall(r"^\| ([^|]+) \| ([\d.,]+) \| ([\d.,]+) \|$", TEXT, re.MULTILINE)
    found = {name: tuple(float(value.replace(",", "")) for value in values) for name, *values in shown}
    for name, value in names["ssv2"].items():
        assert found[name] == pytest.approx((value, names["kinetics700"][name]), rel=5e-3), name
    assert names["ssv2"]["cores a GPU, all on the CPU"] == pytest.approx(5.84), "400 clips/s of 14.6 ms"
    assert names["kinetics700"]["gradients sent by a GPU a step, MB"] == pytest.approx(44.4, abs=0.05), "2 x 22.55 MB x 63 / 64"


def test_its_python_trains_in_a_single_process_too(tmp_path: Path) -> None:
    names: dict = {}
    execute(PAGE, names, python_blocks(PAGE)[:1])
    config = toy_config(optim=OptimConfig(epochs=1, batch=2))
    config = replace(config, data=replace(config.data, stride_frames=2), loss=LossConfig(mask=0.0))
    dataset = packed(class_folders(tmp_path / "videos"), tmp_path)
    assert names["train"](Toy(config), dataset, config).steps == 2
