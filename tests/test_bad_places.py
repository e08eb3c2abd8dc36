"""Folders, lists and names that are not as they should be: one sentence, and everything that can be packed is."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from bad_input import Told, assert_said, assert_told, objabn
from videos import class_folders, numbered_frames, write_video

from cli.errors import printable, sentence
from objabn.data.dataset import open_dataset
from objabn.data.pack import pack
from objabn.data.pack_shard import PackSettings, encode_video
from objabn.data.sources import folder
from objabn.data.video import UnreadableVideoError
from objabn.files import claimed

ODD_NAMES = [
    *(b"with space", b"number #", b"this & that", b'"it\'s"', b"-dash", b"%d", b"http:", b"a\\b", b"*?", b"[red]", b"$HOME"),
    *("emoji 😀".encode(), "日本".encode(), b"new\nline", b"\x1b[31mcolour", b"caf\xe9 \xff", b"x" * 251),
]


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> object:
    """The command line, run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: objabn(monkeypatch, capsys, *words)


def write_lists(names: list[str]) -> Path:
    Path("lists").mkdir()
    Path("lists/trainlist01.txt").write_text("\n".join(names))
    return Path("lists")


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("a folder of videos that is not there", ["prepare", "nowhere"]),
        ("a folder without videos", ["prepare", "empty"]),
        ("a known dataset without its videos", ["prepare", "ucf101"]),
        ("a known dataset whose folder of videos is not there", ["prepare", "ucf101", "--videos", "nowhere"]),
        ("lists that are not there", ["prepare", "ucf101", "--videos", "empty", "--annotations", "nowhere"]),
        ("a packed dataset that is not there", ["train", "nowhere"]),
        ("a run that is not there", ["evaluate", "nowhere"]),
    ],
)
def test_what_is_not_there_is_named(case: str, words: list[str], told: "type[Told]") -> None:
    Path("empty").mkdir()
    assert_told(case, told(*words))


def test_a_list_may_name_videos_that_are_not_there(told: "type[Told]") -> None:
    class_folders(Path("UCF-101"), frames=(5,) * 2)
    lists = write_lists(["b/v0.avi", "A/v1.avi", "b/v2.avi"])
    words = ["prepare", "ucf101", "--videos", "UCF-101", "--annotations", lists, "--out", "packed"]
    assert_told("a list that names some absent videos", told(*words))
    assert len(open_dataset("packed")) == 2
    for path in Path("UCF-101").glob("*/*"):
        path.unlink()
    assert_told("a list that names only absent videos", told(*words[:-1], "other"))


def test_nothing_that_can_be_packed_is_a_failure(told: "type[Told]") -> None:
    Path("source/a").mkdir(parents=True)
    Path("source/a/v.avi").touch()
    assert_told("no video that can be packed", told("prepare", "source", "--out", "packed"))


def test_a_folder_that_cannot_be_written_is_named(told: "type[Told]") -> None:
    class_folders(Path("source"), frames=(5,))
    Path("file").touch()
    assert_told("an --out that is a file", told("prepare", "source", "--out", "file"))
    told("prepare", "source", "--out", "packed")
    assert_told("an --out that holds another packing", told("prepare", "source", "--out", "packed", "--quality", "80"))


@contextmanager
def forbidden(name: str, mode: int) -> Iterator[Path]:
    """A folder with one video, in which `name` has these permissions; used without the rights of root."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        write_video(Path(place) / "source" / "a" / "v.avi", numbered_frames(5))
        (Path(place) / name).chmod(mode)
        user = os.geteuid()
        os.seteuid(user or 65534)
        try:
            yield Path(place)
        finally:
            os.seteuid(user)
            (Path(place) / name).chmod(0o755)


def test_a_video_without_permission_is_listed() -> None:
    with forbidden("source/a/v.avi", 0) as place, pytest.raises(UnreadableVideoError) as error:
        encode_video(place / "source/a/v.avi", PackSettings())
    assert_said("a file without permission to read it", str(error.value))


def test_a_folder_that_is_read_only_is_named() -> None:
    with forbidden("", 0o555) as place, pytest.raises(PermissionError) as error:
        pack(folder(place / "source"), place / "packed")
    assert_said("an --out that may not be written", sentence(error.value))
    assert str(place / "packed") in sentence(error.value)


def test_the_sentence_names_the_folder_and_not_the_hidden_file() -> None:
    said = sentence(PermissionError(13, "Permission denied", "packed/.shard-00000.safetensors.123"))
    assert said.startswith("packed may not be read or written here (Permission denied)")


def test_two_at_once_do_not_write_to_one_folder(tmp_path: Path) -> None:
    class_folders(tmp_path / "source", frames=(5,))
    with claimed(tmp_path / "packed"), pytest.raises(RuntimeError) as error:
        pack(folder(tmp_path / "source"), tmp_path / "packed")
    assert_said("two commands that write to one folder at once", str(error.value))
    assert pack(folder(tmp_path / "source"), tmp_path / "packed").videos == 1
    assert not (tmp_path / "packed" / ".claim").exists()


def claim_and_hold(folder: Path, start: Barrier, end: Barrier) -> None:
    """Try to claim a folder at the same moment as others, and hold it until all have tried."""
    start.wait()
    try:
        with claimed(folder):
            (folder / f"{os.getpid()} won").touch()
            end.wait()
    except RuntimeError:
        end.wait()


def test_of_many_at_the_same_moment_one_wins(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start, end = context.Barrier(3), context.Barrier(3)
    processes = [context.Process(target=claim_and_hold, args=(tmp_path / "run", start, end)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 3
    assert len(list((tmp_path / "run").glob("* won"))) == 1


@pytest.mark.slow
def test_of_two_commands_started_together_one_goes_on(tmp_path: Path) -> None:
    class_folders(tmp_path / "source", frames=(300,) * 24)
    program = "import sys; sys.argv[0] = 'objabn'; from cli.main import run; run()"
    words = [sys.executable, "-c", program, "prepare", str(tmp_path / "source"), "--out", str(tmp_path / "packed")]
    commands = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    ends = {command.wait(): said for command, said in ((command, "".join(command.communicate())) for command in commands)}
    assert sorted(ends) == [0, 1]
    assert_said("two commands that write to one folder at once", ends[1])
    assert len(open_dataset(tmp_path / "packed")) == 24


def test_a_claim_that_was_left_by_a_killed_process_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / ".claim").touch()
    with claimed(tmp_path):
        pass


def test_names_are_kept_byte_for_byte_and_shown_safely(told: "type[Told]") -> None:
    film = write_video(Path("film.avi"), numbered_frames(5)).read_bytes()
    place = Path("source/[b]class[x]")
    place.mkdir(parents=True)
    for name in ODD_NAMES:
        with open(os.fsencode(place) + b"/" + name + b".avi", "wb") as file:  # noqa: PTH123  (a Path holds no such bytes)
            file.write(film)
    with open(os.fsencode(place) + b"/bad\n\x1b[31m \xff.avi", "wb"):  # noqa: PTH123
        pass
    found = told("prepare", "source", "--out", "packed \udcff")
    assert_said("a name that a terminal would obey", found.text)
    assert (found.exit_code, "\x1b" in found.text) == (0, False)
    dataset = open_dataset("packed \udcff")
    packed = {os.fsencode(dataset.index.name(row)) for row in range(len(dataset))}
    assert packed == {b"[b]class[x]/" + name + b".avi" for name in ODD_NAMES}


def test_what_is_printable_stays_as_it_is() -> None:
    assert printable("日本 😀 naïve") == "日本 😀 naïve"
    assert printable("a\nb\x1b[31m\udcff") == r"a\nb\x1b[31m\udcff"
