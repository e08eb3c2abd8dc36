"""Every setting that the page on training shows is one."""

import re
from pathlib import Path

import pytest
from commands import run
from toys import nano, toy_config

import objabn

PAGE = (Path(__file__).parents[1] / "docs/training.md").read_text()
SHOWN = re.findall(r"^\| [^|]+\| `(--[^`]+)` \|", PAGE, re.MULTILINE) + re.findall(r"^objabn train my_videos (.+)$", PAGE, re.MULTILINE)


def test_the_page_shows_settings() -> None:
    assert len(SHOWN) == 22


@pytest.mark.parametrize("words", SHOWN)
def test_what_the_page_shows_is_accepted_and_changes_the_settings(words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    objabn.save_model(nano(toy_config()), "net.safetensors")
    given = re.sub(r"--finetune \S+", "--finetune net.safetensors", words).replace("'", "").split()
    assert run("train", "ucf101", *given, "--dry-run") != run("train", "ucf101", "--dry-run")
