"""Maps and a segmenter beside drawn masks: one that finds what was drawn reaches 1, one that finds a part of it a third."""

import json
from pathlib import Path

import numpy as np
import pytest
from commands import write_own_videos
from toys import nano, toy_batch, toy_config

from benchmarks import exact_masks
from objabn.data.masks import VideoMasks
from objabn.training.loop import fit


@pytest.mark.parametrize(("rows", "expected"), [(slice(10, 30), 1.0), (slice(10, 20), 1 / 3)])
def test_own_maps_explainers_and_the_segmenter_stand_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, rows: slice, expected: float
) -> None:
    config = toy_config()
    fit(nano(config), [toy_batch(0)], config, run_folder=tmp_path / "run", loggers=[])
    write_own_videos(tmp_path)

    def find(frames_TYXC: np.ndarray) -> VideoMasks:
        mask_TYX = np.zeros(frames_TYXC.shape[:3], bool)
        mask_TYX[:, rows, 20:50] = True
        return VideoMasks(mask_TYX, np.ones(len(mask_TYX), np.uint16))

    monkeypatch.setattr(exact_masks, "ultralytics_segmenter", lambda name: (find, {"segmenter": name}))
    words = ["my videos", "my masks", "run", "--segmenter", "any", "--method", "gradcam", "--clips", "2", "--stride", "1"]
    monkeypatch.chdir(tmp_path)
    exact_masks.main([*words, "--json", "found.json"])
    found = {row["map"]: row for row in json.loads((tmp_path / "found.json").read_text())}
    assert list(found) == ["M_o", "gradcam", "the segmenter"]
    assert all(row["frames"] == 8 * 2 * 4 for row in found.values()), "videos, clips, frames"
    assert set(exact_masks.SHOWN) <= set(found["M_o"]) & set(found["gradcam"])
    # Of 32 rows those drawn are 6.7 to 20, which cover half or more of three cells' rows of 4; 6.7 to 13.3 cover one.
    assert found["the segmenter"]["mask_iou"] == pytest.approx(expected)
    assert "the segmenter" in capsys.readouterr().out
