"""`objabn train` on features that are kept: computed by one run, used by the next, and gone on with after a stop."""

import json
from pathlib import Path

import pytest
from commands import SMALL, run
from typer.testing import CliRunner
from videos import class_folders
from videos import packed as pack_folders

from cli.main import app
from objabn.training import loop
from objabn.training.logging import read_records

pytestmark = pytest.mark.usefixtures("shallow")
TRAIN = [
    *("train", "mine", *SMALL, "--system", "saliency_lstm", "--epochs", "3", "--loader", "reader", "--set", "data.threads=1"),
    *("--set", "model.cut=5", "--set", "model.hidden_channels=8", "--set", "loss.pc=0", "--set", "loss.mask=0"),
    *("--set", "data.sampling=uniform", "--set", "data.augment=false", "--set", "optim.freeze=stem"),
    *("--set", "run.cache_features=float32"),
]


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of its own, where data/mine is packed."""
    pack_folders(class_folders(tmp_path / "videos", frames=(9, 20, 12, 17, 11, 14, 10, 13)), tmp_path).root.rename(tmp_path / "mine")
    (tmp_path / "data").mkdir()
    (tmp_path / "mine").rename(tmp_path / "data/mine")
    monkeypatch.chdir(tmp_path)


def test_a_run_on_kept_features_goes_on_where_it_was_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    said = run(*TRAIN, "--out", "straight")
    folder = next(Path("data/mine/features").iterdir())
    assert "The stem sees 4 clips of train once; its features are kept beside the dataset." in said
    assert "The stem sees 4 clips of val once" in said
    assert f"Features come from the folder features/{folder.name} of the dataset." in said
    assert json.loads(Path("straight/environment.json").read_text())["loader"] == {"loader": "features", "store": folder.name}
    take_step, steps = loop.take_step, []

    def take_step_and_stop(*given: object) -> None:
        take_step(*given)
        steps.append(1)
        if len(steps) == 3:
            raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(loop, "take_step", take_step_and_stop)
        assert "The stem sees" not in run(*TRAIN, "--out", "stopped", code=1)
    said = run(*TRAIN, "--out", "stopped", "--resume")
    assert "The stem sees" not in said, "the features are those of the weights that the run began with"
    straight, stopped = ([line["loss"] for line in read_records(Path(name, "log.jsonl"))] for name in ("straight", "stopped"))
    assert straight == stopped
    assert json.loads(Path("straight/evaluation.json").read_text()) == json.loads(Path("stopped/evaluation.json").read_text())


def test_random_clips_are_refused_before_anything_is_computed() -> None:
    refused = CliRunner().invoke(app, [*TRAIN, "--set", "data.augment=true", "--out", "run"]).exception
    assert str(refused).startswith(
        "run.cache_features=float32 needs clips that come again, one view of each video in evaluation; set data.views=1,1, and data.repeat"
    )
    assert not Path("data/mine/features").exists()
