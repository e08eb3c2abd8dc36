"""The demo dataset: the same bytes again, exact masks, motion as the only sign of the class."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from objabn.data.dataset import open_dataset
from objabn.data.demo import MOTIONS, PLACES, STRIDE_FRAMES, draw_clip, draw_path, make_demo, write_demo


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    for root in ("one", "two", "other"):
        write_demo(tmp_path / root, train=3, test=1, size=48, frames=8, seed=int(root == "other"))
    files = {root: sorted((tmp_path / root).rglob("*.*")) for root in ("one", "two", "other")}
    assert len(files["one"]) == 8
    assert [path.read_bytes() for path in files["one"]] == [path.read_bytes() for path in files["two"]]
    assert [path.read_bytes() for path in files["one"]] != [path.read_bytes() for path in files["other"]]


def test_masks_are_exact_and_arrive_at_their_frames(tmp_path: Path) -> None:
    dataset = make_demo(tmp_path / "demo", train=8, test=8, size=48, frames=10)
    assert (len(dataset.index.rows("train")), len(dataset.index.rows("test"))) == (8, 8)
    assert sorted(dataset.classes) == sorted(MOTIONS)
    rows = {dataset.index.name(row): row for row in range(len(dataset))}
    for number, motion in enumerate(MOTIONS):
        row = rows[f"test/{motion}/test-{number:05d}.mp4"]
        assert dataset.classes[dataset.index.label[row]] == motion
        drawn = draw_clip(motion, np.random.default_rng([0, True, number]), size=48, frames=10)
        masks = dataset.masks(row, np.arange(10))
        np.testing.assert_array_equal(masks.mask, drawn.mask)
        assert masks.valid.all()
    begin = (tmp_path / "demo" / "manifest.json").stat().st_mtime_ns
    assert len(make_demo(tmp_path / "demo")) == 16
    assert (tmp_path / "demo" / "manifest.json").stat().st_mtime_ns == begin
    assert open_dataset(tmp_path / "demo").has_masks


def test_a_demo_killed_among_its_masks_is_completed(tmp_path: Path) -> None:
    make_demo(tmp_path, train=8, test=4, size=48, frames=4)
    (tmp_path / "masks" / "manifest.json").unlink()
    assert make_demo(tmp_path, train=8, test=4, size=48, frames=4).has_masks


def places_of(motion: str, seed: int) -> NDArray[np.float64]:
    """Return the eight columns, as parts of the way around, at which a clip's frames show the thing."""
    return draw_path(motion, np.random.default_rng(seed), size=96, frames=32).x[::STRIDE_FRAMES][:PLACES] / 96


@pytest.mark.parametrize(("motion", "step"), [("slow_right", 1 / 8), ("slow_left", -1 / 8), ("fast_right", 3 / 8), ("fast_left", -3 / 8)])
def test_motions_are_what_they_are_called(motion: str, step: float) -> None:
    np.testing.assert_allclose(np.diff(places_of(motion, seed=7)), step, atol=2.1 / 96)


@pytest.mark.parametrize("motion", MOTIONS)
def test_frames_without_their_order_are_alike_for_all_classes(motion: str) -> None:
    """Every class puts the thing at eight places spread evenly around the picture."""
    gaps = np.diff(np.sort(places_of(motion, seed=3) % 1))
    np.testing.assert_allclose(gaps, 1 / 8, atol=2.1 / 96)
