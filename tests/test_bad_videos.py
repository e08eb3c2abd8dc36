"""Every way in which a single file can be no video that can be packed: it is named with the reason that docs/bad_input.md promises."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from bad_input import assert_said
from odd_videos import announcing, cut, encode, overwritten, with_streams
from videos import numbered_frames, write_video

from objabn.data.pack_shard import PackSettings, encode_video
from objabn.data.video import UnreadableVideoError


def absent(folder: Path) -> Path:
    return folder / "absent.avi"


def link_to_nothing(folder: Path) -> Path:
    (folder / "link.avi").symlink_to("nothing")
    return folder / "link.avi"


def ring_of_links(folder: Path) -> Path:
    (folder / "link.avi").symlink_to("link.avi")
    return folder / "link.avi"


def folder_named_like_a_video(folder: Path) -> Path:
    (folder / "folder.avi").mkdir()
    return folder / "folder.avi"


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe.avi")
    return folder / "pipe.avi"


def name_too_long(folder: Path) -> Path:
    return folder / f"{'x' * 300}.avi"


def text(folder: Path) -> Path:
    (folder / "text.avi").write_text("not a film\n" * 100)
    return folder / "text.avi"


def empty(folder: Path) -> Path:
    (folder / "empty.avi").touch()
    return folder / "empty.avi"


def playlist(folder: Path) -> Path:
    write_video(folder / "film.avi", numbered_frames(20))
    (folder / "list.avi").write_text("ffconcat version 1.0\nfile film.avi\n")
    return folder / "list.avi"


def avi(folder: Path) -> Path:
    return write_video(folder / "film.avi", numbered_frames(60))


def mp4(folder: Path) -> Path:
    return encode(folder / "film.mp4", numbered_frames(60), "libx264")


def webm(folder: Path) -> Path:
    return encode(folder / "film.webm", numbered_frames(60), "libvpx-vp9")


def change_of_size(folder: Path) -> Path:
    parts = [encode(folder / f"{size}.mpg", numbered_frames(20, height=size), "mpeg2video", container="mpeg2video") for size in (48, 64)]
    (folder / "film.mpg").write_bytes(b"".join(part.read_bytes() for part in parts))
    return folder / "film.mpg"


def unknown_codec(folder: Path) -> Path:
    film = avi(folder)
    film.write_bytes(film.read_bytes().replace(b"FMP4", b"zzzz"))
    return film


def small(folder: Path) -> Path:
    return write_video(folder / "film.avi", numbered_frames(3, height=14, width=40))


def large(folder: Path) -> Path:
    film = encode(folder / "film.avi", numbered_frames(3), "mjpeg", pixels="yuvj420p")
    return announcing(film, width=16000, height=16000)


def enormous(folder: Path) -> Path:
    film = encode(folder / "film.avi", numbered_frames(3), "mjpeg", pixels="yuvj420p")
    return announcing(film, width=65535, height=65535)


CASES: dict[str, Callable[[Path], Path]] = {
    "a video that is not there": absent,
    "a link to a file that is not there": link_to_nothing,
    "links in a ring": ring_of_links,
    "a name longer than names can be": name_too_long,
    "a pipe (FIFO) or a device": pipe,
    "an empty folder named like a video": folder_named_like_a_video,
    "a file of no bytes": empty,
    "a text file": text,
    "a playlist that opens other files": playlist,
    "a film cut off (AVI)": lambda folder: cut(avi(folder), 0.6),
    "a film cut off (MP4, index at the end)": lambda folder: cut(mp4(folder), 0.6),
    "a film cut off (WebM)": lambda folder: cut(webm(folder), 0.6),
    "damage in mid-stream": lambda folder: overwritten(mp4(folder), 0.5, 0.55),
    "sound only": lambda folder: with_streams(folder / "film.mp4", sound=True),
    "a sound file with a cover picture": lambda folder: with_streams(folder / "film.mp4", sound=True, cover=True),
    "a codec that nobody knows": unknown_codec,
    "frames whose size changes": change_of_size,
    "frames below 16 pixels": small,
    "frames of 16000 x 16000 pixels": large,
    "a header that announces 65535 x 65535 pixels": enormous,
    "a header that announces 10⁹ frames": lambda folder: announcing(avi(folder), frames=10**9),
}


@pytest.mark.parametrize("case", CASES)
def test_a_file_that_cannot_be_packed_says_why(case: str, tmp_path: Path) -> None:
    path = CASES[case](tmp_path)
    with pytest.raises(UnreadableVideoError) as error:
        encode_video(path, PackSettings())
    assert_said(case, str(error.value))


def test_a_folder_of_frames_with_a_damaged_picture_names_it(tmp_path: Path) -> None:
    case = "a folder of frames with a damaged picture"
    encode(tmp_path / "v" / "%d.png", numbered_frames(3), "png", pixels="rgb24", container="image2")
    cut(tmp_path / "v" / "2.png", 0.5)
    with pytest.raises(UnreadableVideoError) as error:
        encode_video(tmp_path / "v", PackSettings())
    assert_said(case, str(error.value))


def test_nothing_large_is_allocated_for_what_a_header_announces(tmp_path: Path) -> None:
    """A process that may take 100 MB more refuses them for the same reasons; a frame of 16000 x 16000 pixels alone is 384 MB."""
    cases = ("frames of 16000 x 16000 pixels", "a header that announces 65535 x 65535 pixels", "a header that announces 10⁹ frames")
    paths = [CASES[case](tmp_path).rename(tmp_path / f"{number}.avi") for number, case in enumerate(cases)]
    code = """if True:
        import resource, sys
        from pathlib import Path
        from objabn.data.pack_shard import PackSettings, encode_video
        from objabn.data.video import UnreadableVideoError
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + 100_000_000,) * 2)
        for path in sys.argv[1:]:
            try:
                encode_video(Path(path), PackSettings())
            except UnreadableVideoError as error:
                print(error)
    """
    said = subprocess.run([sys.executable, "-c", code, *paths], check=True, capture_output=True, text=True).stdout.splitlines()
    for case, line in zip(cases, said, strict=True):
        assert_said(case, line)
