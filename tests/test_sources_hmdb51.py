"""HMDB51: the official lists, names with every kind of letter, films as groups."""

from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lists import by_name, touch, write_texts

from objabn.data.sources import hmdb51
from objabn.data.sources.hmdb51_lists import hmdb51_group, parse_hmdb51_line

ANYTHING = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp", "Zs"]) | st.just(" "), min_size=1)


def test_official_counts(shared_data: Path) -> None:
    listing = hmdb51(shared_data / "hmdb51" / "videos", shared_data / "hmdb51" / "testTrainMulti_7030_splits")
    counts = [Counter(entry.subsets[fold] for entry in listing.entries) for fold in range(3)]
    assert [(count["train"], count["test"]) for count in counts] == [(3570, 1530)] * 3
    assert len(listing.classes) == 51
    assert listing.classes[:2] == ("brush_hair", "cartwheel")
    assert listing.classes == tuple((shared_data / "label_maps" / "hmdb51_label_map.txt").read_text().split())
    assert len(listing.entries) == 6766 - 395
    assert listing.remark == "395 clips are in no fold and were left out."
    assert [entry.label for entry in listing.entries if entry.path.is_file()] == [50, 50, 50], "the fourth clip has not its official name"


def test_the_official_folds_never_divide_a_group(shared_data: Path) -> None:
    listing = hmdb51(shared_data / "hmdb51" / "videos", shared_data / "hmdb51" / "testTrainMulti_7030_splits")
    for fold in range(3):
        subsets: dict[str, set[str]] = defaultdict(set)
        for entry in listing.entries:
            subsets[entry.group].add(entry.subsets[fold])
        assert not [group for group, found in subsets.items() if {"train", "test"} <= found]
    assert len({entry.group for entry in listing.entries}) == 2251, "one for every 2.8 clips: films are recognised"


def test_folds_classes_and_names(tmp_path: Path) -> None:
    odd = "#437_How_To & Why!; [a(b)]_ride_bike_f_cm_np1_ba_med_0.avi"
    videos = touch(tmp_path / "videos", "org/wave/a_wave_f_nm_np1_fr_goo_3.avi", f"ride_bike/{odd}")
    lists = write_texts(
        tmp_path / "lists",
        {
            "wave_test_split1.txt": "a_wave_f_nm_np1_fr_goo_3.avi 1 \r\nb_wave_u_nm_np1_fr_goo_0.avi 0 \r\n",
            "wave_test_split3.txt": "a_wave_f_nm_np1_fr_goo_3.avi 2 \n\n",
            "ride_bike_test_split1.txt": f"{odd} 2 \n",
            "ride_bike_test_split_1.txt": "not the form of the official lists",
            "class_list.txt": "wave\n",
            "._wave_test_split1.txt": "what macOS leaves beside its files",
        },
    )
    listing = hmdb51(videos, lists)
    assert listing.classes == ("ride_bike", "wave")
    assert [(entry.name, entry.label, entry.group, entry.subsets) for entry in listing.entries] == [
        (f"ride_bike/{odd}", 0, "ride_bike/#437_How_To & Why!; [a(b)]", ("test", "none", "none")),
        ("wave/a_wave_f_nm_np1_fr_goo_3.avi", 1, "wave/a", ("train", "none", "test")),
    ]
    assert by_name(listing)["wave/a_wave_f_nm_np1_fr_goo_3.avi"].path == videos / "org/wave/a_wave_f_nm_np1_fr_goo_3.avi"
    assert by_name(listing)[f"ride_bike/{odd}"].path.is_file()
    assert "1 clips are in no fold" in listing.remark
    assert "2 of the 51 classes" in listing.remark


@given(
    name=ANYTHING.filter(str.strip),
    code=st.sampled_from("012"),
    space=st.sampled_from([" ", "\t", "  "]),
    end=st.sampled_from(["", " ", "\r"]),
)
def test_a_line_gives_back_the_name_it_was_made_of(name: str, code: str, space: str, end: str) -> None:
    assert parse_hmdb51_line(f"{name.rstrip()}{space}{code}{end}", Path("list")) == (name.rstrip(), code)


@given(
    film=ANYTHING.filter(lambda name: "/" not in name),
    class_name=st.sampled_from(["wave", "ride_bike", "sword"]),
    number=st.integers(0, 99),
)
def test_the_group_is_the_class_and_the_film(film: str, class_name: str, number: int) -> None:
    assert hmdb51_group(f"{class_name}/{film}_{class_name}_f_cm_np1_ba_med_{number}.avi") == f"{class_name}/{film}"


def test_wrong_places_and_lines_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"brush_hair_test_split1\.txt"):
        hmdb51(tmp_path, tmp_path)
    lists = write_texts(tmp_path / "lists", {"wave_test_split1.txt": "a.avi 1\n"})
    with pytest.raises(FileNotFoundError, match="None of the 1 listed videos"):
        hmdb51(tmp_path, lists)
    write_texts(lists, {"wave_test_split1.txt": "a.avi 1\nb.avi 2\na.avi 2\n"})
    with pytest.raises(ValueError, match=r"wave_test_split1\.txt lists a\.avi as 1 and as 2"):
        hmdb51(tmp_path, lists)
    write_texts(lists, {"wave_test_split1.txt": "a.avi 3\n"})
    with pytest.raises(ValueError, match=r"wave_test_split1\.txt: the line 'a.avi 3' is not a clip followed by 0"):
        hmdb51(tmp_path, lists)
    (lists / "wave_test_split1.txt").write_bytes(b"caf\xe9.avi 1\n")
    with pytest.raises(ValueError, match="is not UTF-8 text"):
        hmdb51(tmp_path, lists)
