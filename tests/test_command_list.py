"""The list of commands: what it says of each is true, and nothing is loaded to say it."""

import re
import subprocess
import sys
from importlib import import_module

import pytest

from cli.commands import COMMANDS


@pytest.mark.parametrize("name", list(COMMANDS))
def test_a_command_is_described_as_it_describes_itself(name: str) -> None:
    function = getattr(import_module(f"cli.{name}"), name)
    own, listed = (re.split(r"[:;,.]", text.strip())[0] for text in (function.__doc__, COMMANDS[name].help))
    assert own == listed


def test_help_loads_no_command_and_no_settings() -> None:
    call = "import sys\nsys.argv = ['objabn', '--help']\nfrom cli.main import run\n"
    code = call + "try:\n    run()\nexcept SystemExit:\n    print(*sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    *help_lines, modules = answer.splitlines()
    listed = {words[0] for line in help_lines if (words := re.findall(r"^  (\w+)  ", line))}
    assert listed >= COMMANDS.keys()
    loaded = set(modules.split())
    assert "cli.main" in loaded
    assert not loaded & {"torch", "numpy", "rich.markdown", "objabn.config", *(f"cli.{name}" for name in COMMANDS)}
