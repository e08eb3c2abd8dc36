"""Runs of the command line that are stopped, resumed, evaluated again and kept apart, on one small packed dataset."""

import json
import os
import re
import shutil
import signal
from pathlib import Path

import pytest
import torch
from commands import SMALL, run, write_own_videos
from safetensors.torch import load_file
from toys import nano, toy_config
from typer.testing import CliRunner

import objabn
from cli.demo import difference
from cli.main import app
from cli.places import dataset_name
from objabn import recipes
from objabn.data import reader as reader_module
from objabn.data.dataset import open_dataset
from objabn.data.demo import make_demo
from objabn.data.reader import Reader
from objabn.recipe_parts import Part
from objabn.training import loop
from objabn.training.run_folder import start_run_folder

READER = [*SMALL, "--loader", "reader", "--set", "data.threads=1"]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of packed datasets; `mine` is the only one."""
    root = tmp_path_factory.mktemp("cli")
    write_own_videos(root)
    run("prepare", str(root / "my videos"), "--out", str(root / "data/mine"), "--workers", "1")
    run("masks", "mine", "--from", str(root / "my masks"), "--data", str(root / "data"))
    return root / "data"


@pytest.fixture(autouse=True)
def working_folder(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("OBJABN_DATA", str(packed))
    return tmp_path


def refusal(*words: str) -> str:
    return str(CliRunner().invoke(app, list(words)).exception)


def weights_file() -> str:
    net = objabn.create_model("x3d_nano", classes=7, weights=None, clip_frames=4, clip_size=32)
    torch.save(net.backbone.state_dict(), "weights.pth")
    return "weights.pth"


def test_a_run_stopped_in_an_epoch_goes_on_without_its_weights_file(monkeypatch: pytest.MonkeyPatch) -> None:
    train = ["train", "mine", *READER, "--weights", weights_file(), "--epochs", "2"]
    assert "tensors from weights.pth" in run(*train, "--out", "straight")
    take_step, steps = loop.take_step, []

    def take_step_and_signal(*given: object) -> None:
        take_step(*given)
        steps.append(1)
        if len(steps) == 3:  # of four: in the middle of the second epoch
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "take_step", take_step_and_signal)
        assert "--resume goes on with it" in run(*train, "--out", "stopped", code=128 + signal.SIGTERM)
    assert not Path("stopped/evaluation.json").exists()
    Path("weights.pth").unlink()
    said = run("train", "mine", "--out", "stopped", "--resume")
    assert "eights" not in said, "nothing is said of weights that were not loaded"
    first, second = (load_file(f"{folder}/last/model.safetensors") for folder in ("straight", "stopped"))
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    evaluations = [json.loads(Path(f"{folder}/evaluation.json").read_text()) for folder in ("straight", "stopped")]
    assert evaluations[0] == evaluations[1]
    assert objabn.load_model("stopped/last/model.safetensors").config.weights == "weights.pth"


def test_maps_and_system_mean_the_same_as_flags_and_as_settings() -> None:
    for flags, settings in ((["--heads", "3"], ["model.heads=3"]), (["--system", "abn"], ["model.system=abn"])):
        shown = run("train", "ucf101", *flags, "--dry-run")
        assert run("train", "ucf101", "--set", *settings, "--dry-run") == shown
        assert "\nloss.pc=0.0 " in shown
    assert "\nloss.pc=0.5 " in run("train", "ucf101", "--set", "model.heads=3", "--set", "loss.pc=0.5", "--dry-run")


def test_a_finished_run_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    train = ["train", "mine", *READER, "--weights", weights_file(), "--out", "done"]
    run(*train)
    Path("weights.pth").unlink()
    before = {path: path.stat().st_mtime_ns for path in Path("done").rglob("*")}
    assert "finished and evaluated" in run(*train, "--resume")
    assert {path: path.stat().st_mtime_ns for path in Path("done").rglob("*")} == before
    Path("done/evaluation.json").unlink()
    run(*train, "--resume")
    assert Path("done/evaluation.json").is_file()
    assert "other settings (optim.epochs)" in refusal(*train, "--resume", "--epochs", "2")


def test_a_run_goes_on_with_its_own_dataset_only(packed: Path) -> None:
    run("train", "mine", *READER, "--out", "run")
    run("train", str(packed / "mine"), "--out", "run", "--resume")
    assert "run was begun on mine and cannot go on with other" in refusal("train", "other", "--out", "run", "--resume")


def test_numbers_of_other_subsets_and_checkpoints_do_not_replace_the_runs_own() -> None:
    run("train", "mine", *READER, "--out", "run")
    own = Path("run/evaluation.json").read_text()
    Path("run/evaluation.json").unlink()
    run("evaluate", "run", "--checkpoint", "last", "--json", "last.json")
    run("evaluate", "run", "--dataset", "mine", "--json", "dataset.json")
    assert not Path("run/evaluation.json").exists()
    assert "Written to run/evaluation.json." in run("evaluate", "run")
    assert Path("run/evaluation.json").read_text() == own
    assert "subset 'test'" in refusal("evaluate", "run", "--subset", "test")


def test_a_run_of_half_precision_is_evaluated_on_a_cpu() -> None:
    run("train", "mine", *READER, "--out", "run")
    own = json.loads(Path("run/evaluation.json").read_text())
    config = Path("run/config.json")
    config.write_text(config.read_text().replace('"amp": "auto"', '"amp": "fp16"'))
    run("evaluate", "run")
    assert json.loads(Path("run/evaluation.json").read_text()) == own


def test_a_dataset_with_a_val_of_its_own_trains_with_the_defaults() -> None:
    write_own_videos(Path())
    for subset, numbers in (("train", range(4)), ("val", range(4, 8))):
        for number in numbers:
            name = f"{'falling' if number % 2 else 'rising'}/clip {number}.mp4"
            target = Path("divided") / subset / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(Path("my videos") / name, target)
    run("prepare", "divided", "--out", "packed", "--workers", "1")
    run(
        "train",
        "packed",
        *READER[: READER.index("data.val_fraction=0.5") - 1],
        "--loader",
        "reader",
        "--set",
        "loss.mask=0",
        "--out",
        "run",
    )
    assert json.loads(Path("run/config.json").read_text())["data"]["val_fraction"] == 0.2
    evaluation = json.loads(Path("run/evaluation.json").read_text())
    assert (evaluation["videos"], evaluation["subset"], evaluation["checkpoint"]) == (4, "val", "best")


def test_the_recipe_goes_by_the_name_a_dataset_was_packed_under(packed: Path, tmp_path: Path) -> None:
    shutil.copytree(packed / "mine", tmp_path / "ucf10")
    manifest = tmp_path / "ucf10/manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"name": "ucf101"}))
    assert dataset_name("ucf10", Path("none")) == "ucf101"
    assert "recipe: ucf101\n" in run("train", "ucf10", "--dry-run")
    assert "recipe: folder\n" in run("train", "mine", "--dry-run")
    assert "recipe: ssv2\n" in run("train", "/not/there/ssv2", "--dry-run")


def test_without_dali_the_other_loader_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.compose.has_dali", lambda: False)
    assert "DALI is not installed; install objabn[cuda13], or take --loader reader" in refusal("train", "mine", *SMALL)


def test_a_model_file_says_its_stride_or_what_is_assumed() -> None:
    from cli.compose import open_run

    run("train", "mine", *READER, "--set", "data.stride_frames=2", "--out", "run")
    run("export", "run", "--out", "net.safetensors")
    assert open_run(Path("net.safetensors"))[1].stride_frames == 2
    objabn.save_model(nano(toy_config()), "bare.safetensors")
    video = str(write_one_video())
    assert "bare.safetensors does not say the stride of its clips; 4 frames are assumed." in run("explain", "bare.safetensors", video)


def write_one_video() -> Path:
    write_own_videos(Path())
    return Path("my videos/rising/clip 0.mp4")


def test_a_demo_killed_before_its_masks_is_completed(monkeypatch: pytest.MonkeyPatch) -> None:
    from cli.places import dataset_folder
    from objabn.data import demo

    make = demo.make_demo
    make(Path("data/demo"), train=4, test=4, size=48, frames=10)
    shutil.rmtree("data/demo/masks")
    assert not open_dataset(Path("data/demo")).has_masks
    monkeypatch.setattr(demo, "make_demo", lambda root, on_progress: make(root, train=4, test=4, size=48, frames=10))
    assert open_dataset(dataset_folder("demo", Path("data"))).has_masks


def test_the_difference_that_the_mask_loss_makes() -> None:
    assert difference(2.5, 1.25) == "H(M_u of ABN) - H(M_o) = 1.25 bits: M_o is sharper."
    assert difference(1.0, 1.5) == "H(M_u of ABN) - H(M_o) = -0.50 bits: M_o is not sharper."


def test_the_demo_compares_draws_each_class_and_is_shown_again(monkeypatch: pytest.MonkeyPatch) -> None:
    make_demo(Path("data/demo"), train=8, test=8, size=96, frames=24)
    short = {"optim.epochs": 1, "optim.batch": 4, "data.threads": 1, "run.device": "cpu"}
    monkeypatch.setattr("cli.demo.has_dali", lambda: False)
    monkeypatch.setitem(recipes.STYLES, "default", (Part("shorter", short),))
    said = run("demo", "--compare", "--data", "data")
    assert "Open runs/demo/report.html in a browser" in said
    assert '"name":"demo-abn"' in Path("runs/demo/report.html").read_text()
    assert re.search(r"H\(M_u of ABN\) - H\(M_o\) = -?\d\.\d\d bits", said)
    shown = re.findall(r"  (runs/demo/explanations/.*\.png)", said)
    assert [Path(path).is_file() for path in shown] == [True] * 4
    assert {Path(path).stem for path in shown} == {f"test-{number:05d}" for number in range(4)}, "number n is of class n modulo 4"
    plain = json.loads(Path("runs/demo-abn/config.json").read_text())
    assert (plain["model"]["system"], plain["loss"]["pc"], plain["data"]["loader"]) == ("abn", 0.0, "reader")
    before = Path("runs/demo/last/model.safetensors").stat().st_mtime_ns
    run("demo", "--data", "data")
    assert Path("runs/demo/last/model.safetensors").stat().st_mtime_ns == before


def test_how_clips_are_read_is_told_and_written_down() -> None:
    said = run("train", "mine", "--out", "run", *READER)
    assert re.search(r"Clips come from the reader on the CPU, 1 thread, 2 batches ahead; they hold at most \d+ kB of pixels\.", said)
    assert json.loads(Path("run/config.json").read_text())["data"]["decode"] == "auto", "there was nothing to choose"
    # Two clips of four frames: 48 x 64 pixels decoded, three batches of 32 x 32; three colours and the mask.
    pixels = 2 * 4 * 4 * (48 * 64 + 3 * 32 * 32)
    loader = {"loader": "reader", "place": "cpu", "threads": 1, "prefetch": 2, "pixel_bytes": pixels}
    assert json.loads(Path("run/environment.json").read_text())["loader"] == loader


def test_a_place_found_by_trial_is_kept_for_the_whole_run(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    class Tried(Reader):
        @property
        def description(self) -> dict:
            tried.append(self.schedule.config.data.decode)
            return super().description | {"clips_per_second": {"gpu": 7.0, "cpu": 9.0}}

    monkeypatch.setattr(reader_module, "Reader", Tried)
    said = run("train", "mine", "--out", "run", *READER)
    assert "on the CPU (tried: gpu 7 clips/s, cpu 9 clips/s)" in said
    assert json.loads(Path("run/config.json").read_text())["data"]["decode"] == "cpu"
    run("train", "mine", "--out", "run", *READER, "--resume")
    assert json.loads(Path("run/environment.json").read_text())["loader"]["clips_per_second"] == {"gpu": 7.0, "cpu": 9.0}
    assert tried[0] == "auto", "the first loader is the one that tries"


def test_what_was_measured_to_choose_a_place_is_kept(tmp_path: Path) -> None:
    config = toy_config()
    start_run_folder(tmp_path / "run", config, resume=False, loader={"place": "gpu", "clips_per_second": {"gpu": 9.0, "hybrid": 7.0}})
    start_run_folder(tmp_path / "run", config, resume=True, loader={"place": "gpu", "clips_per_second": {}, "threads": 2})
    loader = json.loads((tmp_path / "run/environment.json").read_text())["loader"]
    assert loader == {"place": "gpu", "clips_per_second": {"gpu": 9.0, "hybrid": 7.0}, "threads": 2}
