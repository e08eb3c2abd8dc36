"""Folders of frames in place of videos: order, numbering, sizes, damage, and the same pack as from a video."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lists import touch
from PIL import Image
from videos import numbered_frames, packed

from objabn.data.decode import decode_video
from objabn.data.frame_folder import FrameFolder, numbered_pictures, open_source, read_picture
from objabn.data.pack import expected_bytes, pack, source_bytes
from objabn.data.pack_shard import PackSettings, encode_video
from objabn.data.sources import folder
from objabn.data.video import UnreadableVideoError


def write_frames(root: Path, frames: int, *, form: str = "{:05d}.jpg", first: int = 1, size: tuple[int, int] = (48, 64)) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(numbered_frames(frames, height=size[0], width=size[1]), start=first):
        Image.fromarray(picture).save(root / form.format(number), quality=95)
    return root


@pytest.mark.parametrize(("form", "first"), [("{:05d}.jpg", 1), ("img_{}.png", 0), ("v_7_{:02d}.JPEG", 95)])
def test_frames_come_in_the_order_of_their_numbers(tmp_path: Path, form: str, first: int) -> None:
    frames = numbered_frames(12)
    (tmp_path / "Thumbs.db").write_bytes(b"x")
    source = FrameFolder(write_frames(tmp_path, 12, form=form, first=first), 12.0)
    read = np.stack(list(source.rgb_frames()))
    assert np.abs(read.astype(int) - frames).mean(axis=(1, 2, 3)).max() < 3
    assert (source.decoded, source.fps) == (12, 12)


@pytest.mark.parametrize("store", ["frames", "video"])
def test_a_packed_folder_of_frames_holds_its_frames(tmp_path: Path, store: str) -> None:
    write_frames(tmp_path / "source" / "b" / "clip", 11, form="frame{}.png")
    dataset = packed(tmp_path / "source", tmp_path, store=store)
    read = np.concatenate(list(decode_video(dataset, 0)))
    assert np.abs(read.astype(int) - numbered_frames(11)).mean(axis=(1, 2, 3)).max() < 4
    assert (dataset.index.name(0), dataset.index.fps[0]) == ("b/clip", 25)


def test_the_short_side_and_the_rate_are_as_asked_for(tmp_path: Path) -> None:
    write_frames(tmp_path / "b" / "clip", 3, size=(60, 90))
    video = encode_video(tmp_path / "b" / "clip", PackSettings(short_side=40, folder_fps=29.97))
    assert (video.frames, video.height, video.width) == (3, 40, 60)
    assert video.fps == pytest.approx(29.97)
    with pytest.raises(ValueError, match="folder_fps=0 is not possible"):
        PackSettings(folder_fps=0)


def test_another_rate_is_another_packing(tmp_path: Path) -> None:
    write_frames(tmp_path / "source" / "b" / "clip", 3)
    packed(tmp_path / "source", tmp_path)
    with pytest.raises(ValueError, match=r"was packed with folder_fps=25\.0, now asked is folder_fps=12\.0"):
        pack(folder(tmp_path / "source"), tmp_path / "packed", PackSettings(folder_fps=12.0), workers=1)


def test_sizes_are_estimated(tmp_path: Path) -> None:
    listing = folder(write_frames(tmp_path / "b" / "clip", 10).parents[1])
    total = sum(path.stat().st_size for path in (tmp_path / "b" / "clip").iterdir())
    assert total / 2 < source_bytes(listing.entries[0]) < total * 2
    assert expected_bytes(listing, settings=PackSettings()) > 0


@given(numbers=st.sets(st.integers(0, 9999), min_size=1, max_size=20), data=st.data())
def test_equal_steps_are_read_and_gaps_are_refused(
    numbers: set[int], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("frames")
    written = data.draw(st.permutations(sorted(numbers)))
    touch(root, *(f"{number}.jpg" for number in written))
    steps = set(np.diff(sorted(numbers)).tolist())
    if len(steps) <= 1:
        assert [int(path.stem) for path in numbered_pictures(root)] == sorted(numbers)
    else:
        with pytest.raises(UnreadableVideoError, match="there is no picture between"):
            numbered_pictures(root)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["1.jpg", "2.jpg", "4.jpg"], "no picture between 2.jpg and 4.jpg"),
        (["1.jpg", "3.jpg", "4.jpg"], "no picture between 1.jpg and 3.jpg"),
        (["1.jpg", "01.jpg"], "01.jpg and 1.jpg have the same number"),
        (["img_1.jpg", "flow_x_1.jpg"], "different ways: flow_x_1.jpg, img_1.jpg"),
        (["1.jpg", "2.png"], "different ways: 1.jpg, 2.png"),
        (["1.jpg", "cover.jpg"], "cover.jpg has no number"),
        (["notes.txt"], "no JPEG or PNG pictures"),
    ],
)
def test_wrong_names_are_a_reason(tmp_path: Path, names: list[str], message: str) -> None:
    with pytest.raises(UnreadableVideoError, match=message):
        open_source(touch(tmp_path, *names), folder_fps=25)


def test_damaged_frames_are_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    write_frames(tmp_path / "source" / "b" / "good", 4)
    broken = write_frames(tmp_path / "source" / "b" / "broken", 4) / "00003.jpg"
    broken.write_bytes(broken.read_bytes()[:-300])
    Image.fromarray(np.zeros((48, 70, 3), np.uint8)).save(write_frames(tmp_path / "source" / "b" / "grows", 4) / "00003.jpg")
    report = pack(folder(tmp_path / "source"), tmp_path / "packed", workers=1)
    reasons = {failure["video"]: failure["reason"] for failure in report.failed}
    assert "00003.jpg cannot be read" in reasons["b/broken"]
    assert reasons["b/grows"] == "the size of its frames changes at frame 2"
    assert (report.videos, report.frames) == (1, 4)


def test_grey_and_turned_pictures_are_read_and_deep_ones_refused(tmp_path: Path) -> None:
    grey = Image.fromarray(np.arange(48 * 64, dtype=np.uint16).reshape(48, 64).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    grey.save(tmp_path / "1.png", exif=exif)
    assert read_picture(tmp_path / "1.png").shape == (64, 48, 3)
    Image.fromarray(np.zeros((48, 64), np.uint16)).save(tmp_path / "2.png")
    with pytest.raises(UnreadableVideoError, match="more than eight bits"):
        read_picture(tmp_path / "2.png")


def test_a_picture_too_large_for_memory_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(np.zeros((48, 64), np.uint8)).save(tmp_path / "1.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(UnreadableVideoError, match=r"1\.png cannot be read"):
        read_picture(tmp_path / "1.png")
