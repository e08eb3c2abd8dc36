"""The mask store: bits come back as they went in, shards are kept, one's own files are checked."""

import os
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image
from videos import class_folders, numbered_frames, write_video

from objabn.data.dataset import PackedDataset, open_dataset
from objabn.data.masks import MaskBits, VideoMasks, pack_mask
from objabn.data.own_masks import resize_nearest
from objabn.data.pack import pack
from objabn.data.pack_shard import PackSettings
from objabn.data.segment import import_masks, segment
from objabn.data.sources import folder

FRAMES = (20, 17, 9, 12)
"""Of the packed rows, in order."""


@pytest.fixture
def dataset(tmp_path: Path) -> PackedDataset:
    pack(folder(class_folders(tmp_path / "source")), tmp_path / "packed", workers=1)
    return open_dataset(tmp_path / "packed")


def bright_bar(frames: NDArray[np.uint8]) -> VideoMasks:
    """Find the bright bar of the numbered frames; pretend to find nothing in frames with it at the left border."""
    mask = frames.mean(-1) > 200
    mask[mask[:, :, 0].any(1)] = False
    return VideoMasks(mask, mask.any((1, 2)).astype(np.uint16) * 3)


@settings(deadline=None, max_examples=50)
@given(arrays.arrays(np.bool_, st.tuples(st.integers(1, 20), st.integers(1, 20))))
def test_bits_round_trip(mask: NDArray[np.bool_]) -> None:
    data = pack_mask(mask, zstandard.ZstdCompressor())
    assert (len(data) == 0) == (not mask.any())
    bits = zstandard.ZstdDecompressor().decompress(data) if data else bytes(-(-mask.size // 8))
    restored = MaskBits(np.frombuffer(bits, np.uint8)[None], np.ones(1, np.bool_)).unpacked(mask.shape).mask[0]
    assert restored.dtype == np.uint8
    np.testing.assert_array_equal(restored, mask.astype(np.uint8))


def test_masks_belong_to_their_frames(dataset: PackedDataset) -> None:
    assert not dataset.has_masks
    assert not dataset.masks(0, np.array([0, 5])).valid.any()
    report = segment(dataset, bright_bar, description={"segmenter": "bar"}, batch=8)
    dataset = open_dataset(dataset.root)
    assert dataset.has_masks
    # The bar of row 0 (seed 1) starts at column 7 + 5 k.
    clip = dataset.masks(0, np.array([4, 0, 4]))
    assert clip.mask.shape == (3, 48, 64)
    assert [np.flatnonzero(row).tolist() for row in clip.mask[:, 10]] == [list(range(27, 35)), list(range(7, 15)), list(range(27, 35))]
    assert clip.valid.tolist() == [True] * 3
    # Row 2 (seed 0) has its bar at the border in frame 0.
    first = dataset.masks(2, np.array([0, 1]))
    assert first.valid.tolist() == [False, True]
    assert not first.mask[0].any()
    assert report is not None
    assert report.frames == sum(FRAMES)
    assert report.found < report.frames


def test_parts_together_make_the_store(tmp_path: Path) -> None:
    pack(folder(class_folders(tmp_path / "source", frames=(5,) * 10)), tmp_path / "packed", workers=1)
    dataset = open_dataset(tmp_path / "packed")
    assert dataset.manifest["shards"] == 3
    assert segment(dataset, bright_bar, description={"segmenter": "bar"}, part=(0, 2)) is None
    assert not open_dataset(dataset.root).has_masks
    report = segment(dataset, bright_bar, description={"segmenter": "bar"}, part=(1, 2))
    assert report is not None
    assert report.frames == 50
    assert open_dataset(dataset.root).has_masks


def test_finished_shards_are_kept_and_others_refused(dataset: PackedDataset) -> None:
    calls = []

    def counting(frames: NDArray[np.uint8]) -> VideoMasks:
        calls.append(len(frames))
        return bright_bar(frames)

    def failing(frames: NDArray[np.uint8]) -> VideoMasks:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        segment(dataset, failing, description={"segmenter": "bar"})
    assert not list(dataset.root.glob("masks/*"))
    first = segment(dataset, counting, description={"segmenter": "bar"})
    assert sum(calls) == sum(FRAMES)
    (dataset.root / "masks" / "manifest.json").unlink()
    assert segment(dataset, counting, description={"segmenter": "bar"}) == first
    assert sum(calls) == sum(FRAMES)
    with pytest.raises(ValueError, match="another segmenter"):
        segment(dataset, counting, description={"segmenter": "other"})


def test_own_masks_from_pngs_and_npz(dataset: PackedDataset, tmp_path: Path) -> None:
    own = tmp_path / "own"
    for row, frames in enumerate(FRAMES):
        mask = np.zeros((frames, 24, 32), np.uint8)
        mask[np.arange(frames), 3, np.arange(frames)] = 7
        name = Path(dataset.index.name(row))
        if row % 2:
            place = own / name.with_suffix("")
            place.mkdir(parents=True)
            for number, picture in enumerate(mask):
                Image.fromarray(picture).save(place / f"{number}.png")
        else:
            own.mkdir(exist_ok=True)
            np.savez(own / f"{name.stem}.npz", mask=mask)
    import_masks(dataset, own)
    packed = open_dataset(dataset.root)
    for row, frames in enumerate(FRAMES):
        clip = packed.masks(row, np.arange(frames))
        # Twice the size by nearest neighbour: pixel (3, k) becomes the block (6:8, 2k:2k+2).
        for number in range(frames):
            expected = np.zeros((48, 64), np.uint8)
            expected[6:8, 2 * number : 2 * number + 2] = 1
            np.testing.assert_array_equal(clip.mask[number], expected)


def test_own_masks_that_do_not_fit_name_the_video(dataset: PackedDataset, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    with pytest.raises(FileNotFoundError, match=r"no masks for A/v1\.avi"):
        import_masks(dataset, own)
    for number in (0, 2, 3):
        (own / f"v{number}.npz").write_bytes(b"not asked for yet")
    np.savez(own / "v1.npz", mask=np.zeros((19, 48, 64), np.uint8))
    with pytest.raises(ValueError, match=r"A/v1\.avi has 20 packed frames but 19 masks"):
        import_masks(dataset, own)
    np.savez(own / "v1.npz", masks=np.zeros((20, 48, 64), np.uint8))
    with pytest.raises(ValueError, match=r"expected is an NPZ with an array `mask`"):
        import_masks(dataset, own)


def write_own(own: Path, dataset: PackedDataset) -> Path:
    """Write masks without objects for all videos but the first, whose upper half is object."""
    own.mkdir(exist_ok=True)
    for row, frames in enumerate(FRAMES):
        mask = np.zeros((frames, 48, 64), np.uint8)
        mask[:, : 24 if row == 0 else 0] = 1
        np.savez(own / f"{Path(dataset.index.name(row)).stem}.npz", mask=mask)
    return own


def test_corrected_masks_are_noticed(dataset: PackedDataset, tmp_path: Path) -> None:
    own = write_own(tmp_path / "own", dataset)
    report = import_masks(dataset, own)
    assert import_masks(dataset, own) == report
    # As many bytes as before, written a second later.
    seconds = (own / "v2.npz").stat().st_mtime + 1
    os.utime(own / "v2.npz", (seconds, seconds))
    with pytest.raises(ValueError, match="from other mask files"):
        import_masks(dataset, own)


def test_a_stem_that_two_videos_share_is_refused(tmp_path: Path) -> None:
    for name in ("A/v.avi", "b/v.avi"):
        write_video(tmp_path / "source" / name, numbered_frames(3))
    pack(folder(tmp_path / "source"), tmp_path / "packed", workers=1)
    dataset = open_dataset(tmp_path / "packed")
    own = tmp_path / "own"
    (own / "A").mkdir(parents=True)
    np.savez(own / "v.npz", mask=np.zeros((3, 48, 64), np.uint8))
    np.savez(own / "A" / "v.npz", mask=np.ones((3, 48, 64), np.uint8))
    with pytest.raises(ValueError, match=r"v\.npz could belong to A/v\.avi or to b/v\.avi"):
        import_masks(dataset, own)
    (own / "b").mkdir()
    (own / "v.npz").rename(own / "b" / "v.npz")
    report = import_masks(dataset, own)
    assert report is not None
    assert (report.frames, report.found) == (6, 3)


def test_masks_do_not_outlive_a_packing_with_another_video(tmp_path: Path) -> None:
    """Once a broken video is repaired, the frames of all that follow it have moved."""
    root = class_folders(tmp_path / "source")
    whole = (root / "A" / "v1.avi").read_bytes()
    (root / "A" / "v1.avi").write_bytes(b"")
    pack(folder(root), tmp_path / "packed", workers=1)
    segment(open_dataset(tmp_path / "packed"), bright_bar, description={"segmenter": "bar"})
    (root / "A" / "v1.avi").write_bytes(whole)
    for path in (tmp_path / "packed").glob("*.*"):
        path.unlink()
    pack(folder(root), tmp_path / "packed", workers=1)
    with pytest.raises(ValueError, match="another packing"):
        open_dataset(tmp_path / "packed")
    (tmp_path / "packed" / "masks" / "manifest.json").unlink()
    with pytest.raises(ValueError, match="of another packing"):
        segment(open_dataset(tmp_path / "packed"), bright_bar, description={"segmenter": "bar"})


def test_a_segmenter_that_drops_frames_is_noticed(dataset: PackedDataset) -> None:
    def dropping(frames: NDArray[np.uint8]) -> VideoMasks:
        return bright_bar(frames[1:])

    with pytest.raises(RuntimeError, match="54 masks for 58 frames"):
        segment(dataset, dropping, description={"segmenter": "bar"}, batch=32)
    assert not open_dataset(dataset.root).has_masks


def test_damaged_masks_name_the_shard(dataset: PackedDataset) -> None:
    segment(dataset, bright_bar, description={"segmenter": "bar"})
    shard = dataset.root / "masks" / "shard-00000.safetensors"
    data = bytearray(shard.read_bytes())
    data[-8:] = bytes(8)
    shard.write_bytes(data)
    with pytest.raises(RuntimeError, match=r"masks/shard-00000\.safetensors holds a damaged mask"):
        open_dataset(dataset.root).masks(3, np.arange(12))


def test_parts_made_otherwise_do_not_make_a_store(tmp_path: Path) -> None:
    pack(folder(class_folders(tmp_path / "source", frames=(5,) * 10)), tmp_path / "packed", workers=1)
    dataset = open_dataset(tmp_path / "packed")
    assert segment(dataset, bright_bar, description={"segmenter": "bar"}, part=(0, 2)) is None
    with pytest.raises(ValueError, match="another segmenter"):
        segment(dataset, bright_bar, description={"segmenter": "other"}, part=(1, 2))
    assert not open_dataset(dataset.root).has_masks


def test_nearest_takes_the_pixel_under_the_centre() -> None:
    mask = np.array([[1, 0, 1, 0, 0, 1]], bool)
    # Centres of three pixels over six: 1, 3, 5.
    assert resize_nearest(mask, (2, 3)).tolist() == [[False, False, True]] * 2


def test_masks_of_another_packing_are_refused(dataset: PackedDataset) -> None:
    segment(dataset, bright_bar, description={"segmenter": "bar"})
    manifest = dataset.root / "masks" / "manifest.json"
    manifest.write_text(manifest.read_text().replace(dataset.manifest["fingerprint"], "0" * 16))
    with pytest.raises(ValueError, match="another packing"):
        open_dataset(dataset.root)
    manifest.write_text("{")
    with pytest.raises(RuntimeError, match=r"masks/manifest\.json is damaged"):
        open_dataset(dataset.root)


def test_a_real_clip_with_its_own_masks(shared_data: Path, tmp_path: Path) -> None:
    """DAVIS: JPEG frames become a video file, their PNG masks come in with import_masks, reduced like the frames."""
    clip = shared_data / "davis" / "car-shadow"
    pictures = np.stack([np.asarray(Image.open(path).convert("RGB")) for path in sorted((clip / "frames").iterdir())])
    write_video(tmp_path / "videos" / "driving" / "car-shadow.mp4", pictures)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "car-shadow").symlink_to(clip / "masks")
    pack(folder(tmp_path / "videos"), tmp_path / "packed", PackSettings(short_side=240), workers=1)
    report = import_masks(open_dataset(tmp_path / "packed"), tmp_path / "own")
    assert report is not None
    assert report.frames == report.found == len(pictures) == 40
    stored = open_dataset(tmp_path / "packed").masks(0, np.array([0, 20, 39]))
    assert stored.mask.shape[1] == 240
    for position, path in enumerate(sorted((clip / "masks").iterdir())[i] for i in (0, 20, 39)):
        exact = np.asarray(Image.open(path)) > 0
        np.testing.assert_array_equal(stored.mask[position], resize_nearest(exact, stored.mask.shape[1:]))
