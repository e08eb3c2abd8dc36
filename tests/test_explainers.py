"""Explanations: maps at the clip's resolution, exact drawing, films that can be read again, the clip that evaluation sees."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from toys import nano, toy_batch, toy_config

from objabn.config import DataConfig
from objabn.explainers import explain
from objabn.explainers.explanation import enlarge
from objabn.explainers.overlay import COLOURS, LABEL_HEIGHT, heat_colours, magnify, outline, overlay, stretch, strip
from objabn.explainers.video import read_centre_clip, write_film, write_picture


def test_attention_is_the_networks_own_map_enlarged() -> None:
    net, batch = nano(toy_config()), toy_batch(0, clips=2)
    net.train()
    net.backbone.blocks[0].eval()
    found = explain(net, batch.clip)
    assert net.training
    assert not net.backbone.blocks[0].training, "frozen parts stay in the mode they have"
    assert found.names == ("M_o",)
    assert found.maps.shape == (2, 1, 4, 32, 32)
    output = net.eval()(batch.clip)
    assert torch.equal(found.logits, output.logits)
    expected = torch.nn.functional.interpolate(output.maps[:, 0], (32, 32), mode="bilinear", align_corners=False)
    torch.testing.assert_close(found.maps[:, 0], expected)
    assert 0 <= found.maps.min() <= found.maps.max() <= 1
    with pytest.raises(ValueError, match="There is no method 'magic'; choose one of attention"):
        explain(net, batch.clip, method="magic")


def test_one_cell_of_four_enlarged_by_hand() -> None:
    small = torch.tensor([[0.0, 1.0], [0.0, 1.0]]).expand(1, 1, 4, 2, 2)
    row = enlarge(small, size_TYX=(4, 4, 4))[0, 0, 3, 2]
    assert row.tolist() == [0.0, 0.25, 0.75, 1.0]


def test_colours_begin_and_end_where_they_say_and_brighten() -> None:
    ramp = heat_colours(np.linspace(0, 1, 101, dtype=np.float32))
    assert ramp[0].tolist() == COLOURS[0].tolist()
    assert ramp[-1].tolist() == COLOURS[-1].tolist()
    # Halfway a cubic Bezier weighs its points 1, 3, 3, 1 in eighths.
    assert ramp[50].tolist() == np.rint((COLOURS[0] + 3 * COLOURS[1] + 3 * COLOURS[2] + COLOURS[3]) / 8).tolist()
    assert (np.diff(ramp @ np.array([0.299, 0.587, 0.114])) >= -1).all()


def test_overlay_mixes_frame_and_heat() -> None:
    frames = np.full((1, 1, 2, 3), 100, np.uint8)
    heat = np.array([[[0.0, 1.0]]], np.float32)
    plain = overlay(frames, heat, opacity=0.5, contour=None)
    assert plain[0, 0, 0].tolist() == [60, 55, 80]
    assert plain[0, 0, 1].tolist() == [178, 178, 125]  # 177.5 goes to the even 178, as NumPy rounds
    assert overlay(frames, heat, opacity=0.0, contour=None).tolist() == frames.tolist()
    assert overlay(frames, heat)[0, 0].tolist() == [[60, 55, 80], [255, 255, 255]]
    with pytest.raises(ValueError, match="enlarge it with"):
        overlay(frames, heat[:, :, :1])


def test_outline_is_the_rim_of_a_region_but_not_the_border_of_the_picture() -> None:
    region = np.zeros((1, 5, 5), bool)
    region[0, 1:, 1:4] = True
    assert outline(region)[0].astype(int).tolist() == [[0, 0, 0, 0, 0], [0, 1, 1, 1, 0], [0, 1, 0, 1, 0], [0, 1, 0, 1, 0], [0, 1, 0, 1, 0]]


def test_stretch_keeps_the_order_of_frames_and_flattens_the_flat() -> None:
    assert stretch(np.array([[[0.2]], [[0.4]], [[0.6]]], np.float32)).flatten().tolist() == pytest.approx([0, 0.5, 1])
    assert stretch(np.full((2, 2, 2), 0.3, np.float32)).max() == 0


def test_strip_has_a_row_for_the_frames_and_one_for_each_map(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (16, 20, 30, 3), np.uint8)
    maps = np.random.default_rng(1).random((3, 16, 20, 30), np.float32)
    picture = strip(frames, maps, ("M_u", "M_o", "M_b"), title="Biking  97.0 %")
    assert picture.shape == (4 * (20 + LABEL_HEIGHT), 8 * 30, 3)
    assert np.array_equal(picture[LABEL_HEIGHT : LABEL_HEIGHT + 20, 30:60], frames[2]), "every second frame"
    heat = overlay(frames[14:15], stretch(maps[1])[14:15])[0]
    top = 2 * (20 + LABEL_HEIGHT) + LABEL_HEIGHT
    assert np.array_equal(picture[top : top + 20, -30:], heat)
    assert picture[:LABEL_HEIGHT].max() == 255, "the title is written"
    longer = strip(frames, maps, ("M_u", "M_o", "M_b"), title="", ranges=np.array([[0, -1, 0], [1, 1, 2]], np.float32))
    assert np.array_equal(longer[top : top + 20, -30:], overlay(frames[14:15], (maps[1, 14:15] + 1) / 2)[0]), (
        "stretched to the ranges given"
    )
    write_picture(tmp_path / "strip.png", picture)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "strip.png")), picture)
    assert [path.name for path in tmp_path.iterdir()] == ["strip.png"]


@pytest.mark.parametrize("size", [(40, 60), (41, 61)])
def test_a_film_can_be_read_again(tmp_path: Path, size: tuple[int, int]) -> None:
    ramp = np.linspace(20, 230, 7)[:, None, None, None]
    frames = np.broadcast_to(ramp, (7, *size, 3)).astype(np.uint8)
    write_film(tmp_path / "film.mp4", frames, frames_per_second=Fraction(25, 4))
    with av.open(str(tmp_path / "film.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.height, stream.width, stream.pix_fmt) == (40 + 2 * (size[0] % 2), 60 + 2 * (size[1] % 2), "yuv420p")
        assert stream.average_rate == Fraction(25, 4)
        read = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(read) == 7
    assert [float(frame.mean()) for frame in read] == pytest.approx(ramp.flatten().tolist(), abs=4)


def numbered_video(path: Path, frames: int) -> None:
    """Grey frames whose brightness is their number times ten."""
    write_film(path, np.stack([np.full((48, 64, 3), 10 * number, np.uint8) for number in range(frames)]), frames_per_second=Fraction(25))


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (20, [6, 8, 10, 12]),  # 7 frames are spanned, 13 are left, 6 of them before
        (4, [0, 2, 3, 3]),  # too short: the last frame again
    ],
)
def test_centre_clip_of_a_short_and_a_long_video(tmp_path: Path, count: int, expected: list[int]) -> None:
    numbered_video(tmp_path / "video.mp4", count)
    data = DataConfig(clip_frames=4, stride_frames=2, crop_size=32, short_side=(32, 40), eval_short_side=36)
    found = read_centre_clip(tmp_path / "video.mp4", data)
    assert found.frames.tolist() == expected
    assert found.clip.shape == (3, 4, 32, 32)
    assert found.clip.dtype == torch.uint8
    assert found.clip.float().mean((0, 2, 3)).tolist() == pytest.approx([10.0 * number for number in expected], abs=3)


def test_a_video_that_is_not_there_or_no_video_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="There is no video"):
        read_centre_clip(tmp_path / "none.mp4", DataConfig())
    (tmp_path / "text.mp4").write_text("not a video at all")
    with pytest.raises(RuntimeError, match=r"text.mp4 cannot be read: not a video"):
        read_centre_clip(tmp_path / "text.mp4", DataConfig())


def test_centre_clip_of_an_avi_with_b_frames_has_the_very_frames(shared_data: Path) -> None:
    path = next((shared_data / "ucf101/UCF-101/SumoWrestling").glob("v_SumoWrestling_g19*.avi"))
    with av.open(str(path)) as container:
        every = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    # The frames' own size and a crop as high as they are: nothing is resampled.
    data = DataConfig(crop_size=240, short_side=(240, 240), eval_short_side=240)
    found = read_centre_clip(path, data)
    start = (len(every) - 61) // 2
    assert found.frames.tolist() == list(range(start, start + 61, 4))
    for position, number in enumerate(found.frames):
        difference = found.clip[:, position].permute(1, 2, 0).numpy().astype(int) - every[number][:, 40:280]
        assert np.abs(difference).max() <= 2, number


def test_small_pictures_are_enlarged_by_whole_pixels() -> None:
    picture = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
    assert magnify(picture, (1, 2), least_pixels=4).tolist() == [
        [[0, 0, 1, 1, 2, 2], [0, 0, 1, 1, 2, 2], [3, 3, 4, 4, 5, 5], [3, 3, 4, 4, 5, 5]]
    ]
    np.testing.assert_array_equal(magnify(picture, (1, 2), least_pixels=1), picture)
