"""Kinetics: clip lists and CSV files in the forms people have, layouts of folders, names of classes."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lists import by_name, touch, write_texts

from objabn.data.sources import kinetics
from objabn.data.sources.kinetics_lists import parse_line, read_class_names

HEADER = "label,youtube_id,time_start,time_end,split"
WORDS = st.text(st.characters(categories=["L", "N", "P"], exclude_characters="/\\:"), min_size=1)


def test_csv_files_and_layouts(tmp_path: Path) -> None:
    videos = touch(
        tmp_path / "videos",
        *("train/air_drumming/-abcdefghij_000001_000011.mp4", "val/_bcdefghijk_000100_000110.webm"),
        *("extra/abseiling/zbcdefghijk/00001.jpg", "YbcdefghijK.mp4"),
    )
    lists = write_texts(
        tmp_path / "lists",
        {
            "train.csv": f'{HEADER}\n"air drumming",-abcdefghij,1,11,train\nabseiling,zbcdefghijk,2,3,train\nabseiling,absent,3,13,train\n',
            "validate.csv": f"{HEADER}\r\nair drumming,_bcdefghijk,100.0,110,validate\r\nabseiling,YbcdefghijK,5,15,val\r\n",
            "test.csv": "youtube_id,time_start,time_end,split\nqqqqqqqqqqq,5,15,test\n",
            "readme.txt": "no list",
            "._train.csv": "what macOS leaves beside its files",
            "._kinetics_classnames.json": "and here",
        },
    )
    listing = kinetics("kinetics400", videos, lists)
    assert listing.name == "kinetics400"
    assert listing.classes == ("abseiling", "air drumming")
    found = {entry.name: (entry.label, entry.subsets, entry.path.relative_to(videos).as_posix()) for entry in listing.entries}
    assert found == {
        "-abcdefghij_000001_000011": (1, ("train",), "train/air_drumming/-abcdefghij_000001_000011.mp4"),
        "zbcdefghijk_000002_000003": (0, ("train",), "extra/abseiling/zbcdefghijk"),
        "absent_000003_000013": (0, ("train",), "absent_000003_000013.mp4"),
        "_bcdefghijk_000100_000110": (1, ("test",), "val/_bcdefghijk_000100_000110.webm"),
        "YbcdefghijK_000005_000015": (0, ("test",), "YbcdefghijK.mp4"),
    }
    assert by_name(listing)["-abcdefghij_000001_000011"].group == "-abcdefghij"
    assert "1 clips have no label" in listing.remark
    assert "2 of 400 classes" in listing.remark


def test_clip_lists_with_numbers(tmp_path: Path) -> None:
    videos = touch(tmp_path / "videos", "air drumming/a 1.mp4", "val/x/b.mp4", "c.mp4", "train/x/b.mp4")
    lists = write_texts(
        tmp_path / "lists",
        {
            "kinetics400_train_list_videos.txt": "air drumming/a 1.mp4 5\n/elsewhere/train/x/b.mp4 7\nair drumming/unknown.mp4\nx.mp4 -1\n",
            "kinetics400_val_list_videos.txt": "../val/x/b.mp4 399\r\n",
        },
    )
    listing = kinetics("kinetics400", videos, lists)
    assert listing.classes == tuple(map(str, range(400)))
    assert [(entry.name, entry.label, entry.subsets) for entry in listing.entries] == [
        ("air drumming/a 1.mp4", 5, ("train",)),
        ("elsewhere/train/x/b.mp4", 7, ("train",)),
        ("val/x/b.mp4", 399, ("test",)),
    ]
    assert [entry.path.relative_to(videos).as_posix() for entry in listing.entries] == [
        "air drumming/a 1.mp4",
        "train/x/b.mp4",
        "val/x/b.mp4",
    ]
    assert "2 clips have no label" in listing.remark


def test_a_test_list_that_repeats_the_validation_adds_no_fold_and_one_of_its_own_does(tmp_path: Path) -> None:
    videos = touch(tmp_path / "videos", "a.mp4")
    lists = write_texts(tmp_path / "lists", {"train.csv": "a.mp4 0\n", "val.csv": "b.mp4 1\n", "test.csv": "b.mp4 1\n"})
    assert [entry.subsets for entry in kinetics("kinetics400", videos, lists).entries] == [("train",), ("test",)]
    write_texts(lists, {"test.csv": "b.mp4 1\nc.mp4 0\n"})
    listing = kinetics("kinetics400", videos, lists)
    assert [entry.subsets for entry in listing.entries] == [("train", "train"), ("test", "val"), ("none", "test")]
    assert listing.remark.startswith("Fold 1 reports on the official validation part, fold 2")


def test_one_list_alone_is_enough_and_rawframes_have_a_column_more(tmp_path: Path) -> None:
    videos = touch(tmp_path, "videos/abseiling/x_000001_000011/img_00001.jpg")
    lists = write_texts(
        tmp_path, {"kinetics400_val_list_rawframes.txt": "abseiling/x_000001_000011 300 2\n", "other_val_list.txt": "y 1\n"}
    )
    listing = kinetics("kinetics400", videos, lists / "kinetics400_val_list_rawframes.txt")
    assert [(entry.name, entry.label, entry.path.is_dir()) for entry in listing.entries] == [("abseiling/x_000001_000011", 2, True)]
    with pytest.raises(ValueError, match="two lists of the part val"):
        kinetics("kinetics400", videos, lists)


@given(
    folders=st.lists(WORDS, max_size=2),
    words=st.lists(WORDS, min_size=1, max_size=3),
    label=st.integers(0, 999),
    between=st.sampled_from([" ", "\t", ",", ", "]),
)
def test_a_line_gives_back_the_path_it_was_made_of(folders: list[str], words: list[str], label: int, between: str) -> None:
    path = "/".join([*(f"in {name}" for name in folders), " ".join(words) + ".mp4"])
    assert parse_line(f"{path}{between}{label}\n", "train")[:3] == (path, str(label), "train")
    assert parse_line(f"{path}{between}300{between}{label}\n", "train", has_counts=True)[:3] == (path, str(label), "train")
    assert parse_line(f"{path}\r", "val")[:3] == (path, "", "val")
    assert parse_line(f"{path}{between}-1", "val")[:3] == (path, "", "val")


@pytest.mark.parametrize(
    "content",
    [
        json.dumps({'"air drumming"': 1, '"abseiling"': 0}),
        json.dumps({"abseiling": 0, "air drumming": 1}),
        json.dumps({"1": "air drumming", "0": "abseiling"}),
    ],
)
def test_class_names_in_every_form(tmp_path: Path, content: str) -> None:
    assert read_class_names(write_texts(tmp_path, {"kinetics_classnames.json": content}) / "kinetics_classnames.json") == (
        "abseiling",
        "air drumming",
    )


def test_official_class_names_are_sorted(shared_data: Path, tmp_path: Path) -> None:
    names = read_class_names(shared_data / "kinetics400" / "kinetics_id_to_classname.json")
    assert (len(names), names) == (400, tuple(sorted(names)))
    assert names == read_class_names(shared_data / "label_maps" / "kinetics_label_map_k400.txt")
    (tmp_path / "kinetics_label_map_k400.txt").write_text("\n".join(names))
    write_texts(tmp_path, {"val.csv": f"{HEADER}\nwrestling,a,0,10,val\n"})
    listing = kinetics("kinetics400", touch(tmp_path, "a_000000_000010.mp4"), tmp_path)
    assert [(entry.label, len(listing.classes)) for entry in listing.entries] == [(names.index("wrestling"), 400)]
    assert "numbered among themselves" not in listing.remark


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        ({"train.csv": "a.mp4 0\n", "val.csv": "a.mp4 0\n"}, ValueError, r"val\.csv: a\.mp4 is listed before as train 0"),
        ({"val.csv": "a.mp4 0\n", "test.csv": "a.mp4 1\n"}, ValueError, r"test\.csv: a\.mp4 is listed before as val 0"),
        ({"train.csv": "a.mp4 400\n"}, ValueError, r"a\.mp4 has the label '400'; known are 400 classes"),
        ({"train.csv": "a.mp4 4\n", "val.csv": f"{HEADER}\nabseiling,b,0,1,val\n"}, ValueError, "some labels as names and some as numbers"),
        ({"train.csv": f"{HEADER}\nabseiling,b,soon,1,train\n"}, ValueError, "has no time_start and time_end"),
        ({"train.csv": "b.mp4 0\n"}, FileNotFoundError, "None of the 1 listed videos"),
        ({"train.csv": "a.mp4;0\n"}, ValueError, "no video that has a label; .* stands between their columns"),
        (
            {"train.csv": "train/a.mp4 0\n", "val.csv": "val/a.mp4 0\n"},
            ValueError,
            r"train/a\.mp4 and val/a\.mp4 are both found as .*/a\.mp4",
        ),
        ({"train.csv": "a.mp4 0\n", "classes.json": '["abseiling"]'}, ValueError, r"classes\.json holds a list"),
        ({"train.csv": "a.mp4 0\n", "classes.json": '{"abseiling": '}, ValueError, r"classes\.json is not JSON"),
        ({"readme.txt": "a.mp4 0\n"}, FileNotFoundError, "names tell the part"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, texts: dict[str, str], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        kinetics("kinetics400", touch(tmp_path / "videos", "a.mp4"), write_texts(tmp_path / "lists", texts))
