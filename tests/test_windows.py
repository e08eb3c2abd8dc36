"""Windows of videos and streams: which frames they hold, when these are shown, and how few are kept meanwhile."""

import weakref
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from odd_videos import encode, turned
from PIL import Image
from videos import numbered_frames, write_video

from objabn.config import DataConfig
from objabn.explainers.streams import Counted, Moment, measure, moments_of
from objabn.explainers.windows import gather, read_windows, slide

DATA = DataConfig(clip_frames=4, stride_frames=2, crop_size=32, short_side=(32, 40), eval_short_side=36)
ANY_RATE = Fraction(25)


class Stream:
    """Frames whose every pixel is their number, ten a second, that knows how many of them are still kept."""

    def __init__(self, frames: int) -> None:
        self.frames = frames
        self.made: list[weakref.ref[np.ndarray]] = []

    def __iter__(self) -> Iterator[Moment]:
        for number in range(self.frames):
            yield Moment(number / 10, lambda number=number: self.picture(number), (number + 1) / self.frames)

    def picture(self, number: int) -> np.ndarray:
        made = np.full((40, 50, 3), number, np.uint8)
        self.made.append(weakref.ref(made))
        return made

    @property
    def kept(self) -> int:
        return sum(picture() is not None for picture in self.made)


def test_windows_follow_each_other_and_the_last_ends_with_the_video() -> None:
    windows = list(slide(Stream(30), DATA, ANY_RATE))
    assert [window.frames.tolist() for window in windows] == [[0, 2, 4, 6], [8, 10, 12, 14], [16, 18, 20, 22], [22, 24, 26, 28]]
    assert [window.pictures[:, 0, 0, 0].tolist() for window in windows] == [window.frames.tolist() for window in windows]
    assert windows[1].seconds.tolist() == [0.8, 1.0, 1.2, 1.4]
    assert [window.share for window in windows] == [7 / 30, 0.5, 23 / 30, 1.0]
    clips = windows[2].clips(32)
    assert clips.shape == (1, 3, 4, 32, 32)
    assert clips[0, 1, :, 5, 5].tolist() == [16, 18, 20, 22]


@pytest.mark.parametrize(("short_videos", "expected"), [("repeat", [0, 2, 4, 4]), ("loop", [0, 2, 4, 1])])
def test_a_video_shorter_than_a_clip_is_one_window(short_videos: str, expected: list[int]) -> None:
    (window,) = slide(Stream(5), replace(DATA, short_videos=short_videos), ANY_RATE)
    assert window.frames.tolist() == window.pictures[:, 0, 0, 0].tolist() == expected


def test_a_stream_of_nothing_has_no_window() -> None:
    assert list(slide(Stream(0), DATA, ANY_RATE)) == []


@given(frames=st.integers(1, 120), length=st.integers(1, 6), stride=st.integers(1, 7), rate=st.sampled_from([0.0, 10.0, 18.0, 40.0]))
def test_every_frame_on_the_grid_is_in_a_window_and_few_are_kept(frames: int, length: int, stride: int, rate: float) -> None:
    data = replace(DATA, clip_frames=length, stride_frames=stride, frames_per_second=rate)
    stream, seen, last_start = Stream(frames), set(), -1
    for window in slide(stream, data, Fraction(25)):
        assert window.frames[0] > last_start
        last_start = int(window.frames[0])
        seen |= set(window.frames.tolist())
        span = int(window.frames.max() - window.frames.min())
        assert window.pictures[:, 0, 0, 0].tolist() == window.frames.tolist()
        assert stream.kept <= span + stride + 2
    if not rate:
        assert seen >= set(range(0, frames, stride)), "no frame of the stride is left out"
    assert max(seen) < frames


@given(frames=st.integers(1, 60), windows=st.integers(1, 5), length=st.integers(1, 5), seed=st.integers(0, 99))
def test_known_windows_hold_their_frames(frames: int, windows: int, length: int, seed: int) -> None:
    numbers = np.sort(np.random.default_rng(seed).integers(0, frames, (windows, length)), axis=None).reshape(windows, length)
    found = list(gather(Stream(frames), numbers, np.array([[0, 0, 40, 40]], np.float32)))
    assert [window.pictures[:, 3, 3, 0].tolist() for window in found] == numbers.tolist()


def test_several_clips_and_crops_are_those_of_evaluation(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.avi", numbered_frames(20))
    windows = list(read_windows(path, DATA, clips=3, crops=2))
    assert [window.frames.tolist() for window in windows] == [[0, 2, 4, 6], [6, 8, 10, 12], [13, 15, 17, 19]]
    # Frames of 48 x 64 become 36 x 48, and crops of 32 lie at both ends of the longer side, 2 below the top.
    np.testing.assert_allclose(windows[0].rois, [[2.667, 0.0, 45.333, 42.667], [2.667, 21.333, 45.333, 64.0]], atol=1e-3)
    assert windows[0].clips(32).shape == (2, 3, 4, 32, 32)


def test_windows_of_a_set_rate_are_as_long_as_it_says(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.avi", numbered_frames(40))
    found = list(read_windows(path, replace(DATA, frames_per_second=12.5), clips="all"))
    assert [window.frames.tolist() for window in found] == [[0, 4, 8, 12], [16, 20, 24, 28], [27, 31, 35, 39]]


def test_windows_need_clips_of_neighbouring_frames(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.avi", numbered_frames(20))
    with pytest.raises(ValueError, match="every clip sees the whole video; give a number of clips instead of all"):
        list(read_windows(path, replace(DATA, sampling="segments"), clips="all"))


def test_frames_are_shown_when_the_file_says(tmp_path: Path) -> None:
    times = [0, 40, 80, 500, 540, 900, 1000, 2000, 2040]
    path = encode(tmp_path / "v.mkv", numbered_frames(9), "libx264", milliseconds=times)
    assert [moment.seconds for moment in moments_of(path)] == pytest.approx([time / 1000 for time in times])
    (first, second) = read_windows(path, DATA, clips="all")
    assert first.seconds.tolist() == pytest.approx([0, 0.08, 0.54, 1.0])
    assert second.seconds.tolist() == pytest.approx([0.08, 0.54, 1.0, 2.04])


def test_a_telephones_film_stands_upright(tmp_path: Path) -> None:
    pictures = np.zeros((8, 48, 64, 3), np.uint8)
    pictures[:, :, 32:] = 200
    path = turned(encode(tmp_path / "v.mp4", pictures, "libx264"), 0, 1, -1, 0)
    (window,) = read_windows(path, DATA, clips="all")
    assert window.pictures.shape == (4, 64, 48, 3)
    assert window.pictures[0, 60].min() > 150, "what was at the right is below"
    assert window.pictures[0, 4].max() < 50
    assert measure(path) == (8, 64, 48, Fraction(25))


def test_pictures_of_a_folder_are_a_video(tmp_path: Path) -> None:
    for number in range(9):
        Image.fromarray(np.full((40, 50, 3), 20 * number, np.uint8)).save(tmp_path / f"{number}.png")
    found = list(read_windows(tmp_path, DATA, clips="all"))
    assert [window.pictures[:, 0, 0, 0].tolist() for window in found] == [[0, 40, 80, 120], [40, 80, 120, 160]]
    assert found[0].seconds.tolist() == pytest.approx([0, 0.08, 0.16, 0.24])
    assert measure(tmp_path) == (9, 40, 50, Fraction(25))


def test_what_has_passed_is_counted() -> None:
    counted = Counted(iter(Stream(11)))
    assert len(list(counted)) == counted.frames == 11
    assert counted.seconds == pytest.approx(1.1)
