"""Every attention system from videos to pictures by the command line: trained, evaluated, drawn, exported, gone on with, fine-tuned."""

import json
from pathlib import Path

import pytest
import torch
from commands import SMALL, run, write_own_videos
from torch import Tensor

import objabn
from objabn.models.systems import SYSTEMS
from objabn.training.logging import read_records
from objabn.types import Output

pytestmark = pytest.mark.usefixtures("shallow")

READER = [*SMALL, "--loader", "reader", "--set", "data.threads=1"]
TAIL_OF_ITS_OWN = ["--set", "model.cut=5", "--set", "model.hidden_channels=8"]
CASES = {
    "abn": ([], ["M_u"]),
    "object_abn": (["--heads", "3"], ["M_u", "M_o", "M_b"]),
    "st_abn": ([], ["M_s"]),
    "saliency_lstm": (TAIL_OF_ITS_OWN, ["M"]),
    "gated": ([], ["M_1", "M_2", "M_3", "M_4"]),
    "plain": ([], []),
}
"""What each system is asked for beside its name, and the maps that it then draws."""


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with videos and, packed with their masks, `mine` of them."""
    root = tmp_path_factory.mktemp("systems")
    write_own_videos(root)
    run("prepare", str(root / "my videos"), "--out", str(root / "data/mine"), "--workers", "1")
    run("masks", "mine", "--from", str(root / "my masks"), "--data", str(root / "data"))
    return root


@pytest.fixture(autouse=True)
def _place(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("OBJABN_DATA", str(packed / "data"))


def answer(path: str) -> Output:
    clip = torch.randint(0, 256, (2, 3, 4, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return objabn.load_model(path)(clip)


def assert_equal(ours: Output, theirs: Output) -> None:
    for value, other in zip(ours, theirs, strict=True):
        assert torch.equal(value, other) if isinstance(value, Tensor) else value is other is None


def test_each_system_has_its_case() -> None:
    assert set(CASES) == set(SYSTEMS)


@pytest.mark.parametrize("system", CASES)
def test_a_system_goes_all_the_way(system: str, packed: Path) -> None:
    words, maps = CASES[system]
    train = ["train", "mine", "--system", system, *READER, *words]
    run(*train, "--out", "run")
    written = Path("run/evaluation.json").read_text()
    found = json.loads(written)
    assert (found["videos"], list(found.get("entropy", {})), list(found.get("mask_iou", {}))) == (4, maps, maps)
    Path("run/evaluation.json").unlink()
    said = run("evaluate", "run")
    assert all(f"│ {name} " in said for name in maps)
    assert Path("run/evaluation.json").read_text() == written

    for method in ("attention", "3dcam") if maps else ("3dcam",):
        run("explain", "run", str(packed / "my videos/rising/clip 0.mp4"), "--method", method, "--out", method)
        assert all(Path(method, f"clip 0.{ending}").stat().st_size > 1000 for ending in ("png", "mp4"))

    run("export", "run", "--out", "net.safetensors")
    output = answer("run")
    assert_equal(answer("net.safetensors"), output)
    assert output.maps.shape[:3] == (2, len(maps), 4)

    before = {path: path.stat().st_mtime_ns for path in Path("run").rglob("*")}
    assert "finished and evaluated" in run(*train, "--out", "run", "--resume")
    assert {path: path.stat().st_mtime_ns for path in Path("run").rglob("*")} == before

    said = run("train", "mine", "--system", system, *without(READER, "--weights"), *words, "--finetune", "run", "--out", "finer")
    assert "tensors from run" in said
    assert "begin afresh" not in said, "the classes are the same"
    assert list(json.loads(Path("finer/evaluation.json").read_text()).get("entropy", {})) == maps


def without(words: list[str], option: str) -> list[str]:
    """Leave an option and its value out."""
    place = words.index(option)
    return words[:place] + words[place + 2 :]


def test_a_tail_of_its_own_learns_from_kept_features_what_it_learns_from_clips() -> None:
    train = [
        "train",
        "mine",
        "--system",
        "saliency_lstm",
        *READER,
        *TAIL_OF_ITS_OWN,
        "--set",
        "optim.freeze=stem",
        "--set",
        "optim.lr=0.01",
    ]
    run(*train, "--out", "clips")
    said = run(*train, "--set", "run.cache_features=float32", "--out", "features")
    assert "Features come from the folder" in said
    clips, features = ([record["loss"] for record in read_records(Path(name, "log.jsonl"))] for name in ("clips", "features"))
    assert features == pytest.approx(clips, rel=1e-5)
    torch.testing.assert_close(answer("features").logits, answer("clips").logits)
