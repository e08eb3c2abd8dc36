"""A run leaves objabn as a file or a folder: the right checkpoint, a card that says what the run says and nothing else."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from commands import run as command
from toys import nano, toy_batch, toy_config
from videos import numbered_frames, write_video

import objabn
from cli.compose import open_run
from objabn import exporting
from objabn.config import DataConfig, OptimConfig
from objabn.exporting import hub
from objabn.exporting.card import map_aims
from objabn.files import write_json

EVALUATION = {
    **{"dataset": "mine", "subset": "val", "checkpoint": "best", "videos": 50, "skipped": 1, "top1": 66.666, "top5": 100.0},
    **{"branch_top1": 50.0, "nll": 0.5, "clip_top1": 60.0, "entropy": {"M_o": 2.5}, "flat_frames": {"M_o": 0}},
    **{"mask_iou": {"M_o": 0.25}, "grid": [8, 8], "views": 1},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two epochs, with a best and a last network."""
    folder = tmp_path_factory.mktemp("runs") / "mine"
    config = toy_config(optim=OptimConfig(epochs=2, batch=4, lr=1e-3))
    config = replace(config, data=replace(config.data, dataset="/home/me/mine", stride_frames=2))
    net = nano(config)
    config = replace(config, model=replace(config.model, weights="/home/me/weights.pth"))
    net.config, net.class_names = config.model, ("a|b", "<b>", "c")
    objabn.fit(net, [toy_batch(0)], config, run_folder=folder, monitor=[toy_batch(1)], monitor_subset="val", loggers=[])
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run, evaluated, in the working folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained, "mine")
    write_json(Path("mine/evaluation.json"), EVALUATION)
    return Path("mine")


def card(folder: Path) -> str:
    return (folder / "README.md").read_text()


def set_epochs(run: Path, epochs: int) -> None:
    """Make a run one of so many epochs."""
    config = json.loads((run / "config.json").read_text())
    config["optim"]["epochs"] = epochs
    write_json(run / "config.json", config)


def test_every_format_has_a_place_in_the_run(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "build_graph", lambda _net, file_format, _told: (file_format.encode(), {"maps": 2e-6}))
    for file_format, name in (("safetensors", "model.safetensors"), ("onnx", "model.onnx"), ("pt2", "model.pt2"), ("hub", "hub")):
        said = command("export", "mine", "--format", file_format)
        assert said.startswith(f"mine/{name} (best, ")
        assert ("Largest difference from PyTorch: maps 2.0e-06 (allowed: " in said) == (file_format in ("onnx", "pt2"))
        assert (run / name).exists()
    best = objabn.load_model(run / "best/model.safetensors").state_dict()
    for path in (run / "model.safetensors", run / "hub"):
        assert all(torch.equal(value, best[name]) for name, value in objabn.load_model(path).state_dict().items())


def test_a_network_alone_and_a_file_are_exported_too(run: Path) -> None:
    objabn.export(objabn.load_model(run), "hub", "from network")
    assert objabn.export(run / "last/model.safetensors", "hub") == (Path("hub"), None, {}, "")
    for folder in (Path("from network"), Path("hub")):
        assert "## Training" not in card(folder)
        assert "## Evaluation" not in card(folder)
        assert "It answers with one of its 3 classes" in card(folder)


def test_an_unknown_format_is_answered_with_those_there_are(run: Path) -> None:
    with pytest.raises(ValueError, match="no format 'tflite'; choose one of safetensors, onnx, pt2, hub"):
        objabn.export(run, "tflite")
    with pytest.raises(FileNotFoundError, match="There is no model file"):
        objabn.export("nowhere", "onnx")


def test_settings_of_a_folder_are_readable_and_how_clips_are_cut_survives(run: Path) -> None:
    objabn.export(run, "hub")
    settings = json.loads((run / "hub/config.json").read_text())
    expected = {"library_name": "objabn", "backbone": "x3d_nano", "system": "object_abn", "heads": 1, "map_names": ["M_o"], "classes": 3}
    expected |= {"class_names": ["a|b", "<b>", "c"], "clip_frames": 4, "clip_size": 32, "stride_frames": 2, "pixel_mean": [0.45] * 3}
    assert {name: settings[name] for name in expected} == expected
    net, data = open_run(run / "hub")
    assert data == replace(open_run(run)[1], dataset=DataConfig().dataset)
    assert (data.stride_frames, net.class_names) == (2, ("a|b", "<b>", "c"))
    for path in (run / "hub").iterdir():
        assert b"/home/me" not in path.read_bytes(), "where the data lies is nobody's business"


def test_the_card_says_what_the_run_says(run: Path) -> None:
    objabn.export(run, "hub")
    said = card(run / "hub")
    assert said.startswith("---\nlibrary_name: objabn\n")
    assert "Classes: a&#124;b, &lt;b&gt;, c." in said
    for line in (
        "| `optim.lr` | 0.001 |",
        "| `data.dataset` | mine |",
        "| `model.weights` | weights.pth |",
        "| `data.stride_frames` | 2 |",
        "| top-1 | 66.67 % |",
        "| top-1 of the attention branch | 50.00 % |",
        "| M_o | 2.500 | 0.250 |  |",
        "- In the evaluation one video is 2.00 points of accuracy.",
        "- The checkpoint was chosen by its accuracy on the very videos it is evaluated on, which flatters it.",
    ):
        assert line in said.splitlines()
    assert "Subset val of mine, 50 videos, views of each: 1; could not be read: 1." in said
    assert "M_o was pulled to the objects' masks." in said
    assert "epochs only" not in said


def test_numbers_of_another_checkpoint_or_an_earlier_state_stay_out(run: Path) -> None:
    write_json(run / "evaluation.json", EVALUATION | {"checkpoint": "last"})
    objabn.export(run, "hub", "other")
    write_json(run / "evaluation.json", EVALUATION)
    os.utime(run / "evaluation.json", (0, 0))
    objabn.export(run, "hub", "copied")
    assert "## Evaluation" in card(Path("copied")), "the run is finished, so nothing came after its evaluation"
    set_epochs(run, 5)
    objabn.export(run, "hub", "earlier")
    (run / "evaluation.json").unlink()
    said = command("export", "mine", "--format", "hub", "--out", "none")
    assert said.endswith("Its card has no numbers; `objabn evaluate mine` makes them.\n")
    for name in ("other", "earlier", "none"):
        assert "## Evaluation" not in card(Path(name))
        assert "## Training" in card(Path(name))


def test_a_run_that_is_not_finished_says_so(run: Path) -> None:
    shutil.rmtree(run / "best")
    set_epochs(run, 5)
    objabn.export(run, "hub")
    assert "2 of 5 epochs on mine (checkpoint last)" in card(run / "hub")
    assert "- It has had 2 of 5 epochs only." in card(run / "hub")


def test_a_run_whose_last_checkpoint_is_gone_is_exported_too(run: Path) -> None:
    shutil.rmtree(run / "last")
    assert objabn.export(run, "hub").checkpoint == "best"
    assert "At most 2 epochs on mine (checkpoint best)" in card(run / "hub")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["model.heads=3"], "M_o was pulled to the objects' masks; M_b was pulled to what is no object; M_u stayed free."),
        (["model.heads=3", "loss.background=0"], "M_o was pulled to the objects' masks; M_u, M_b stayed free."),
        (["loss.mask=0"], "No map was pulled to anything."),
        (["model.system=abn"], "No map was pulled to anything."),
    ],
)
def test_the_card_says_which_maps_were_pulled_where(settings: list[str], said: str) -> None:
    config = objabn.override(toy_config(), *settings)
    assert map_aims(nano(config), config) == said


def test_the_lines_of_the_card_run(run: Path) -> None:
    objabn.export(run, "hub")
    write_video(Path("clip.mp4"), numbered_frames(12))
    code = card(run / "hub").partition("```python\n")[2].partition("```")[0]
    names: dict = {}
    exec(code.replace("PATH/OF/THIS/FOLDER", "mine/hub").replace("VIDEO.mp4", "clip.mp4"), names)
    assert names["output"].maps.shape == (1, 1, 4, 8, 8)


def test_a_folder_that_may_have_been_edited_is_not_replaced(run: Path) -> None:
    Path("hub").mkdir()
    objabn.export(run, "hub", "hub")
    Path("hub/README.md").write_text("license: mine")
    with pytest.raises(ValueError, match="hub is there already and may have been edited; delete it"):
        objabn.export(run, "hub", "hub")
    assert Path("hub/README.md").read_text() == "license: mine"


def test_a_folder_is_there_whole_or_not_at_all(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_given: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(hub, "model_card", stop)
    with pytest.raises(KeyboardInterrupt):
        objabn.export(run, "hub", "elsewhere/hub")
    assert list(Path("elsewhere").iterdir()) == []
