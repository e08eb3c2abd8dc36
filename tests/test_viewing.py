"""The page's logic without a page: painting, scenes, videos that are handed in, downloads."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import load
from toys import nano, toy_config
from videos import numbered_frames, write_video

from objabn.config import DataConfig
from objabn.explainers.intervention import answer_with_maps
from objabn.explainers.video import read_centre_clip
from objabn.metrics import attention_entropy
from objabn.models.network import AttentionNetwork
from objabn.viewing.exports import maps_file, picture_file
from objabn.viewing.opening import open_video, read_clip, safe_name
from objabn.viewing.painting import Brush, MapEditor, stroke_weights
from objabn.viewing.scene import Scene, ShownMap, View, is_inside

DATA = toy_config().data


@pytest.fixture
def net(shallow: None) -> AttentionNetwork:
    net = nano(toy_config()).eval()
    net.class_names = ("running", "<b>jumping</b>", "sitting")
    return net


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    write_video(path, numbered_frames(40))
    return path


@pytest.fixture
def scene(net: AttentionNetwork, video: Path) -> Scene:
    return Scene(net, read_clip(open_video(video, "clip.mp4", DATA), DATA), DATA.crop_size)


def editor(frames: int = 4, drawn: int = 4) -> MapEditor:
    own = np.random.default_rng(0).random((2, frames, 5, 5), np.float32)
    return MapEditor(own, (drawn, drawn))


def test_a_dab_by_hand() -> None:
    # The middle of 5 cells, whose centres lie 0.2 apart; a radius of a cell: 1 up to 0.1 within it, 0.5 on it, 0 from 0.3 on.
    weights = stroke_weights([[0.5, 0.5]], 0.2, (5, 5))
    np.testing.assert_allclose(weights[2], [0, 0.5, 1, 0.5, 0], atol=1e-6)
    diagonal = (0.2 - 0.2 * 2**0.5) / 0.2 + 0.5
    np.testing.assert_allclose(np.diag(weights), [0, diagonal, 1, diagonal, 0], atol=1e-6)
    # No brush falls between the cells: at a corner it takes a share of the four around.
    assert (stroke_weights([[0.4, 0.4]], 0.0, (5, 5)) > 0).sum() == 4


def test_a_line_covers_what_lies_along_it() -> None:
    weights = stroke_weights([[0.1, 0.3], [0.9, 0.3]], 0.1, (5, 5))
    np.testing.assert_allclose(weights, [[0] * 5, [1] * 5, [0] * 5, [0] * 5, [0] * 5], atol=1e-6)


def test_a_stroke_in_pieces_is_the_stroke_and_is_undone_at_once() -> None:
    whole, pieces = editor(), editor()
    points, brush = [[0.1, 0.2], [0.6, 0.4], [0.9, 0.9]], Brush(radius=0.15, strength=0.5)
    whole.stroke(1, points, brush, frame=None, is_new=True)
    pieces.stroke(1, points[:2], brush, frame=None, is_new=True)
    pieces.stroke(1, points[1:], brush, frame=None, is_new=False)
    np.testing.assert_allclose(pieces.maps, whole.maps, atol=1e-6)
    pieces.stroke(1, points, brush, frame=None, is_new=False)
    np.testing.assert_allclose(pieces.maps, whole.maps, atol=1e-6, err_msg="what was covered is not covered again")
    assert np.array_equal(whole.maps[0], whole.own[0])
    weights = stroke_weights(points, 0.15, (5, 5))
    np.testing.assert_allclose(whole.maps[1], whole.own[1] + 0.5 * weights * (1 - whole.own[1]), atol=1e-6)
    pieces.undo()
    assert not pieces.is_edited


def test_an_undone_stroke_goes_on_as_a_new_one() -> None:
    each = editor()
    each.stroke(0, [[0.1, 0.1]], Brush(), frame=None, is_new=True)
    kept = each.maps.copy()
    each.stroke(0, [[0.5, 0.5]], Brush(), frame=None, is_new=True)
    each.undo()
    each.stroke(0, [[0.9, 0.9]], Brush(), frame=None, is_new=False)
    assert each.maps[0, 0, 0, 0] == kept[0, 0, 0, 0] == 1, "what was drawn before it stays"
    assert (each.maps[0, 0, 2, 2], each.maps[0, 0, 4, 4]) == (kept[0, 0, 2, 2], 1)
    each.undo()
    assert np.array_equal(each.maps, kept)


def test_a_frame_is_painted_with_those_that_share_its_map() -> None:
    alone, merged = editor(), editor(drawn=2)
    for each in (alone, merged):
        each.stroke(0, [[0.5, 0.5]], Brush(is_eraser=True), frame=1, is_new=True)
        assert each.maps[0, 1, 2, 2] == 0
    assert alone.edited_frames(0) == [False, True, False, False]
    assert merged.edited_frames(0) == [True, True, False, False]
    assert merged.edited_frames(1) == [False] * 4


def test_changes_of_regions() -> None:
    inside = np.zeros((4, 5, 5), bool)
    inside[:, :2] = True
    found = {}
    for change in ("keep", "remove", "invert", "open"):
        each = editor()
        each.open_value = 0.25
        each.change(1, change, inside, frame=2)
        assert np.array_equal(np.delete(each.maps[1], 2, 0), np.delete(each.own[1], 2, 0)), "other frames stay"
        found[change] = each.maps[1, 2]
    own = editor().own[1, 2]
    np.testing.assert_array_equal(found["keep"], np.where(inside[2], own, 0))
    np.testing.assert_array_equal(found["keep"] + found["remove"], own)
    np.testing.assert_array_equal(found["invert"], 1 - own)
    assert (found["open"] == 0.25).all()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("stroke"), st.floats(-0.2, 1.2), st.floats(-0.2, 1.2), st.sampled_from([None, 0, 3])),
        st.tuples(st.sampled_from(["keep", "remove", "invert", "open"]), st.just(0.0), st.just(0.0), st.sampled_from([None, 1])),
        st.tuples(st.just("reset"), st.just(0.0), st.just(0.0), st.none()),
    ),
    max_size=8,
)


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_whatever_was_done_is_undone_and_values_stay_maps(steps: list) -> None:
    each = editor(drawn=2)
    for kind, x, y, frame in steps:
        if kind == "stroke":
            each.stroke(0, [[x, y], [y, x]], Brush(radius=0.3, strength=0.7), frame=frame, is_new=True)
        elif kind == "reset":
            each.reset()
            assert not each.is_edited
        else:
            each.change(0, kind, each.maps[0] >= 0.5, frame=frame)
        assert 0 <= each.maps.min() <= each.maps.max() <= 1
    for _ in steps:
        each.undo()
    assert np.array_equal(each.maps, each.own)


def test_a_scene_answers_as_the_network_does_and_to_edited_maps_as_it_would(scene: Scene, net: AttentionNetwork) -> None:
    with torch.inference_mode():
        output = net(scene.clip_BCTYX)
        assert np.array_equal(scene.own_K, output.logits[0].softmax(0).numpy())
        scene.stroke("M_o", [[0.2, 0.2], [0.8, 0.8]], Brush(radius=0.2), frame=None, is_new=True)
        scene.answer()
        edited = answer_with_maps(net, scene.clip_BCTYX, torch.from_numpy(scene.editor.maps)[None]).logits[0].softmax(0)
    assert np.array_equal(scene.now_K, edited.numpy())
    assert not np.array_equal(scene.now_K, scene.own_K)
    bars = scene.bars()
    assert [bar.probability for bar in bars] == sorted(scene.now_K.tolist(), reverse=True)
    assert {bar.name: bar.own for bar in bars} == dict(zip(net.class_names, scene.own_K.tolist(), strict=True))
    scene.editor.reset()
    scene.answer()
    assert np.array_equal(scene.now_K, scene.own_K)


def test_the_class_that_was_predicted_stays_among_the_bars(scene: Scene) -> None:
    scene.own_K, scene.now_K = np.array([0.1, 0.7, 0.2], np.float32), np.array([0.5, 0.1, 0.4], np.float32)
    assert [bar.name for bar in scene.bars(2)] == ["running", "<b>jumping</b>"]
    assert [bar.name for bar in scene.bars(3)] == ["running", "sitting", "<b>jumping</b>"]


def test_maps_are_shown_with_the_range_they_had_before(scene: Scene) -> None:
    own = scene.shown("M_o")
    scene.change("M_o", "invert", View(), frame=2)
    shown = scene.shown("M_o")
    assert (shown.low, shown.high) == (own.low, own.high)
    assert shown.edited == [False, False, True, False]
    torch.testing.assert_close(torch.tensor(shown.entropies), attention_entropy(torch.from_numpy(shown.values)))
    assert scene.has("M_o")
    assert not scene.has("gradcam")
    before = [module.training for module in scene.net.modules()]
    scene.explain("gradcam", lambda: True)
    assert not scene.has("gradcam"), "nobody waited for it"
    scene.explain("gradcam", lambda: False)
    drawn = scene.shown("gradcam")
    assert drawn.values.shape == (4, 32, 32)
    assert not drawn.is_editable
    assert [module.training for module in scene.net.modules()] == before


def test_what_is_inside_by_hand() -> None:
    shown = ShownMap(np.array([[[0.2, 0.3, 0.4]]], np.float32), 0.2, 0.4, [0.0], [False], True)
    assert is_inside(shown, View(threshold=0.5)).tolist() == [[[False, True, True]]]
    assert is_inside(shown, View(threshold=0.35, is_stretched=False)).tolist() == [[[False, False, True]]]
    flat = shown._replace(values=np.full((1, 1, 3), 0.2, np.float32), high=0.2)
    assert not is_inside(flat, View(threshold=0.1)).any()


def test_clips_begin_where_they_are_asked_to(video: Path) -> None:
    opened = open_video(video, "mine.mp4", DATA)
    span = (DATA.clip_frames - 1) * DATA.stride_frames
    assert opened.last_start == 40 - 1 - span
    centre = read_centre_clip(video, DATA)
    assert torch.equal(read_clip(opened, DATA).clips(32)[0], centre.clip)
    window = read_clip(opened, DATA, opened.last_start // 2)
    assert torch.equal(window.clips(32)[0], centre.clip), "the middle of the slider is the centre clip"
    for start in (0, 7, opened.last_start):
        assert read_clip(opened, DATA, start).frames.tolist() == list(range(start, start + span + 1, DATA.stride_frames))
    assert read_clip(opened, DATA, 10_000).frames[-1] == 39
    whole = DataConfig(sampling="uniform", clip_frames=4, crop_size=32, short_side=(32, 32), eval_short_side=32)
    assert open_video(video, "mine.mp4", whole).last_start == 0
    assert read_clip(open_video(video, "mine.mp4", whole), whole, 5).frames.tolist() == [0, 10, 20, 30]


def test_a_damaged_video_is_told_by_its_owners_name(video: Path) -> None:
    video.write_bytes(video.read_bytes()[:300])
    with pytest.raises(RuntimeError, match=r"^holiday\.mp4 cannot be read: ") as raised:
        open_video(video, "holiday.mp4", DATA)
    assert str(video.parent) not in str(raised.value)


def test_downloads_hold_what_is_shown(scene: Scene, tmp_path: Path) -> None:
    scene.change("M_o", "open", View(), frame=None)
    scene.answer()
    content = maps_file(scene, "clip.mp4")
    found = load(content)
    assert set(found) == {"frames", "M_o", "own.M_o"}
    assert (found["M_o"] == 1).all()
    assert np.array_equal(found["own.M_o"], scene.editor.own[0])
    assert found["frames"].tolist() == scene.window.frames.tolist()
    about = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
    assert about["video"] == "clip.mp4"
    assert json.loads(about["edited"]) == pytest.approx(dict(zip(scene.net.class_names, scene.now_K.tolist(), strict=True)), abs=1e-6)
    path = tmp_path / "picture.png"
    path.write_bytes(picture_file(scene, "M_o"))
    edited = Image.open(path)
    scene.editor.reset()
    path.write_bytes(picture_file(scene, "M_o"))
    assert edited.height > Image.open(path).height, "the map before it was edited has a row of its own"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("../../etc/passwd", "passwd"),
        ("Ünï côde.mp4", "Ünï_côde"),
        ('a\nb"<>.avi', "a_b"),
        ("", "clip"),
        ("...", "clip"),
        ("x" * 99, "x" * 60),
    ],
)
def test_names_of_downloads_are_harmless(name: str, expected: str) -> None:
    assert safe_name(name) == expected
