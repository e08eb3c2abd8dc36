"""Odd videos that are packed all the same, frame for frame: sizes, orientations, pixel formats, rates, streams."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from bad_input import assert_said
from numpy.typing import NDArray
from odd_videos import encode, every_second_chunk_empty, shown_from, turned, with_streams
from PIL import Image
from test_real_exactness import compare_video
from videos import numbered_frames, write_video

from objabn.data.pack_shard import EncodedVideo, PackSettings, encode_video

SIZES = [(16, 16), (31, 17), (321, 241), (48, 1000)]
CONTAINERS = {"avi": "mpeg4", "mp4": "libx264", "webm": "libvpx-vp9"}
TURNS = [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0), (-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0), (0, -1, -1, 0)]
"""Display matrices (a, b, c, d): no turn, three quarter turns, and each of them mirrored."""


def pack(path: Path) -> tuple[EncodedVideo, NDArray[np.uint8]]:
    """Return a packed video and its frames (T, Y, X, 3)."""
    video = encode_video(path, PackSettings(quality=98))
    return video, np.stack([np.asarray(Image.open(io.BytesIO(chunk))) for chunk in video.chunks])


@pytest.mark.parametrize("suffix", CONTAINERS)
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_every_size_from_16_pixels_is_kept(width: int, height: int, suffix: str, tmp_path: Path) -> None:
    # H.264 has odd sizes only with full colour.
    pixels = "yuv444p" if suffix == "mp4" and (width % 2 or height % 2) else "yuv420p"
    pictures = numbered_frames(3, width=width, height=height)
    _, frames = pack(encode(tmp_path / f"v.{suffix}", pictures, CONTAINERS[suffix], pixels=pixels))
    assert frames.shape == (3, height, width, 3)
    compare_video(frames[:, : height // 2 * 2, : width // 2 * 2], pictures[:, : height // 2 * 2, : width // 2 * 2], "v", limit=10.0)
    even = encode_video(tmp_path / f"v.{suffix}", PackSettings(store="video"))
    assert (even.height, even.width) == (height // 2 * 2, width // 2 * 2)


def test_full_high_definition_is_reduced(tmp_path: Path) -> None:
    video, _ = pack(encode(tmp_path / "v.mp4", numbered_frames(2, width=1920, height=1080), "libx264"))
    # 1920 * 320 / 1080 = 568.9
    assert (video.frames, video.height, video.width) == (2, 320, 569)


@pytest.mark.parametrize("store", ["frames", "video"])
@pytest.mark.parametrize("matrix", TURNS)
def test_films_are_upright_however_they_were_held(matrix: tuple[int, int, int, int], store: str, tmp_path: Path) -> None:
    pictures = numbered_frames(2)
    pictures[:, :16, :24] = (250, 20, 20)
    path = turned(encode(tmp_path / "v.mp4", pictures, "libx264"), *matrix)
    a, b, c, d = matrix
    y, x = np.mgrid[:48, :64]
    shown_y, shown_x = b * x + d * y, a * x + c * y
    shown_y, shown_x = shown_y - shown_y.min(), shown_x - shown_x.min()
    expected = np.zeros((2, shown_y.max() + 1, shown_x.max() + 1, 3), np.uint8)
    expected[:, shown_y, shown_x] = pictures
    if store == "frames":
        compare_video(pack(path)[1], expected, "v.mp4", limit=12.0)
    video = encode_video(path, PackSettings(store="video"))
    assert (video.height, video.width) == expected.shape[1:3]


KINDS: dict[str, Callable[[Path], Path]] = {
    "10 bits per colour": lambda folder: encode(folder / "v.mp4", numbered_frames(20), "libx264", pixels="yuv420p10le"),
    "4:2:2 colour": lambda folder: encode(folder / "v.mp4", numbered_frames(20), "libx264", pixels="yuv422p"),
    "grey": lambda folder: encode(folder / "v.mp4", numbered_frames(20), "libx264", pixels="gray"),
    "a transparency channel": lambda folder: encode(folder / "v.mkv", numbered_frames(20), "ffv1", pixels="bgra"),
    "interlaced": lambda folder: encode(folder / "v.mp4", numbered_frames(20), "libx264", **{"x264-params": "interlaced=1"}),
    "one group of pictures": lambda folder: encode(folder / "v.mp4", numbered_frames(20), "libx264", g="10000", sc_threshold="0"),
    "no time stamps": lambda folder: encode(folder / "v.mpg", numbered_frames(20), "libx264", container="h264"),
    "two video streams": lambda folder: with_streams(folder / "v.mkv", sizes=[(64, 48), (32, 24)]),
    "a cover picture beside the film": lambda folder: with_streams(folder / "v.mp4", sizes=[(64, 48)], cover=True, sound=True),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_video_of_an_odd_kind_is_packed_frame_for_frame(kind: str, tmp_path: Path) -> None:
    video, frames = pack(KINDS[kind](tmp_path))
    assert_said(kind, f"{video.frames} frames, {video.fps:g} a second")
    expected = numbered_frames(20)
    if kind == "grey":
        expected = np.repeat(expected @ np.array([0.299, 0.587, 0.114]), 3).reshape(expected.shape).astype(np.uint8)
    compare_video(frames, expected, kind, limit=10.0)


def test_a_video_of_one_frame_is_packed(tmp_path: Path) -> None:
    for suffix, codec in CONTAINERS.items():
        video, _ = pack(encode(tmp_path / f"v.{suffix}", numbered_frames(1), codec))
        assert_said("one frame", f"{video.frames} frames, {video.fps:g} a second")


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm"])
def test_frames_at_a_variable_rate_are_kept_as_they_are(suffix: str, tmp_path: Path) -> None:
    times = np.cumsum([0] + [40] * 9 + [400] * 10).tolist()
    codec = "libvpx-vp9" if suffix == "webm" else "libx264"
    video, frames = pack(encode(tmp_path / f"v.{suffix}", numbered_frames(20), codec, milliseconds=times))
    compare_video(frames, numbered_frames(20), suffix, limit=10.0)
    # 19 steps in 9 * 0.04 + 10 * 0.4 = 4.36 s; an MP4 tells how long the last frame is shown, too.
    assert video.fps == pytest.approx(19 / 4.36, rel=0.05)
    assert_said("a variable rate", f"{video.frames} frames, {video.fps:g} a second")


def test_what_an_edit_list_hides_is_not_missed(tmp_path: Path) -> None:
    path = encode(tmp_path / "v.mp4", numbered_frames(100), "libx264", g="1")
    video, frames = pack(shown_from(path, second=2, seconds=1.2))
    assert_said("an edit list that hides frames", f"{video.frames} frames, {video.fps:g} a second")
    compare_video(frames, numbered_frames(100)[50:80], "v.mp4", limit=10.0)


def test_empty_chunks_of_an_avi_are_not_missed(tmp_path: Path) -> None:
    video, _ = pack(every_second_chunk_empty(write_video(tmp_path / "v.avi", numbered_frames(60))))
    assert_said("empty chunks of an AVI", f"{video.frames} frames, {video.fps:g} a second")
