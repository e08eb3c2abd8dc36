"""`objabn reproduce` on a little data set of official names: from videos to pages, stopped and gone on with, and shared out by torchrun."""

import json
import shutil
from pathlib import Path

import pytest
from commands import run
from lists import write_texts
from typer.testing import CliRunner
from videos import numbered_frames, write_video

from cli import masks as masks_command
from cli.main import app
from cli.processes import alone
from objabn.machine import launched
from objabn.training.run_folder import read_config

pytestmark = pytest.mark.usefixtures("shallow")
TINY = [
    *("--budget", "small", "--weights", "none", "--device", "cpu", "--loader", "reader", "--seeds", "1"),
    *("--set", "data.crop_size=32", "--set", "data.short_side=32,36", "--set", "data.eval_short_side=32", "--set", "data.clip_frames=4"),
    *("--set", "model.backbone=x3d_nano", "--set", "model.cut=2", "--set", "optim.batch=2", "--set", "optim.epochs=2"),
    *("--set", "run.kernels=stock", "--set", "data.threads=1"),
]
CLASSES = ("ApplyLipstick", "Archery")


@pytest.fixture(autouse=True)
def _sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder with videos, official lists and exact masks."""
    lists: dict[str, list[str]] = {"trainlist01.txt": [], "testlist01.txt": []}
    for label, name in enumerate(CLASSES):
        for group in range(1, 6):
            video = f"{name}/v_{name}_g{group:02d}_c01.avi"
            write_video(tmp_path / "videos" / video, numbered_frames(12, seed=group))
            lists["trainlist01.txt" if group > 2 else "testlist01.txt"].append(video + (f" {label + 1}" if group > 2 else ""))
    texts = {name: "\n".join(lines) for name, lines in lists.items()}
    write_texts(tmp_path / "lists", texts | {"classInd.txt": "".join(f"{place} {name}\n" for place, name in enumerate(CLASSES, 1))})
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def segmented(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have the middle of each picture be an object; returns the segmenters that were asked for."""
    import numpy as np

    from objabn.data.dataset import open_dataset
    from objabn.data.segment import import_masks

    asked: list[str] = []

    def segment(dataset: str, *, segmenter: str, device: str, data: Path) -> None:
        packed = open_dataset(data / dataset)
        for row in range(len(packed)):
            path = Path("own", packed.index.name(row)).with_suffix(".npz")
            path.parent.mkdir(parents=True, exist_ok=True)
            mask = np.zeros((int(packed.index.frames[row]), 48, 64), np.uint8)
            mask[:, 10:30, 20:50] = 1
            np.savez(path, mask=mask)
        import_masks(packed, Path("own"))
        asked.append(segmenter)

    monkeypatch.setattr(masks_command, "masks", segment)
    return asked


def reproduce(*words: str, code: int = 0) -> str:
    return run("reproduce", "ucf101", *TINY, "--videos", "videos", "--annotations", "lists", *words, code=code)


def test_from_videos_to_pages_and_on(segmented: list[str]) -> None:
    said = reproduce("--rows", "abn,mask", "--segmenter", "mine.pt")
    assert segmented == ["mine.pt"]
    assert "2/2: mask, seed 0 (one map, pulled by the mask loss)" in said
    folder = Path("runs/reproduction-ucf101-small")
    summary = json.loads((folder / "reproduction.json").read_text())
    assert [row["row"] for row in summary["rows"]] == ["abn", "mask"]
    assert (summary["videos"], summary["grid"], summary["checkpoint"], summary["missing"]) == (4, [8, 8], "best", [])
    assert [len(row["curve"]["nll"]) for row in summary["rows"]] == [2, 2]
    for row in summary["rows"]:
        run("evaluate", str(folder / row["row"] / "seed0"), "--checkpoint", "last", "--json", "now.json")
        evaluated = json.loads(Path("now.json").read_text())
        assert row["last"]["top1"]["mean"] == pytest.approx(evaluated["top1"], abs=1e-4)
        (name,) = row["entropy"]
        assert row["last"]["entropy"][name]["mean"] == pytest.approx(evaluated["entropy"][name], abs=1e-4)
        assert row["last"]["mask_iou"][name]["mean"] == pytest.approx(evaluated["mask_iou"][name], abs=1e-4)
    kept = {path: path.read_bytes() for path in folder.glob("*/seed0/measured.json")}
    log = (folder / "abn/seed0/log.jsonl").read_bytes()
    for name in ("last", "best"):
        shutil.rmtree(folder / "abn/seed0" / name)
    again = reproduce("--rows", "abn,mask,mask~loss.dice=1")
    assert "epoch 2/2" in again and again.count("epoch 1/2") == 1, "only the new row is trained"
    assert {path: path.read_bytes() for path in kept} == kept
    assert (folder / "abn/seed0/log.jsonl").read_bytes() == log
    assert r"mask\~loss.dice=1" in (folder / "reproduction.md").read_text()
    assert "<table>" in (folder / "reproduction.html").read_text()
    assert len(list(Path("data/ucf101/features").iterdir())) == 1, "all rows learn from the same features"


def test_a_dry_run_touches_nothing() -> None:
    said = reproduce("--rows", "table,few", "--dry-run")
    few = "mha with data.shots=2, optim.epochs=60, run.evaluate_epochs=5"
    assert f"mha--data_shots-2--optim_epochs-60--run_evaluate_epochs-5/seed0: {few}, 2 epochs" in said, "--set holds over all"
    assert not Path("data").exists() and not Path("runs").exists()


def test_processes_of_torchrun_share_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    reproduce("--rows", "abn")  # packs, too, which is for one process
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    said = reproduce("--rows", "abn,mask,mha", "--no-train")
    assert "(2 runs are missing)" in said
    said = reproduce("--rows", "abn,mask,mha")
    assert "1/1: mask, seed 0" in said
    assert "(1 runs are missing)" in said, "mha is rank 0's"
    assert launched().world == 2, "the environment is as it was"
    with alone() as ranks:
        assert (ranks.rank, launched().world) == (1, 1)


def test_shots_are_of_the_training_videos_alone() -> None:
    reproduce("--rows", "abn~data.shots=1")
    config = read_config(Path("runs/reproduction-ucf101-small/abn--data_shots-1/seed0"))
    assert config.data.shots == 1


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--rows", "masks"], "There is no row 'masks'; choose of abn"),
        (["--rows", "mask~loss.dicy=1"], "loss.* has no setting 'dicy'|dicy"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(words: list[str], reason: str) -> None:
    refused = CliRunner().invoke(app, ["reproduce", "ucf101", *TINY, *words]).exception
    assert isinstance(refused, ValueError)
    assert reason.rsplit("|", maxsplit=1)[-1] in str(refused)
    assert not Path("runs").exists()


def test_a_run_that_another_process_is_about_to_begin_lends_no_kernels() -> None:
    (Path("runs/reproduction-ucf101-small/best/seed0")).mkdir(parents=True)
    Path("runs/reproduction-ucf101-small/best/seed0/kernels.json").write_text("{}")
    reproduce("--rows", "abn")
    assert Path("runs/reproduction-ucf101-small/abn/seed0/measured.json").is_file()
