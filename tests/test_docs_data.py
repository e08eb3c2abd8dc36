"""The page of data sets: its commands can be typed, its Python runs, and what it says of names is so."""

import shlex
from pathlib import Path

import pytest
from commands import loaded
from test_docs import ROOT, execute, python_blocks
from videos import numbered_frames, write_video

from objabn.data.pack import pack
from objabn.data.sources import OFFICIAL, official
from objabn.recipes import recipe

PAGE = ROOT / "docs" / "data.md"
COMMANDS = [line for line in PAGE.read_text().splitlines() if line.startswith("objabn ")]


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_is_one(line: str) -> None:
    _, command, *words = shlex.split(line, comments=True)
    assert loaded(command).make_context(command, words).params


def test_the_python_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lists = tmp_path / "testTrainMulti_7030_splits"
    lists.mkdir()
    for name, count in (("wave", 10), ("run", 8)):
        clips = [f"film_{name}_f_cm_np1_ba_med_{number}.avi" for number in range(count)]
        (lists / f"{name}_test_split1.txt").write_text("".join(f"{clip} {1 + (clip == clips[-1])} \n" for clip in clips))
        for number, clip in enumerate(clips):
            write_video(tmp_path / "hmdb51" / name / clip, numbered_frames(5, seed=number))
    pack(official("hmdb51", "hmdb51"), tmp_path / "data" / "hmdb51", workers=1)
    names: dict = {}
    execute(PAGE, names, python_blocks(PAGE))
    assert tuple(names["batch"].clip.shape) == (16, 3, 16, 224, 224)
    assert (names["report"].videos, names["report"].failed) == (10, [])


def test_every_data_set_has_settings_of_its_name() -> None:
    for name in OFFICIAL:
        config = recipe(name, heads=3)
        assert config.data.dataset == name
        assert config.recipe != "folder"
        assert config.data.val_fraction == 0, "official lists are taken as they are"
    assert recipe("ssv2").data.flip_probability == 0
    assert (recipe("kinetics400").data.flip_probability, recipe("kinetics400").data.stride_frames) == (0.5, 5)
    assert recipe("hmdb51").optim == recipe("ucf101").optim
    assert (recipe("my_videos").recipe, recipe("my_videos").data.val_fraction) == ("folder", 0.2)
