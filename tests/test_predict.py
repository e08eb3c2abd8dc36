"""`objabn predict`: lines of JSON that agree with evaluation, for files, folders and cameras."""

import json
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from bad_input import assert_told, objabn
from commands import run
from toys import nano, toy_config
from videos import class_folders, numbered_frames, packed, write_video

import objabn as library
from cli.predict import Asking
from objabn.data.reader import reader
from objabn.explainers import camera
from objabn.explainers.camera import Device, OpenCamera, device_of, is_camera
from objabn.explainers.streams import Moment
from objabn.models.network import AttentionNetwork
from objabn.models.storage import save_model
from objabn.prediction import likeliest, predict_video


@pytest.fixture(autouse=True)
def net(shallow: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AttentionNetwork:
    monkeypatch.chdir(tmp_path)
    found = nano(toy_config()).eval()
    found.class_names, found.clip_config = ("falling", "rising", "lying"), replace(toy_config().data, stride_frames=2)
    save_model(found, Path("net.safetensors"))
    return found


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("views", [(1, 1), (3, 2)])
def test_videos_are_answered_as_in_evaluation(net: AttentionNetwork, tmp_path: Path, views: tuple[int, int]) -> None:
    dataset = packed(class_folders(tmp_path / "videos"), tmp_path, quality=100)
    config = toy_config()
    data = replace(config.data, views=views, stride_frames=2)
    with_views = replace(config, data=data)
    every = np.arange(len(dataset))
    batches = reader(dataset, with_views, rows=every)
    evaluation = library.evaluate(net, batches)
    for result in evaluation.results:
        answer = predict_video(net, tmp_path / "videos" / dataset.index.name(result.video), data, clips=views[0], crops=views[1])
        assert answer.frames == dataset.index.frames[result.video]
        assert len(answer.clips) == views[0]
        assert int(answer.probabilities.argmax()) == result.predicted
        assert answer.probabilities[result.label] == pytest.approx(result.probability, abs=2e-3), "but for JPEG they are the same"


def test_a_folder_is_a_line_for_each_video(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("b/v 2.mp4", "a/v1.avi"):
        write_video(Path("videos") / name, numbered_frames(20))
    found = lines(run("predict", "net.safetensors", "videos", "--top", "2"))
    assert [line["video"] for line in found] == ["videos/a/v1.avi", "videos/b/v 2.mp4"]
    for line in found:
        first, second = line["top"]
        assert (line["class"], line["probability"]) == (first["class"], first["probability"])
        assert first["probability"] >= second["probability"]
        assert (line["frames"], line["seconds"], set(line)) == (20, 0.8, {"video", "class", "probability", "top", "frames", "seconds"})
    Path("videos/c.mkv").write_bytes(b"")
    told = objabn(monkeypatch, capsys, "predict", "net.safetensors", "videos", "--out", "some/lines.jsonl")
    assert_told("a video that cannot be read among those to be predicted", told)
    (*rest, bad) = lines(Path("some/lines.jsonl").read_text())
    assert bad == {"video": "videos/c.mkv", "error": "videos/c.mkv cannot be read: the file is empty."}
    assert [line["top"][:2] for line in rest] == [line["top"] for line in found]


def test_clips_have_answers_of_their_own(net: AttentionNetwork) -> None:
    write_video(Path("v.mp4"), numbered_frames(20))
    (line,) = lines(run("predict", "net.safetensors", "v.mp4", "--clips", "all"))
    assert [clip["frames"] for clip in line["clips"]] == [[0, 6], [8, 14], [12, 18]]
    assert [clip["seconds"] for clip in line["clips"]] == [[0.0, 0.24], [0.32, 0.56], [0.48, 0.72]]
    assert (line["frames"], line["seconds"]) == (20, 0.8)
    of_class = [next(top["probability"] for top in clip["top"] if top["class"] == line["class"]) for clip in line["clips"]]
    assert line["probability"] == pytest.approx(np.mean(of_class), abs=1e-5)
    (centre,) = lines(run("predict", "net.safetensors", "v.mp4"))
    assert predict_video(net, Path("v.mp4"), net.clip_config).clips[0][:2] == (6, 12)
    assert "clips" not in centre


class Pictures:
    """A camera that shows a film and then is unplugged, or stopped by Ctrl-C."""

    fps = Fraction(25)

    def __init__(self, ending: BaseException | None) -> None:
        self.ending = ending

    def moments(self) -> Iterator[Moment]:
        for number, picture in enumerate(numbered_frames(18)):
            yield Moment(number / 25, lambda picture=picture: picture, 0.0)
        if self.ending is not None:
            raise self.ending


def asked(net: AttentionNetwork, source: camera.Camera) -> list[dict]:
    written: list[dict] = []
    asking = Asking(net=net, data=net.clip_config, top=1, clips=1, crops=1, shows_clips=False)
    asking.camera(source, "0", written.append)
    return written


def test_a_camera_is_asked_clip_after_clip_until_ctrl_c(net: AttentionNetwork) -> None:
    found = asked(net, Pictures(SystemExit(130)))
    assert [line["seconds"] for line in found] == [[0.0, 0.24], [0.32, 0.56]]
    assert {line["video"] for line in found} == {"0"}
    assert len(asked(net, Pictures(None))) == 3, "one that ends by itself has its last frames too"
    with pytest.raises(SystemExit):
        asked(net, Pictures(SystemExit(143)))
    with pytest.raises(RuntimeError, match="unplugged"):
        asked(net, Pictures(RuntimeError("unplugged")))


def test_a_device_that_ffmpeg_opens_is_a_camera(net: AttentionNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(Path("v.mp4"), numbered_frames(16))
    assert asked(net, OpenCamera(Device("mov", str(path), {})))[1]["seconds"] == [0.32, 0.56]
    monkeypatch.setattr(camera, "device_of", lambda _: Device("mov", str(path), {}))
    printed = lines(run("predict", "net.safetensors", "7"))
    assert [line["video"] for line in printed] == ["7", "7"]


def test_what_means_a_camera(tmp_path: Path) -> None:
    Path("5").write_text("a file of this name")
    assert [is_camera(text) for text in ("0", "12", "5", "v.mp4", "/dev/video3", "/dev/null")] == [True, True, False, False, True, True]
    assert device_of("2", system="Linux") == Device("v4l2", "/dev/video2", {})
    assert device_of("/dev/video4", system="Linux").name == "/dev/video4"
    assert device_of("0", system="Darwin")[:2] == ("avfoundation", "0")
    with pytest.raises(ValueError, match="Cameras are read on Linux and macOS only, not on Windows"):
        device_of("0", system="Windows")


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("a camera that is not there", ["97"]),
        ("a camera among other videos", ["0", "v.mp4"]),
        ("clips and views at once", ["v.mp4", "--clips", "all", "--views", "2x1"]),
        ("no view at all", ["v.mp4", "--views", "0x1"]),
    ],
)
def test_what_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], case: str, words: list[str]) -> None:
    assert_told(case, objabn(monkeypatch, capsys, "predict", "net.safetensors", *words))


def test_the_likeliest_stand_first_and_of_equals_the_lower_number() -> None:
    found = likeliest("abcd", np.array([0.2, 0.3, 0.3, 0.2]), top=3)
    assert [(each["class"], each["number"], each["probability"]) for each in found] == [("b", 1, 0.3), ("c", 2, 0.3), ("a", 0, 0.2)]
