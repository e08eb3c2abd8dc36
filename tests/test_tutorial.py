"""The page for newcomers, followed: each of its commands, as it stands there, on the real clips it was written with."""

import shlex
from pathlib import Path

import pytest
from commands import run

PAGE = Path(__file__).parents[1] / "docs" / "tutorial.md"


def commands() -> list[list[str]]:
    """Return the commands of the page, without the name of the program."""
    return [shlex.split(line)[1:] for line in PAGE.read_text().splitlines() if line.startswith("objabn ")]


def test_the_page_goes_the_whole_way() -> None:
    assert [words[0] for words in commands()] == ["doctor", "prepare", "masks", "train", "explain", "evaluate", "export"]


@pytest.mark.slow
def test_the_page_can_be_followed(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_videos").symlink_to(shared_data / "ucf101" / "h264")
    weights = shared_data / "weights"
    # What the page downloads is at hand, and one epoch is enough to see whether the next command finds what it needs.
    more = {
        "masks": ["--segmenter", str(weights / "yolov8n-seg_from_int8.pt")],
        "train": ["--weights", str(weights / "x3d_m_k400_from_xs_int8.pth"), "--epochs", "1", "--loader", "reader"],
    }
    said = {words[0]: run(*words, *more.get(words[0], [])) for words in commands()}
    assert "holds 25 videos, 4549 frames" in said["prepare"]
    assert "4549 masks" in said["masks"]
    assert "val, 6 videos" in said["train"]
    assert (tmp_path / "runs/my_videos-x3d_m-object_abn3/explanations/v_HandStandPushups_g03_c02.png").is_file()
    assert "3 a video" in said["evaluate"]
    assert "model.onnx" in said["export"]
