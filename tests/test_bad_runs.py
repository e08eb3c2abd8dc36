"""Training asked for in a way that cannot be: one sentence and the right exit code, before anything is trained."""

import pickle
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from bad_input import assert_told, objabn
from commands import SMALL, run
from odd_videos import cut, overwritten
from safetensors.torch import save_file
from videos import numbered_frames, write_video

from objabn.files import claimed
from objabn.models.build import create_model
from objabn.models.storage import save_model

TRAIN = ["train", "mine", *SMALL, "--loader", "reader", "--set", "data.threads=1"]
WITH_TAIL = [*TRAIN, "--system", "saliency_lstm", "--set", "model.cut=5"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of packed datasets: `mine` has masks and `bare` has none; their videos have 12 frames, 3 and one."""
    root = tmp_path_factory.mktemp("runs")
    for number in range(8):
        name = f"{'falling' if number % 2 else 'rising'}/clip {number}"
        frames = 1 if number < 2 else 3 if number < 4 else 12
        write_video(root / "videos" / f"{name}.mp4", numbered_frames(frames, seed=number))
        (root / "masks" / name).parent.mkdir(parents=True, exist_ok=True)
        np.savez(root / "masks" / f"{name}.npz", mask=np.ones((frames, 48, 64), np.uint8))
    run("prepare", str(root / "videos"), "--out", str(root / "data/bare"))
    run("prepare", str(root / "videos"), "--out", str(root / "data/mine"))
    run("masks", "mine", "--from", str(root / "masks"), "--data", str(root / "data"))
    return root / "data"


@pytest.fixture
def told(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable:
    """The command line, run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OBJABN_DATA", str(data))
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *words: objabn(monkeypatch, capsys, *words)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("the mask loss without masks", ["train", "bare", *SMALL]),
        ("no attention map at all", [*TRAIN, "--heads", "0"]),
        ("a setting that does not exist", [*TRAIN, "--set", "optim.epoch=1"]),
        ("a section of settings that does not exist", [*TRAIN, "--set", "optimm.lr=1"]),
        ("a value that is no number", [*TRAIN, "--set", "optim.lr=fast"]),
        ("a device that does not exist", [*TRAIN, "--device", "gpu"]),
        ("a backbone that does not exist", [*TRAIN, "--backbone", "resnt50"]),
        ("a network of timm that cannot be cut", [*TRAIN, "--backbone", "xcit_nano_12_p16_224"]),
        ("a transformer cut where its patches do not fit", [*TRAIN, "--backbone", "test_vit"]),
        ("several maps of a system that draws one", [*TRAIN, "--system", "st_abn", "--heads", "3"]),
        ("a setting that the system has not", [*TRAIN, "--system", "st_abn", "--set", "model.map_kernel=3"]),
        ("a cut before the tail of the system", [*TRAIN, "--system", "saliency_lstm"]),
        ("a system that is to answer from two pathways", [*WITH_TAIL, "--backbone", "slowfast_r50"]),
        ("features kept of clips that are random", [*WITH_TAIL, "--set", "run.cache_features=float32", "--set", "data.augment=true"]),
        ("more clips in a batch than videos", [*TRAIN, "--batch", "100"]),
        ("a fold that does not exist", [*TRAIN, "--fold", "7"]),
        ("weights that are not there", [*TRAIN, "--weights", "nowhere.pth"]),
    ],
)
def test_what_cannot_be_trained_is_refused(case: str, words: list[str], told: Callable) -> None:
    assert_told(case, told(*words, "--out", "run"))
    assert not Path("run/last").exists()


class Code:
    """Runs a program when it is unpickled."""

    def __reduce__(self) -> tuple[Callable, tuple[str]]:
        return print, ("this must not run",)


def write_weights(case: str) -> str:
    own = create_model("x3d_nano", classes=2, weights=None, clip_frames=4, clip_size=32).backbone.state_dict()
    tensors = {name: value.contiguous() for name, value in own.items()}
    save_file(tensors, "whole.safetensors")
    if case == "weights cut off":
        cut(Path("whole.safetensors"), 0.8).rename("weights.safetensors")
    if case == "weights of another network":
        save_file({"other.weight": torch.zeros(3)}, "weights.safetensors")
    if case == "a text file as weights":
        Path("weights.pth").write_text("<html>not found</html>")
    if case == "a file that runs a program as weights":
        Path("weights.pth").write_bytes(pickle.dumps({"weight": Code()}))
    return "weights.safetensors" if Path("weights.safetensors").exists() else "weights.pth"


@pytest.mark.parametrize(
    "case", ["weights of another network", "weights cut off", "a text file as weights", "a file that runs a program as weights"]
)
def test_weights_that_do_not_fit_are_refused(case: str, told: Callable) -> None:
    found = told(*TRAIN, "--weights", write_weights(case), "--out", "run")
    assert_told(case, found)
    assert "this must not run" not in found.text
    assert not Path("run").exists()


def test_a_network_for_clips_of_one_length_is_not_begun_with_for_others(told: Callable) -> None:
    save_model(create_model("x3d_nano", classes=2, system="st_abn", cut=2, clip_frames=4, clip_size=32), "four.safetensors")
    words = [*TRAIN[: TRAIN.index("--weights")], *TRAIN[TRAIN.index("--weights") + 2 :], "--finetune", "four.safetensors"]
    found = told(*words, "--set", "data.clip_frames=8", "--out", "run")
    assert_told("clips of another length than those a network was built for", found)
    assert not Path("run/last").exists()


def test_videos_shorter_than_a_clip_are_trained_on(told: Callable, data: Path) -> None:
    """A clip takes four frames, four apart: one frame is repeated, and the last one of three."""
    assert_told("videos shorter than a clip", told(*TRAIN, "--out", "run"))
    assert Path("run/evaluation.json").is_file()


def test_a_run_is_not_written_over(told: Callable) -> None:
    with claimed(Path("run")):
        assert_told("two trainings in one folder at once", told(*TRAIN, "--out", "run"))
        assert not list(Path("run").glob("[a-z]*"))
    assert told(*TRAIN, "--out", "run").exit_code == 0
    assert_told("a run where there is one already", told(*TRAIN, "--out", "run"))
    assert_told("a run that is to go on with other settings", told(*TRAIN, "--out", "run", "--resume", "--batch", "4"))
    Path("run/config.json").write_text("{")
    assert_told("a run whose settings are damaged", told(*TRAIN, "--out", "run", "--resume"))


def test_a_damaged_packed_dataset_names_the_file(told: Callable, data: Path) -> None:
    Path("data/mine").mkdir(parents=True)
    for path in (data / "mine").iterdir():
        if path.is_file():
            Path("data/mine", path.name).write_bytes(path.read_bytes())
    words = [*TRAIN, "--data", "data", "--set", "loss.mask=0", "--out"]
    overwritten(Path("data/mine/shard-00000.safetensors"), 0.3, 1)
    assert_told("damaged frames: another clip stands in, and the run goes on", told(*words, "1"))
    cut(Path("data/mine/shard-00000.safetensors"), 0.9)
    assert_told("a shard that is cut off", told(*words, "2"))
    Path("data/mine/shard-00000.safetensors").unlink()
    assert_told("a shard that is absent", told(*words, "3"))
    cut(Path("data/mine/index.safetensors"), 0.1)
    assert_told("a damaged index", told(*words, "4"))
    Path("data/mine/manifest.json").write_text("")
    assert_told("a damaged manifest", told(*words, "5"))


def test_the_handler_of_sigterm_is_put_back(told: Callable) -> None:
    before = signal.getsignal(signal.SIGTERM)
    told("--version")
    assert signal.getsignal(signal.SIGTERM) == before
