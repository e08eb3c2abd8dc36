"""Every packed frame of every real clip against OpenCV's sequential reading of the original file."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from objabn.data.dataset import PackedDataset, open_dataset
from objabn.data.decode import decode_video
from objabn.data.pack import pack
from objabn.data.pack_shard import PackSettings
from objabn.data.sources import Listing, folder, ucf101

LARGEST_DIFFERENCE = 4.0
"""Grey levels, mean over a frame: at quality 90 all stores stay below it."""
STORES = {
    "frames": PackSettings(),
    "vp9": PackSettings(store="video", codec="vp9"),
    "h264": PackSettings(store="video", codec="h264"),
}
ENCODERS = {"vp9": "libvpx-vp9", "h264": "libx264"}


class Comparison(NamedTuple):
    """What comparing a clip, or many, has shown."""

    frames: int
    told_apart: int
    """Frames that differ from both neighbours by more than `LARGEST_DIFFERENCE`."""
    largest_difference: float


def read_with_opencv(path: Path) -> NDArray[np.uint8]:
    cv2 = pytest.importorskip("cv2")
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1][..., ::-1])
    return np.stack(frames)


def reduced(clip: NDArray[np.uint8]) -> Tensor:
    """Return (T, pixels): each frame at a quarter of its height and width, averaged over areas."""
    frames = torch.from_numpy(np.ascontiguousarray(clip)).permute(0, 3, 1, 2)
    return torch.cat([torch.nn.functional.avg_pool2d(piece.float(), 4, ceil_mode=True).flatten(1) for piece in frames.split(64)])


def compare_video(packed: NDArray[np.uint8], original: NDArray[np.uint8], name: str, limit: float = LARGEST_DIFFERENCE) -> Comparison:
    """Assert that packed frame k is original frame k: near it, and nearer than to any other of the clip where k can be told apart."""
    # Store `video` leaves out an odd last row or column.
    original = original[:, : packed.shape[1], : packed.shape[2]] if max(np.subtract(original.shape, packed.shape)) <= 1 else original
    assert packed.shape == original.shape, name
    difference_T = np.array([np.abs(ours.astype(np.int16) - source).mean() for ours, source in zip(packed, original, strict=True)])
    assert difference_T.max() <= limit, (name, int(difference_T.argmax()), difference_T.max())
    ours, source = reduced(packed), reduced(original)
    distance_TT = torch.cdist(ours, source, p=1) / source.shape[1]
    step = torch.cat([torch.full((1,), torch.inf), (source[1:] - source[:-1]).abs().mean(1), torch.full((1,), torch.inf)])
    is_distinct = torch.minimum(step[:-1], step[1:]) > LARGEST_DIFFERENCE
    nearest = distance_TT.argmin(1)
    wrong = (is_distinct & (nearest != torch.arange(len(nearest)))).nonzero().flatten().tolist()
    assert not wrong, (name, [(frame, int(nearest[frame])) for frame in wrong])
    return Comparison(len(packed), int(is_distinct.sum()), float(difference_T.max()))


def compare_dataset(dataset: PackedDataset, videos: Path) -> Comparison:
    """Compare all videos of a packed dataset with their sources."""
    found = []
    for row in range(len(dataset)):
        name = dataset.index.name(row)
        found.append(compare_video(np.concatenate(list(decode_video(dataset, row))), read_with_opencv(videos / name), name))
    frames, told_apart, differences = zip(*found, strict=True)
    return Comparison(sum(frames), sum(told_apart), max(differences))


@pytest.fixture(params=STORES)
def settings(request: pytest.FixtureRequest) -> PackSettings:
    """Each store that can be written here."""
    if ENCODERS.get(request.param, "") not in {"", *av.codecs_available}:
        pytest.skip(f"this PyAV has no encoder {ENCODERS[request.param]}")
    return STORES[request.param]


def check_packing(listing: Listing, videos: Path, folder: Path, settings: PackSettings) -> None:
    """Pack all of a listing and compare every frame with the sources in `videos`."""
    report = pack(listing, folder, settings)
    assert (report.videos, report.failed) == (len(listing.entries), [])
    found = compare_dataset(open_dataset(folder), videos)
    size = f"{report.bytes / 1e6:.0f} MB, {found.frames} frames"
    print(f"{settings.relevant}: {size}, largest mean difference {found.largest_difference:.2f}, {found.told_apart} told apart")
    assert found.frames == report.frames
    assert found.told_apart > found.frames // 10


@pytest.mark.slow
def test_every_frame_of_all_real_clips(shared_data: Path, tmp_path: Path, settings: PackSettings) -> None:
    lists = tmp_path / "lists"
    lists.mkdir()
    source = shared_data / "ucf101"
    (lists / "classInd.txt").write_bytes((source / "ucfTrainTestlist" / "classInd.txt").read_bytes())
    for subset in ("train", "test"):
        (lists / f"{subset}list01.txt").write_bytes((source / f"subset_{subset}list01.txt").read_bytes())
    listing = ucf101(source, lists)
    assert len(listing.entries) == 228
    check_packing(listing, source / "UCF-101", tmp_path / "packed", settings)


@pytest.mark.slow
def test_every_frame_of_other_containers(shared_data: Path, tmp_path: Path, settings: PackSettings) -> None:
    """AVI of HMDB51, VP9 WebM of SSv2, H.264 MP4 of Kinetics and of UCF101."""
    root = tmp_path / "videos"
    patterns = {"hmdb51": "hmdb51/videos/*/*.avi", "ssv2": "ssv2/videos/*", "kinetics": "kinetics400/videos/*", "ucf101": "ucf101/h264/*/*"}
    for name, pattern in patterns.items():
        (root / name).mkdir(parents=True)
        for path in shared_data.glob(pattern):
            (root / name / path.name).symlink_to(path)
    listing = folder(root)
    assert len(listing.entries) == 4 + 4 + 4 + 25
    check_packing(listing, root, tmp_path / "packed", replace(settings, short_side=720))


def test_a_shift_of_one_frame_would_be_noticed() -> None:
    clip = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    clip[2:4] = clip[1]
    assert compare_video(clip, clip, "itself").told_apart == 3
    shifted = clip[[0, 1, 2, 3, 5, 5]]
    with pytest.raises(AssertionError):
        compare_video(shifted, clip, "shifted", limit=255.0)
    with pytest.raises(AssertionError):
        compare_video(clip // 16, clip // 16 + 5, "brighter")
