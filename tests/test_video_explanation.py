"""A video explained from file to film: maps that can be read again, films whose frames and times are right, charts by hand."""

import json
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from odd_videos import encode
from PIL import Image
from safetensors.numpy import load_file, save_file
from test_docs import execute, python_blocks
from toys import nano, toy_config
from videos import numbered_frames, write_video

from objabn.explainers import explain
from objabn.explainers.explained_video import evenly, explain_video
from objabn.explainers.explanation import Explanation
from objabn.explainers.film import CONTOUR, Caption, FilmDrawer, contour_over, heat_over, shots
from objabn.explainers.finished import explains_another, find_explanation, fingerprint
from objabn.explainers.maps_file import read_maps
from objabn.explainers.overlay import overlay
from objabn.explainers.panels import HEADER_HEIGHT, LABEL_HEIGHT, Chart, Span, clock, fitting, font, ticks
from objabn.explainers.recording import Recording
from objabn.explainers.video_settings import VideoSettings
from objabn.explainers.windows import Window, read_windows
from objabn.models.network import AttentionNetwork
from objabn.models.storage import save_model
from objabn.prediction import predict_video

pytestmark = pytest.mark.usefixtures("shallow")

PAGES_FOLDER = Path(__file__).parents[1] / "docs"
SIZE, CLASSES = 32, ("falling", "rising", "lying")
DATA = replace(toy_config().data, stride_frames=2)


@pytest.fixture
def net() -> AttentionNetwork:
    found = nano(toy_config()).eval()
    found.class_names = CLASSES
    return found


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "rising" / "clip.1.avi", numbered_frames(20))


def recorded(folder: Path, frames: list[list[int]], seconds: list[list[float]], *, is_continuous: bool = True) -> Recording:
    """Windows of grey pictures as bright as their frames' numbers, with two maps each and class w % 3 for window w."""
    generator = np.random.default_rng(0)
    recording = Recording(folder, clip_size=SIZE, is_continuous=is_continuous)
    for number, (frames_T, seconds_T) in enumerate(zip(frames, seconds, strict=True)):
        pictures = np.stack([np.full((40, 50, 3), frame, np.uint8) for frame in frames_T])
        window = Window(np.array(frames_T), np.array(seconds_T), pictures, np.array([[0, 5, 40, 45]], np.float32), 0.0)
        maps = torch.from_numpy(generator.random((1, 2, len(frames_T), SIZE, SIZE), np.float32)) * 0.1 * (number + 1) + 0.3
        logits = torch.nn.functional.one_hot(torch.tensor([number % 3]), 3) * 4.0
        recording.add(window, window.clips(SIZE), [Explanation(maps, ("M_u", "M_o"), logits, logits.argmax(1))])
    return recording


def test_maps_can_be_read_again(tmp_path: Path) -> None:
    with recorded(tmp_path, [[0, 2, 4], [6, 8, 10]], [[0.0, 0.1, 0.2], [0.3, 0.4, 0.5]]) as recording:
        recording.write_maps(tmp_path / "maps.safetensors", {"video": "v", "class_names": CLASSES})
        found = read_maps(tmp_path / "maps.safetensors")
        generator = np.random.default_rng(0)
        for number in range(2):
            exact = generator.random((1, 2, 3, SIZE, SIZE), np.float32)[0] * np.float32(0.1) * (number + 1) + np.float32(0.3)
            rounding = (exact.max((1, 2, 3)) - exact.min((1, 2, 3))) / 510 + 1e-6
            assert (np.abs(found.maps[number] - exact).max((1, 2, 3)) <= rounding).all()
            assert np.array_equal(found.maps[number], recording.maps(number))
    assert (found.names, found.frames.tolist(), found.classes.tolist()) == (("M_u", "M_o"), [[0, 2, 4], [6, 8, 10]], [0, 1])
    assert found.seconds.tolist() == [[0.0, 0.1, 0.2], [0.3, 0.4, 0.5]]
    assert found.logits.tolist() == [[4, 0, 0], [0, 4, 0]]
    assert found.about == {"video": "v", "class_names": list(CLASSES), "rois": [[0, 5, 40, 45]]}
    part = read_maps(tmp_path / "maps.safetensors", slice(1, None))
    assert np.array_equal(part.maps, found.maps[1:])
    raw = load_file(tmp_path / "maps.safetensors")
    low, high = (raw[name][..., None, None, None] for name in ("low", "high"))
    np.testing.assert_allclose(low + raw["maps"] / 255 * (high - low), found.maps, atol=1e-6)
    assert [path.name for path in tmp_path.iterdir()] == ["maps.safetensors"], "what waited on the disk has no name"


def test_a_file_of_something_else_holds_no_maps(tmp_path: Path) -> None:
    save_file({"maps": np.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"other.safetensors holds no maps of `objabn explain`"):
        read_maps(tmp_path / "other.safetensors")


def test_a_film_shows_each_frame_once_and_as_fast_as_the_video(tmp_path: Path) -> None:
    frames, seconds = [[0, 2, 4], [3, 5, 7]], [[0.0, 0.2, 1.0], [0.6, 1.1, 1.3]]
    with recorded(tmp_path, frames, seconds) as recording:
        found = shots(recording)
        assert [(shot.window, shot.place, shot.frame) for shot in found] == [(0, 0, 0), (0, 1, 2), (0, 2, 4), (1, 1, 5), (1, 2, 7)]
        assert [shot.film_seconds for shot in found] == pytest.approx([0, 0.2, 1.0, 1.1, 1.3])
        recording.longest_pause = 0.5
        assert [shot.film_seconds for shot in shots(recording)] == pytest.approx([0, 0.2, 0.7, 0.8, 1.0])


def test_clips_that_lie_apart_follow_without_a_pause_and_repeated_frames_once(tmp_path: Path) -> None:
    frames, seconds = [[0, 2, 4], [90, 91, 91]], [[0.0, 0.2, 0.4], [9.0, 9.1, 9.1]]
    with recorded(tmp_path, frames, seconds, is_continuous=False) as recording:
        found = shots(recording)
        assert [shot.frame for shot in found] == [0, 2, 4, 90, 91]
        assert [shot.film_seconds for shot in found] == pytest.approx([0, 0.2, 0.4, 0.5, 0.6])


def test_the_chart_has_a_step_for_each_window(tmp_path: Path) -> None:
    caption = Caption("clip.avi", CLASSES, is_class_given=False)
    with recorded(tmp_path, [[0, 1], [2, 3], [30, 31]], [[0, 0.1], [0.2, 0.3], [3.0, 3.1]]) as recording:
        drawer = FilmDrawer(recording, caption, opacity=0.5, threshold=0.5)
        assert [time for span in drawer.spans() for time in span[:2]] == pytest.approx([0, 0.2, 0.2, 0.3, 3.0, 3.1])
        # Each window is sure of another class: e^4 / (e^4 + 2).
        assert drawer.spans()[1].scores.tolist() == pytest.approx([0.0177, 0.9647, 0.0177], abs=1e-4)
        recording.is_continuous = False
        recording.windows[1] = recording.windows[1]._replace(seconds=np.array([0.05, 0.15]))
        shared = [time for span in drawer.spans() for time in span[:2]]
        assert shared == pytest.approx([0, 0.075, 0.075, 0.15, 3.0, 3.1]), "what overlaps is shared"


def test_places_in_a_chart_by_hand() -> None:
    spans = [Span(0.0, 5.0, np.array([0.5])), Span(5.0, 10.0, np.array([1.0]))]
    chart = Chart(spans, left=10, top=100, width=260)
    assert (chart.x(0), chart.x(5), chart.x(10), chart.x(99)) == (58, 158, 258, 258)  # 48 pixels left of it, 12 right
    assert (chart.y(1), chart.y(0.5), chart.y(0)) == (112, 155, 198)  # 12 above it, 20 below, of 118
    assert chart.step(spans[0], 0) == [(58, 155), (158, 155)]


def test_times_as_people_write_them() -> None:
    assert [clock(seconds) for seconds in (0, 7.9, 754, 3723)] == ["0:00", "0:07", "12:34", "1:02:03"]
    assert [clock(seconds, tenths=True) for seconds in (0.04, 59.97, 61.25)] == ["0:00.0", "1:00.0", "1:01.2"]
    assert ticks(2.6) == [(0.0, "0 s"), (0.5, "0.5 s"), (1.0, "1 s"), (1.5, "1.5 s"), (2.0, "2 s"), (2.5, "2.5 s")]
    assert [text for _, text in ticks(600)] == ["0:00", "2:00", "4:00", "6:00", "8:00", "10:00"]
    assert len(ticks(1e6)) <= 9


def test_long_names_are_cut_in_the_middle() -> None:
    assert fitting("short", 200) == "short"
    cut = fitting("a very long name of a video.mp4", 100)
    assert cut.startswith("a ve")
    assert cut.endswith("p4")
    assert "…" in cut
    assert font().getlength(cut) <= 100


@pytest.mark.parametrize(
    ("maps", "columns", "last"), [(1, 2, (264, 308)), (6, 7, (1564, 308)), (7, 4, (784, 864)), (12, 7, (1304, 864)), (20, 7, (1564, 1420))]
)
def test_many_maps_stand_in_several_rows(tmp_path: Path, maps: int, columns: int, last: tuple[int, int]) -> None:
    names = tuple(f"M_{number}" for number in range(maps))
    with recorded(tmp_path, [[0]], [[0.0]]) as recording:
        found = recording.windows[0]
        recording.names, recording.windows = names, [found._replace(low=np.zeros(maps), high=np.ones(maps))]
        drawer = FilmDrawer(recording, Caption("v", CLASSES, is_class_given=False), opacity=0.5, threshold=0.5)
        assert (drawer.columns, drawer.corner(maps, 1)) == (columns, last)
        width, height = drawer.ground.size
        assert (width, height) == (4 + 260 * columns, last[1] + 22 + 256 + 4)


def test_heat_is_that_of_overlay_and_contours_run_around_what_is_above() -> None:
    generator = np.random.default_rng(0)
    pictures, heat = generator.integers(0, 256, (2, 9, 9, 3), np.uint8), generator.random((2, 9, 9), np.float32)
    exact = overlay(pictures, heat, opacity=0.3, contour=None).astype(int)
    assert np.abs(heat_over(pictures, heat, 0.3) - exact).max() <= 2
    square = np.zeros((1, 9, 9), np.float32)
    square[0, 3:7, 3:7] = 0.6
    drawn = contour_over(np.full((1, 9, 9, 3), 100, np.uint8), square, 0.5)[0]
    is_line = (drawn == CONTOUR).all(-1)
    assert is_line[2:8, 2:8].sum() == is_line.sum() == 6 * 6 - 4 - 2 * 2, "two pixels wide, without its outer corners"
    assert (drawn[4:6, 4:6] == 100).all()
    assert (drawn[0] == 45).all()


def test_everything_is_written_and_agrees(net: AttentionNetwork, video: Path, tmp_path: Path) -> None:
    target = tmp_path / "out" / "clip.1"
    settings = VideoSettings(methods=("attention", "3dcam"), clips="all", explained="lying")
    told: list[float] = []
    found = explain_video(net, video, DATA, target, settings, made_by="me", on_progress=told.append)
    endings = [".png", ".mp4", ".gif", ".safetensors"]
    assert [path.name for path in found.files] == [f"clip.1{ending}" for ending in endings]
    assert sorted(path.name for path in target.parent.iterdir()) == sorted(f"clip.1{ending}" for ending in [*endings, ".json"])
    about = json.loads((tmp_path / "out/clip.1.json").read_text())
    assert [clip["frames"] for clip in about["clips"]] == [[0, 6], [8, 14], [12, 18]]
    assert {clip["explained"] for clip in about["clips"]} == {"lying"}
    reading = [0.6 * part / 20 for part in (3.5, 7, 11, 15, 17.5, 20)]  # of each window two methods
    assert told == pytest.approx([*reading, *(0.6 + 0.04 * shot for shot in range(1, 11))])

    answer = predict_video(net, video, DATA, clips="all")
    assert found.probability == pytest.approx(answer.probabilities.max())
    assert found.label == CLASSES[int(answer.probabilities.argmax())]

    maps = read_maps(found.files[3])
    assert maps.names == ("M_o", "3dcam")
    windows = list(read_windows(video, DATA, clips="all"))
    for number, window in enumerate(windows):
        clip = window.clips(SIZE)
        for place, method in enumerate(settings.methods):
            expected = explain(net, clip, method=method, classes="lying").maps[0, 0].numpy()
            np.testing.assert_allclose(maps.maps[number, place], expected, atol=1 / 500)

    with av.open(str(found.files[1])) as container:
        frames = [(float(frame.time), frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    assert [time for time, _ in frames] == pytest.approx([0.08 * number for number in range(10)], abs=1e-4)
    top = HEADER_HEIGHT + LABEL_HEIGHT
    first = frames[0][1][top : top + 256, 4:260]
    assert np.abs(first.astype(int) - windows[0].clips(256)[0, :, 0].permute(1, 2, 0).numpy()).mean() < 6, "the crop as the network saw it"
    with Image.open(found.files[2]) as gif:
        assert (gif.n_frames, gif.size[0]) == (10, 784)
    with Image.open(found.files[0]) as strip:
        assert strip.size == (8 * 256, 3 * (256 + 24))


def test_a_variable_rate_is_that_of_the_film(net: AttentionNetwork, tmp_path: Path) -> None:
    times = [0, 40, 80, 500, 540, 900, 1000, 2000]
    path = encode(tmp_path / "v.mkv", numbered_frames(8), "libx264", milliseconds=times)
    found = explain_video(net, path, replace(DATA, stride_frames=1), tmp_path / "film", VideoSettings(formats=("mp4",)))
    with av.open(str(found.files[0])) as container:
        assert [float(frame.time) for frame in container.decode(video=0)] == pytest.approx([time / 1000 for time in times], abs=1e-4)


@pytest.mark.parametrize("formats", [("gif",), ("maps",), ("png",)])
def test_one_frame_is_enough_and_only_what_was_asked_for_is_written(net: AttentionNetwork, tmp_path: Path, formats: tuple[str]) -> None:
    path = encode(tmp_path / "one.mp4", numbered_frames(1), "libx264")
    found = explain_video(net, path, DATA, tmp_path / "out" / "one", VideoSettings(formats=formats))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted([found.files[0].name, "one.json"])


def test_clips_that_see_the_whole_video_are_one_by_default(net: AttentionNetwork, video: Path, tmp_path: Path) -> None:
    segments = replace(DATA, sampling="segments")
    explain_video(net, video, segments, tmp_path / "out", VideoSettings(formats=("maps",)))
    assert read_maps(tmp_path / "out.safetensors").frames.tolist() == [[2, 7, 12, 17]]
    with pytest.raises(ValueError, match="give a number of clips instead of all"):
        VideoSettings(clips="all").clips_for(segments)
    assert VideoSettings().clips_for(DATA) == "all"
    assert VideoSettings(methods=("3dcam",)).clips_for(DATA) == 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"methods": ("magic",)}, "There is no method 'magic'; choose one of attention"),
        ({"methods": ("attention", "attention")}, "methods=attention,attention is not possible"),
        ({"methods": ()}, "at least one, none of them twice"),
        ({"formats": ("avi",)}, "formats=avi is not possible; it must be one of png, mp4, gif, maps"),
        ({"opacity": 1.5}, "opacity=1.5 is not possible"),
        ({"threshold": -1.0}, "threshold=-1.0 is not possible"),
        ({"clips": 0}, "clips=0 is not possible; it must be all, or a number of at least 1"),
        ({"iterations": 3}, "iterations belongs to extremal_perturbation and st_extremal_perturbation, not to attention; leave it out"),
        ({"areas": (0.1,)}, "areas belongs to extremal_perturbation"),
    ],
)
def test_what_cannot_be_drawn_is_refused(settings: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        VideoSettings(**settings)


def test_an_explanation_is_found_while_nothing_it_is_made_of_changes(net: AttentionNetwork, video: Path, tmp_path: Path) -> None:
    target, settings = tmp_path / "out", VideoSettings(formats=("png", "maps"))
    made_by = fingerprint("weights", DATA, settings, video)
    assert find_explanation(target, made_by) is None
    made = explain_video(net, video, DATA, target, settings, made_by=made_by)
    assert find_explanation(target, made_by) == made._replace(probability=round(made.probability, 6))
    others = [
        fingerprint("other weights", DATA, settings, video),
        fingerprint("weights", replace(DATA, stride_frames=3), settings, video),
        fingerprint("weights", DATA, replace(settings, opacity=0.4), video),
    ]
    assert all(find_explanation(target, other) is None for other in others)
    assert fingerprint("weights", replace(DATA, loader="reader", threads=3), settings, video) == made_by
    assert not explains_another(target, video)
    assert explains_another(target, tmp_path / "other.avi")
    video.write_bytes(video.read_bytes() + b" ")
    assert fingerprint("weights", DATA, settings, video) != made_by
    made.files[0].unlink()
    assert find_explanation(target, made_by) is None


def test_the_page_runs(net: AttentionNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    net.clip_config = DATA
    write_video(Path("my_video.mp4"), numbered_frames(12))
    Path("runs/mine").mkdir(parents=True)
    save_model(net, Path("runs/mine/model.safetensors"))
    names: dict = {}
    execute(PAGES_FOLDER / "explaining_videos.md", names, python_blocks(PAGES_FOLDER / "explaining_videos.md"))
    assert names["found"].maps.shape == (2, 1, 4, SIZE, SIZE)
    assert np.array_equal(names["part"].maps, names["found"].maps[:1])


def test_numbers_are_spread_evenly() -> None:
    assert evenly(5, 8) == [0, 1, 2, 3, 4]
    assert evenly(16, 8) == [0, 2, 4, 6, 8, 10, 12, 14]
    assert evenly(10, 4) == [0, 2, 5, 7]
