"""`objabn evaluate --boxes` and `objabn explain --method 3dcam` on a little run, and the page that tells of them."""

import json
from pathlib import Path

import pytest
from commands import SMALL, run, write_own_videos
from test_docs import ROOT, execute, python_blocks
from typer.testing import CliRunner

import objabn
from cli.localisation import ProtocolName
from cli.main import app
from objabn.localisation import PROTOCOLS, read_boxes
from objabn.training.run_folder import read_config

PAGE = ROOT / "docs" / "evaluation.md"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run and boxes on two of its four videos of val."""
    root = tmp_path_factory.mktemp("boxes")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        write_own_videos(root)
        run("prepare", "my videos", "--workers", "1")
        run("masks", "my videos", "--from", "my masks")
        run("train", "my videos", *SMALL, "--loader", "reader", "--set", "data.threads=1", "--out", "run")
    dataset = objabn.open_dataset(root / "data/my videos")
    config = read_config(root / "run")
    rows = dataset.index.rows("val", val_fraction=config.data.val_fraction)
    names = [dataset.index.name(row).removesuffix(".mp4") for row in rows[:2]]
    tube = {"sf": 0, "ef": 12, "boxes_xywh": [[100, 50, 150, 100]] * 12}
    (root / "boxes.json").write_text(json.dumps({name: {"tubes": [tube]} for name in names}))
    return root


@pytest.fixture(autouse=True)
def working_folder(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv("COLUMNS", "200")


def test_numbers_go_to_the_json_and_the_screen() -> None:
    before = json.loads(Path("run/evaluation.json").read_text())
    assert "localisation" not in before
    said = run("evaluate", "run", "--boxes", "boxes.json")
    after = json.loads(Path("run/evaluation.json").read_text())
    found = after.pop("localisation")
    assert after == before
    assert (found["protocol"], found["videos"], found["videos_without_boxes"], found["frames"]) == ("objabn", 2, 2, 8)
    assert set(found["maps"]) == {"M_o"}
    assert "Boxes, protocol objabn: 8 frames of 2 clips of 2 videos; left out: 2 videos without boxes" in said
    assert f"{found['maps']['M_o']['mean_iou']:.3f}" in said
    assert PROTOCOLS["objabn"].note in said


def test_protocol_and_maps_are_chosen() -> None:
    run(
        "evaluate",
        "run",
        "--boxes",
        "boxes.json",
        "--protocol",
        "meng",
        "--map",
        "3dcam",
        "--map",
        "M_o",
        "--views",
        "2",
        "--json",
        "meng.json",
    )
    found = json.loads(Path("meng.json").read_text())["localisation"]
    assert (found["protocol"], found["clips"], list(found["maps"])) == ("meng", 4, ["3dcam", "M_o"])
    assert "temporal_hits" in found["maps"]["M_o"]
    refused = {
        ("--protocol", "meng"): "give these too: --boxes FILE",
        ("--boxes", "boxes.json", "--map", "M_b"): "There is no map 'M_b'; choose of M_o, gradcam, ",
        ("--boxes", "none.mat"): "There is no file of boxes none.mat",
    }
    for words, sentence in refused.items():
        assert sentence in str(CliRunner().invoke(app, ["evaluate", "run", *words]).exception)


def test_the_command_knows_every_protocol() -> None:
    assert [name.value for name in ProtocolName] == list(PROTOCOLS)


def test_3dcam_is_drawn() -> None:
    run("explain", "run", "my videos/rising/clip 0.mp4", "--method", "3dcam", "--out", "pictures")
    assert Path("pictures/clip 0.png").stat().st_size > 1000


def test_the_page_runs_and_shows_a_file_that_can_be_read(tmp_path: Path) -> None:
    config = read_config(Path("run"))
    names = {"net": objabn.load_model("run"), "dataset": objabn.open_dataset("data/my videos"), "config": config}
    # What is held out of these videos is `val`.
    execute(PAGE, names, [block.replace('subset="test"', 'subset="val"') for block in python_blocks(PAGE)])
    assert (names["found"].videos, names["evaluation"].videos) == (2, 4)
    shown = PAGE.read_text().partition("```json\n")[2].partition("```")[0]
    (tmp_path / "shown.json").write_text(shown)
    assert read_boxes(tmp_path / "shown.json")["Biking/v_Biking_g01_c01"][0].boxes.shape == (2, 4)
