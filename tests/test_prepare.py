"""`objabn prepare` on the screen: what is absent, what is needed, what failed, what was done before."""

import shutil
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner
from videos import class_folders, numbered_frames, write_video

from cli.main import app
from cli.places import find_dataset
from objabn.data.dataset import open_dataset


def run(*words: str | Path) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_every_failed_video_is_shown_with_its_reason(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "source")
    for number in range(15):
        (root / "A" / f"empty {number}.avi").write_bytes(b"")
    said = run("prepare", root, "--out", tmp_path / "packed", "--workers", "1")
    assert said.count("the file is empty") == 15
    assert "it was finished already" not in said
    again = run("prepare", root, "--out", tmp_path / "packed")
    assert again.count("the file is empty") == 15
    assert "it was finished already" in again
    assert f"delete {tmp_path / 'packed'}" in again


def test_absent_videos_are_counted_before_the_start(tmp_path: Path) -> None:
    videos = class_folders(tmp_path / "UCF-101", frames=(9,) * 4)
    lists = tmp_path / "lists"
    lists.mkdir()
    names = [f"{name}/v{number}.avi" for number in range(10) for name in ("bA"[number % 2],)]
    (lists / "trainlist01.txt").write_text("\n".join(names))
    said = run("prepare", "ucf101", "--videos", videos, "--annotations", lists, "--out", tmp_path / "packed", "--workers", "1")
    assert "6 of the 10 listed videos are not there and will be listed as failed" in said
    assert said.index("6 of the 10") < said.index("holds 4 videos")
    assert said.count("the file is absent") == 6


def test_the_free_space_is_that_of_the_folder_and_finished_shards_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, out = class_folders(tmp_path / "source", frames=(20,) * 8), tmp_path / "packed"
    run("prepare", root, "--out", out, "--workers", "1")
    (out / "manifest.json").unlink()
    (out / "shard-00001.safetensors").rename(tmp_path / "shard")
    written = (out / "shard-00000.safetensors").stat().st_size
    asked: list[Path] = []

    def usage(path: Path) -> shutil._ntuple_diskusage:
        asked.append(path)
        return shutil._ntuple_diskusage(0, 0, written * 3 // 2)

    monkeypatch.setattr("shutil.disk_usage", usage)
    # Two shards alike: half of the packing is there, and half of it has room.
    run("prepare", root, "--out", out, "--workers", "1")
    assert asked == [out]
    shutil.rmtree(out)
    with pytest.raises(RuntimeError, match="are needed; choose another --out"):
        run("prepare", root, "--out", out)
    assert asked == [out, tmp_path]


def test_names_find_their_lists_beside_the_videos(tmp_path: Path) -> None:
    write_video(tmp_path / "videos" / "wave" / "film_wave_f_cm_np1_ba_med_0.avi", numbered_frames(9))
    (tmp_path / "testTrainMulti_7030_splits").mkdir()
    lines = [f"film_wave_f_cm_np1_ba_med_{number}.avi 1 " for number in range(30)]
    (tmp_path / "testTrainMulti_7030_splits" / "wave_test_split1.txt").write_text("\n".join(lines))
    said = run("prepare", "hmdb51", "--videos", tmp_path / "videos", "--out", tmp_path / "packed", "--workers", "1")
    assert "1 of the 51 classes" in said
    assert said.count("the file is absent") == 20
    assert f"and 9 more that are absent; {tmp_path / 'packed' / 'manifest.json'} names all" in said
    dataset = open_dataset(tmp_path / "packed")
    assert (dataset.name, dataset.classes, len(dataset), len(dataset.manifest["failed"])) == ("hmdb51", ("wave",), 1, 29)


def test_a_list_of_videos_and_folders_of_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    class_folders(tmp_path / "videos")
    frames = tmp_path / "videos" / "frames of v1"
    frames.mkdir()
    for number, picture in enumerate(numbered_frames(20, seed=1)):
        Image.fromarray(picture).save(frames / f"{number + 1:05d}.png")
    (tmp_path / "own.csv").write_text("path,label,subset,group\nb/v0.avi,b,train,0\nframes of v1,A,train,1\nA/v3.avi,A,test,3\n")
    said = run("prepare", "own.csv", "--videos", "videos", "--workers", "1", "--fps", "12")
    assert "1 are folders of frames, taken as 12 frames a second (--fps)" in said
    run("prepare", "mine", "--annotations", "own.csv", "--videos", "videos", "--workers", "1", "--data", "elsewhere")
    for packed, name in (("data/own", "own"), ("elsewhere/mine", "mine")):
        dataset = open_dataset(packed)
        assert (dataset.name, dataset.classes, dataset.index.frames.tolist()) == (name, ("A", "b"), [9, 20, 17])
        assert dataset.index.rows("test").tolist() == [2]
    assert open_dataset("data/own").index.fps.tolist() == [25, 12, 25]
    assert find_dataset("own.csv", Path("data")) == find_dataset("own", Path("data")) == Path("data/own")
    assert find_dataset("none.csv", Path("data")) is None


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["nowhere"], FileNotFoundError, "There is no folder 'nowhere', .* ucf101, hmdb51, ssv2, kinetics400"),
        (["ssv2"], ValueError, "prepare ssv2 needs --videos"),
        (["ssv2", "--videos", "nowhere"], FileNotFoundError, "nowhere is not a folder; give the folder of the videos of ssv2"),
        (
            ["ssv2", "--videos", "."],
            FileNotFoundError,
            r"The lists of ssv2 are not inside or beside \.; give --annotations, .* labels\.json",
        ),
        (["kinetics400", "--videos", ".", "--annotations", "a.csv"], FileNotFoundError, "a.csv is no list of Kinetics"),
        (["own.csv", "--annotations", "other.csv"], ValueError, "own.csv is a list itself"),
        (["a/b", "--videos", "."], ValueError, "must be a plain name"),
        ([".", "--annotations", "lists"], ValueError, r"objabn prepare NAME --videos \. --annotations lists"),
        (["UCF-101", "--videos", "."], ValueError, "UCF-101 is not the name of official lists; write ucf101, or another name"),
    ],
)
def test_what_is_missing_is_named(
    words: list[str], error: type[Exception], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    with pytest.raises(error, match=message):
        run("prepare", *words)
