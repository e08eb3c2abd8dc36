"""Masks that do not belong to the packed frames, or are damaged: named, and never taken for others."""

from pathlib import Path

import numpy as np
import pytest
from bad_input import assert_said
from odd_videos import cut
from videos import class_folders

from objabn.data.dataset import PackedDataset, open_dataset
from objabn.data.pack import pack
from objabn.data.segment import import_masks
from objabn.data.sources import folder

NAMES = ("v1", "v3", "v0", "v2")
"""In the order of packed rows: A/v1.avi, A/v3.avi, b/v0.avi, b/v2.avi."""


@pytest.fixture(scope="module")
def packing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("masks")
    pack(folder(class_folders(root / "source", frames=(5,) * 4)), root / "packed")
    return root / "packed"


@pytest.fixture
def dataset(packing: Path, tmp_path: Path) -> PackedDataset:
    """A copy of the packed dataset, without masks."""
    (tmp_path / "packed").mkdir()
    for path in packing.iterdir():
        (tmp_path / "packed" / path.name).symlink_to(path)
    return open_dataset(tmp_path / "packed")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Masks of all four videos."""
    (tmp_path / "own").mkdir()
    for name in NAMES:
        np.savez(tmp_path / "own" / f"{name}.npz", mask=np.ones((5, 48, 64), np.uint8))
    return tmp_path / "own"


@pytest.mark.parametrize(
    ("case", "shape"),
    [
        ("own masks for another number of frames", (6, 48, 64)),
        ("own masks of another shape", (5, 64, 48)),
        ("own masks without a pixel", (5, 0, 0)),
        ("own masks that are not one picture per frame", (5, 48)),
    ],
)
def test_own_masks_of_another_size_are_refused(case: str, shape: tuple[int, ...], dataset: PackedDataset, own: Path) -> None:
    np.savez(own / "v3.npz", mask=np.ones(shape, np.uint8))
    with pytest.raises(ValueError) as error:
        import_masks(dataset, own)
    assert_said(case, str(error.value))
    assert not open_dataset(dataset.root).has_masks


@pytest.mark.parametrize("size", [(24, 32), (96, 128), (480, 640), (47, 63)])
def test_own_masks_of_another_resolution_are_taken(size: tuple[int, int], dataset: PackedDataset, own: Path) -> None:
    np.savez(own / "v3.npz", mask=np.ones((5, *size), np.uint8))
    import_masks(dataset, own)
    assert open_dataset(dataset.root).masks(1, np.arange(5)).mask.all()


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 no archive", None])
def test_own_masks_that_cannot_be_read_are_named(content: bytes | None, dataset: PackedDataset, own: Path) -> None:
    if content is None:
        np.savez(own / "v3.npz", mask=np.array([{}] * 5, dtype=object))
    else:
        (own / "v3.npz").write_bytes(content)
    with pytest.raises(ValueError) as error:
        import_masks(dataset, own)
    assert_said("own masks that cannot be read", str(error.value))


def test_a_video_without_own_masks_is_named(dataset: PackedDataset, own: Path) -> None:
    (own / "v3.npz").unlink()
    with pytest.raises(FileNotFoundError) as error:
        import_masks(dataset, own)
    assert_said("a video without own masks", str(error.value))


def test_masks_of_another_packing_are_refused(dataset: PackedDataset, own: Path, tmp_path: Path) -> None:
    import_masks(dataset, own)
    pack(folder(class_folders(tmp_path / "other source", frames=(6,) * 4)), tmp_path / "other")
    (dataset.root / "masks").rename(tmp_path / "other" / "masks")
    with pytest.raises(ValueError) as error:
        open_dataset(tmp_path / "other")
    assert_said("masks of another packing", str(error.value))


def test_damaged_and_absent_mask_shards_are_named_and_made_anew(dataset: PackedDataset, own: Path) -> None:
    import_masks(dataset, own)
    shard = dataset.root / "masks" / "shard-00000.safetensors"
    whole = shard.read_bytes()
    cut(shard, 0.9)
    with pytest.raises(RuntimeError) as error:
        open_dataset(dataset.root).masks(0, np.arange(5))
    assert_said("a shard of masks that is cut off", str(error.value))
    shard.unlink()
    with pytest.raises(FileNotFoundError) as absence:
        open_dataset(dataset.root).masks(0, np.arange(5))
    assert_said("a shard of masks that is absent", str(absence.value))
    import_masks(dataset, own)
    assert shard.read_bytes() == whole


def test_a_damaged_list_of_masks_is_named(dataset: PackedDataset, own: Path) -> None:
    import_masks(dataset, own)
    (dataset.root / "masks" / "manifest.json").write_text("{")
    with pytest.raises(RuntimeError) as error:
        open_dataset(dataset.root)
    assert_said("a damaged manifest of masks", str(error.value))
