"""The default segmenter against the exact masks of a real clip."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from objabn.data.yolo import ultralytics_segmenter


def test_masks_lie_on_the_objects(shared_data: Path) -> None:
    pytest.importorskip("ultralytics")
    clip = shared_data / "davis" / "car-shadow"
    # Every eighth frame, at half size.
    pictures = [Image.open(path).convert("RGB").resize((427, 240)) for path in sorted((clip / "frames").iterdir())[::8]]
    truth = np.stack([np.asarray(Image.open(path).resize((427, 240), 0)) > 0 for path in sorted((clip / "masks").iterdir())[::8]])
    run, description = ultralytics_segmenter(str(shared_data / "weights" / "yolov8n-seg_from_int8.pt"), device="cpu")
    found = run(np.stack([np.asarray(picture) for picture in pictures]))
    assert found.mask.shape == truth.shape
    assert found.counts.min() >= 1

    def overlap(shift: int) -> float:
        moved = np.roll(found.mask, shift, 2)
        return float(((moved & truth).sum((1, 2)) / (moved | truth).sum((1, 2))).mean())

    assert overlap(0) > 0.85
    assert overlap(0) > max(overlap(-3), overlap(3))
    assert description["confidence"] == 0.5
    assert len(description["weights_sha256"]) == 64


def test_an_empty_picture_has_no_objects(shared_data: Path) -> None:
    pytest.importorskip("ultralytics")
    run, _ = ultralytics_segmenter(str(shared_data / "weights" / "yolov8n-seg_from_int8.pt"), device="cpu")
    found = run(np.full((2, 240, 320, 3), 90, np.uint8))
    assert found.mask.shape == (2, 240, 320)
    assert found.counts.tolist() == [0, 0]
    assert not found.mask.any()


def test_wrong_choices_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"confidence=1\.5 is not possible"):
        ultralytics_segmenter("x.pt", confidence=1.5)
    pytest.importorskip("ultralytics")
    with pytest.raises(FileNotFoundError, match="does not exist; give a name such as"):
        ultralytics_segmenter(str(tmp_path / "x.pt"))
