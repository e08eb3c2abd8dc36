"""`objabn prepare` on the screen: what is absent, what is needed, what failed, what was done before."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner
from videos import class_folders

from cli.main import app


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
