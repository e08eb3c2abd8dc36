"""`objabn explain` on folders: names, what is there already, what cannot be read, and what is refused."""

import shutil
from pathlib import Path

import pytest
import torch
from bad_input import assert_told, objabn
from commands import run
from toys import nano, toy_config
from videos import numbered_frames, write_video

from objabn.explainers.maps_file import read_maps
from objabn.models.storage import save_model

PNG = ("--format", "png")


@pytest.fixture(autouse=True)
def _place(shallow: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network of the classes falling, rising and lying, and little videos, some of one name."""
    monkeypatch.chdir(tmp_path)
    net = nano(toy_config())
    net.class_names, net.clip_config = ("falling", "rising", "lying"), toy_config().data
    save_model(net, Path("net.safetensors"))
    for seed, name in enumerate(("rising/clip.mp4", "falling/clip.mp4", "falling/überall 空.avi")):
        write_video(Path("videos") / name, numbered_frames(9, seed=seed))


def written(folder: str) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())


def test_a_folder_is_mirrored_and_gone_on_with(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    Path("videos/rising/damaged.mp4").write_bytes(b"")
    Path("videos/readme.txt").write_text("no video")
    told = objabn(monkeypatch, capsys, "explain", "net.safetensors", "videos", "--out", "out", *PNG)
    assert_told("a video among others that cannot be read", told)
    pictures = ["falling/clip.png", "falling/überall 空.png", "rising/clip.png"]
    assert written("out") == sorted(pictures + [name.replace("png", "json") for name in pictures])

    Path("videos/rising/damaged.mp4").unlink()
    before = {name: (Path("out") / name).stat().st_mtime_ns for name in pictures}
    # What a killed process left, and one picture without its JSON: only this one is made again.
    Path("out/falling/.clip.png.123").write_bytes(b"half")
    Path("out/falling/clip.json").unlink()
    again = run("explain", "net.safetensors", "videos", "--out", "out", *PNG)
    assert again.count("clip.mp4: ") == 2, "all are named, as the first time"
    changed = [name for name in pictures if (Path("out") / name).stat().st_mtime_ns != before[name]]
    assert changed == ["falling/clip.png"]
    assert not list(Path("out").rglob(".*")), "what was half is gone"

    run("explain", "net.safetensors", "videos", "--out", "out", *PNG, "--method", "3dcam")
    assert all((Path("out") / name).stat().st_mtime_ns != before[name] for name in pictures), "other maps are made anew"


def test_videos_of_one_name_do_not_meet() -> None:
    shutil.copy("videos/rising/clip.mp4", "videos/rising/clip.mkv")
    run("explain", "net.safetensors", "videos/rising", "--out", "endings", *PNG)
    assert written("endings") == ["clip.mkv.json", "clip.mkv.png", "clip.mp4.json", "clip.mp4.png"]
    run("explain", "net.safetensors", "videos/rising/clip.mp4", "videos/falling/clip.mp4", "--out", "folders", *PNG)
    assert written("folders") == [f"{folder}/clip.mp4.{kind}" for folder in ("falling", "rising") for kind in ("json", "png")]


def test_another_video_of_the_same_name_is_not_replaced(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["explain", "net.safetensors", "videos/falling/clip.mp4", "--out", "out", *PNG]
    run("explain", "net.safetensors", "videos/rising/clip.mp4", "--out", "out", *PNG)
    picture = Path("out/clip.png").read_bytes()
    assert_told("an explanation of another video of the same name", objabn(monkeypatch, capsys, *words))
    assert Path("out/clip.png").read_bytes() == picture
    run(*words, "--overwrite")
    assert Path("out/clip.png").read_bytes() != picture


def test_the_class_to_be_explained() -> None:
    def explained(video: str, asked: str) -> list[int]:
        run("explain", "net.safetensors", video, "--class", asked, "--method", "3dcam", "--format", "maps", "--out", "out", "--overwrite")
        return read_maps(f"out/{Path(video).stem}.safetensors").classes.tolist()

    assert explained("videos/rising/clip.mp4", "true") == [1]
    assert explained("videos/falling/clip.mp4", "true") == [0]
    assert explained("videos/rising/clip.mp4", "lying") == [2]
    assert explained("videos/rising/clip.mp4", "2") == [2]
    predicted = explained("videos/rising/clip.mp4", "predicted")
    assert predicted == read_maps("out/clip.safetensors").logits.argmax(1).tolist()


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("a class that the network does not know", ["videos/rising/clip.mp4", "--class", "flying"]),
        ("the class of a folder that is none", ["clip.mp4", "--class", "true"]),
        ("a method that does not exist", ["clip.mp4", "--method", "magic"]),
        ("an option that the method does not take", ["clip.mp4", "--iterations", "5"]),
        ("a folder to be explained that holds no video", ["empty"]),
        ("a video to be explained that is not there", ["nowhere.mp4"]),
        ("a video to be explained that cannot be read", ["videos/damaged.mp4"]),
        ("a film that would replace its own video", ["clip.mp4", "--out", "."]),
        ("areas that are no numbers", ["clip.mp4", "--areas", "5%"]),
        ("a number of clips that is none", ["clip.mp4", "--clips", "few"]),
    ],
)
def test_what_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], case: str, words: list[str]) -> None:
    shutil.copy("videos/rising/clip.mp4", "clip.mp4")
    Path("empty").mkdir()
    Path("videos/damaged.mp4").write_text("not a video at all")
    video = Path("clip.mp4").read_bytes()
    assert_told(case, objabn(monkeypatch, capsys, "explain", "net.safetensors", *words))
    assert Path("clip.mp4").read_bytes() == video


def test_maps_of_a_clip_are_those_of_the_network() -> None:
    run("explain", "net.safetensors", "videos/rising/clip.mp4", "--format", "maps", "--out", "out")
    from objabn.explainers.video import read_centre_clip
    from objabn.models.storage import load_model

    net = load_model("net.safetensors")
    with torch.inference_mode():
        expected = net(read_centre_clip(Path("videos/rising/clip.mp4"), net.clip_config).clip[None])
    found = read_maps("out/clip.safetensors")
    assert found.frames.shape == (1, 4), "nine frames are less than a clip of sixteen reaches over"
    torch.testing.assert_close(torch.from_numpy(found.logits), expected.logits)
