"""Every packed frame of every real clip against OpenCV's sequential reading of the original file."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from objabn.data.dataset import PackedDataset, open_dataset
from objabn.data.decode import decode_video
from objabn.data.pack import pack
from objabn.data.sources import ucf101

LARGEST_DIFFERENCE = 4.0
"""Grey levels, mean over a frame: JPEG at quality 90 stays below it."""


def read_with_opencv(path: Path) -> NDArray[np.uint8]:
    cv2 = pytest.importorskip("cv2")
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1][..., ::-1])
    return np.stack(frames)


def difference(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> float:
    return float(np.abs(left.astype(np.int16) - right).mean())


def compare_video(
    packed: NDArray[np.uint8], original: NDArray[np.uint8], name: str, limit: float = LARGEST_DIFFERENCE
) -> tuple[float, int]:
    """Assert that packed frame k is original frame k; return the largest difference and how many frames could be told apart."""
    assert packed.shape == original.shape, name
    largest, told_apart = 0.0, 0
    for number, frame in enumerate(packed):
        own = difference(frame, original[number])
        assert own <= limit, (name, number, own)
        largest = max(largest, own)
        for neighbour in (number - 1, number + 1):
            if 0 <= neighbour < len(original) and difference(original[neighbour], original[number]) > limit:
                assert difference(frame, original[neighbour]) > own, (name, number, neighbour)
                told_apart += 1
    return largest, told_apart


def compare_dataset(dataset: PackedDataset, videos: Path) -> tuple[float, int, int]:
    """Compare all videos; return the largest difference, the pairs of neighbours told apart, and the frames compared."""
    largest, told_apart, frames = 0.0, 0, 0
    for row in range(len(dataset)):
        packed = np.concatenate(list(decode_video(dataset, row)))
        found = compare_video(packed, read_with_opencv(videos / dataset.index.name(row)), dataset.index.name(row))
        largest, told_apart, frames = max(largest, found[0]), told_apart + found[1], frames + len(packed)
    return largest, told_apart, frames


@pytest.mark.slow
def test_every_frame_of_all_real_clips(shared_data: Path, tmp_path: Path) -> None:
    lists = tmp_path / "lists"
    lists.mkdir()
    source = shared_data / "ucf101"
    (lists / "classInd.txt").write_bytes((source / "ucfTrainTestlist" / "classInd.txt").read_bytes())
    for subset in ("train", "test"):
        (lists / f"{subset}list01.txt").write_bytes((source / f"subset_{subset}list01.txt").read_bytes())
    report = pack(ucf101(source, lists), tmp_path / "packed")
    assert (report.videos, report.failed) == (228, [])
    largest, told_apart, frames = compare_dataset(open_dataset(tmp_path / "packed"), source / "UCF-101")
    print(f"{frames} frames, largest mean difference {largest:.2f}, {told_apart} neighbours told apart")
    assert frames == report.frames
    assert told_apart > frames // 4
