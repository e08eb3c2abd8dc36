"""The index: names, subsets, held-out groups, the file, and opening it at the size of SSv2."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from objabn.data.index import Index, held_out, join_names, load_index, save_index


def make_index(label: list[int], group: list[int], subset: list[list[int]], names: list[str] | None = None) -> Index:
    count = len(label)
    name_bytes, name_offsets = join_names(names or [f"v{row}" for row in range(count)])
    return Index(
        name_bytes=name_bytes,
        name_offsets=name_offsets,
        label=np.array(label, np.int64),
        frames=np.full(count, 10, np.int64),
        height=np.full(count, 24, np.int32),
        width=np.full(count, 32, np.int32),
        fps=np.full(count, 25, np.float32),
        group=np.array(group, np.int32),
        subset=np.array(subset, np.uint8),
        shard=np.zeros(count, np.int32),
        first_frame=np.arange(count, dtype=np.int64) * 10,
    )


def test_names_keep_their_letters() -> None:
    index = make_index([0, 0, 1], [0, 1, 2], [[1, 1, 3]], ["a/ä.avi", "", "b/日本.mp4"])
    assert [index.name(row) for row in range(len(index))] == ["a/ä.avi", "", "b/日本.mp4"]


def test_rows_of_a_fold_and_subset() -> None:
    index = make_index([0, 1, 0, 1], [0, 1, 2, 3], [[1, 1, 3, 0], [3, 2, 1, 1]])
    assert index.rows("train").tolist() == [0, 1]
    assert index.rows("test").tolist() == [2]
    assert index.rows("train", fold=2).tolist() == [2, 3]
    assert index.rows("val", fold=2).tolist() == [1]


@pytest.mark.parametrize(
    ("subset", "fold", "fraction", "message"),
    [
        ("val", 1, 0.0, r"'val' of fold 1 is empty; this dataset has train and test\. A part of the training groups can serve"),
        ("training", 1, 0.0, "train, val or test"),
        ("train", 3, 0.0, "between 1 and 2"),
    ],
)
def test_rows_say_what_exists(subset: str, fold: int, fraction: float, message: str) -> None:
    index = make_index([0, 1, 0, 1], [0, 1, 2, 3], [[1, 1, 3, 0], [3, 2, 1, 1]])
    with pytest.raises(ValueError, match=message):
        index.rows(subset, fold=fold, val_fraction=fraction)


def test_a_fold_without_lists_names_the_others() -> None:
    index = make_index([0, 1], [0, 1], [[0, 0], [1, 3]])
    with pytest.raises(ValueError, match="Fold 1 is not part of this dataset; choose one of: 2"):
        index.rows("train", fold=1)
    with pytest.raises(ValueError, match="Fold 1 is not part of this dataset; choose one of: 2"):
        index.subsets(fold=1)


def test_a_validation_set_of_its_own_is_kept_whole() -> None:
    index = make_index([0, 0, 0, 0], [0, 1, 2, 3], [[1, 1, 1, 2]])
    assert index.rows("val", val_fraction=0.5).tolist() == [3]
    assert index.rows("train", val_fraction=0.5).tolist() == [0, 1, 2]


def test_subsets_say_what_exists_without_an_error() -> None:
    index = make_index([0, 0, 0, 0], [0, 1, 2, 3], [[1, 1, 3, 0], [3, 2, 1, 1], [3, 3, 3, 3]])
    assert index.subsets() == ("test", "train")
    assert index.subsets(val_fraction=0.5) == ("val", "test", "train")
    assert index.subsets(fold=2) == ("val", "test", "train")
    assert index.subsets(fold=3, val_fraction=0.5) == ("test",)
    with pytest.raises(ValueError, match="between 1 and 3"):
        index.subsets(fold=4)


@pytest.mark.parametrize(("fraction", "videos"), [(0.01, 4), (0.2, 4), (0.29, 4), (0.31, 8), (0.6, 12), (0.99, 16)])
def test_validation_takes_whole_groups_of_every_class(fraction: float, videos: int) -> None:
    # Two classes of five groups with four videos each: as near to the fraction as whole groups come, at least one and never all.
    label = [row // 20 for row in range(40)]
    group = [row // 4 for row in range(40)]
    index = make_index(label, group, [[1] * 40])
    val, train = index.rows("val", val_fraction=fraction), index.rows("train", val_fraction=fraction)
    assert sorted([*val, *train]) == list(range(40))
    assert [int((index.label[val] == number).sum()) for number in (0, 1)] == [videos, videos]
    assert not set(index.group[val]) & set(index.group[train])
    assert val.tolist() == index.rows("val", val_fraction=fraction).tolist()


def test_validation_never_empties_a_class() -> None:
    index = make_index([0, 0, 1, 1], [0, 0, 1, 2], [[1, 1, 1, 1]])
    train = index.rows("train", val_fraction=0.9)
    assert set(index.label[train]) == {0, 1}
    assert len(index.rows("val", val_fraction=0.01)) == 1


def test_what_cannot_be_divided_is_not_advised() -> None:
    with pytest.raises(ValueError, match=r"this dataset has train\.$"):
        make_index([0, 0], [0, 0], [[1, 1]]).rows("val", val_fraction=0.5)


def test_groups_of_several_classes_never_empty_one() -> None:
    # Both people appear in class 0, only the first in class 1: whoever is held out, every class keeps a training video.
    index = make_index([0, 0, 1, 2, 2], [0, 1, 0, 1, 2], [[1] * 5])
    train = index.rows("train", val_fraction=0.5)
    assert set(index.label[train]) == {0, 1, 2}
    assert not set(index.group[train]) & set(index.group[index.rows("val", val_fraction=0.5)])


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6), st.booleans()), min_size=1, max_size=60), st.floats(0.05, 0.9))
def test_whatever_the_groups_classes_stay_and_groups_stay_whole(videos: list[tuple[int, int, bool]], fraction: float) -> None:
    label, group, is_train = (np.array(column) for column in zip(*videos, strict=True))
    chosen = held_out(label, group, is_train, fraction)
    left = np.setdiff1d(np.flatnonzero(is_train), chosen)
    assert is_train[chosen].all()
    assert set(label[left]) == set(label[is_train])
    assert not set(group[left]) & set(group[chosen])


def test_file_round_trip_is_plain_safetensors(tmp_path: Path) -> None:
    index = make_index([0, 1, 0], [0, 1, 2], [[1, 1, 3], [3, 1, 1]])
    save_index(index, tmp_path / "index.safetensors")
    foreign = load_file(tmp_path / "index.safetensors")
    own = load_index(tmp_path / "index.safetensors")
    for name in ("label", "subset", "fps", "name_bytes", "first_frame"):
        np.testing.assert_array_equal(foreign[name], getattr(index, name))
        np.testing.assert_array_equal(getattr(own, name), getattr(index, name))
    assert own.label.dtype == np.int64
    assert [path.name for path in tmp_path.iterdir()] == ["index.safetensors"]


def test_damaged_file_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "index.safetensors"
    save_index(make_index([0], [0], [[1]]), path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(RuntimeError, match=r"index.safetensors is damaged"):
        load_index(path)


def test_220000_rows_are_mapped_not_read(tmp_path: Path) -> None:
    count = 220_000
    save_index(make_index([0] * count, [0] * count, [[1] * count]), tmp_path / "index.safetensors")
    index = load_index(tmp_path / "index.safetensors")
    assert index.name(count - 1) == f"v{count - 1}"
    assert not any(getattr(index, field.name).flags.owndata for field in dataclasses.fields(Index))
