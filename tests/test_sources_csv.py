"""One's own CSV: labels as names or numbers, groups, paths, and what may be wrong with it."""

from pathlib import Path

import pytest
from lists import touch, write_texts

from objabn.data.sources import csv_list


def test_names_groups_and_paths(tmp_path: Path) -> None:
    touch(tmp_path / "lists", "a/1.mp4", "b, c/2.mp4", "frames.v2/00001.jpg")
    touch(tmp_path, "3.mp4")
    text = f"""\ufeffSubset, Path ,label,group,comment
train,a/1.mp4,run,anna,x
val, "b, c/2.mp4",Jump,,y
test,..\\3.mp4,run,ben

train,frames.v2,run,,
train,{tmp_path}/3.mp4,Jump,,
train,unlabelled.mp4,,,
"""
    listing = csv_list(write_texts(tmp_path / "lists", {"my list.csv": text}) / "my list.csv")
    assert (listing.name, listing.classes) == ("my list", ("Jump", "run"))
    absolute = f"{tmp_path}/3.mp4".removeprefix("/")
    assert [(entry.name, entry.label, entry.group, entry.subsets) for entry in listing.entries] == [
        ("a/1.mp4", 1, "anna", ("train",)),
        ("b, c/2.mp4", 0, "Jump/b, c/2", ("val",)),
        ("3.mp4", 1, "ben", ("test",)),
        ("frames.v2", 1, "run/frames.v2", ("train",)),
        (absolute, 0, f"Jump/{absolute.removesuffix('.mp4')}", ("train",)),
    ]
    assert all(entry.path.exists() for entry in listing.entries)
    assert listing.remark == "1 rows have no label and were left out."


def test_numbers_are_class_numbers_and_gaps_are_told(tmp_path: Path) -> None:
    write_texts(tmp_path, {"list.csv": "path,label,subset\na.mp4,10,train\nb.mp4,02,train\n"})
    listing = csv_list(tmp_path / "list.csv", touch(tmp_path / "videos", "a.mp4"))
    assert listing.classes == tuple(map(str, range(11)))
    assert [entry.label for entry in listing.entries] == [10, 2]
    assert [entry.path for entry in listing.entries] == [tmp_path / "videos/a.mp4", tmp_path / "videos/b.mp4"]
    assert listing.remark == "Labels are class numbers from 0; 9 of 11 have no video, the first is 0."


def test_a_group_in_training_and_beside_it_is_told(tmp_path: Path) -> None:
    rows = "a.mp4,x,train,anna\nb.mp4,x,test,anna\nc.mp4,x,val,ben\n"
    write_texts(touch(tmp_path, "a.mp4"), {"list.csv": f"path,label,subset,group\n{rows}"})
    expected = (
        "Fold 1 divides 1 groups between train and val or test, the first is 'anna': accuracies will be higher than on videos never seen."
    )
    assert csv_list(tmp_path / "list.csv").remark == expected
    write_texts(tmp_path, {"list.csv": f"path,label,subset\n{rows.replace(',anna', '').replace(',ben', '')}"})
    assert csv_list(tmp_path / "list.csv").remark == ""


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("path,label,split\na.mp4,x,train\n", ValueError, "has no column subset; its first line must be path,label,subset"),
        ("path;label;subset\na.mp4;x;train\n", ValueError, "has no column path or label or subset; .* comma"),
        ("path,label,subset\na.mp4,x,training\n", ValueError, "row 1 has the path 'a.mp4' and the subset 'training'"),
        ("path,label,subset\na.mp4,x,train\n,x,train\n", ValueError, "row 2 has the path ''"),
        ("path,label,subset\na.mp4,x,train\n./a.mp4,y,val\n", ValueError, r"a\.mp4 is listed twice"),
        ("path,label,subset\nb.mp4,x,train\n", FileNotFoundError, "None of the 1 listed videos .* give --videos"),
        ("", ValueError, "has no column path or label or subset"),
        ("path,label,subset\na.mp4,,train\n", ValueError, "no video that has a label"),
        ("path,label,subset\na.mp4,20260101,train\nb.mp4,3,train\n", ValueError, "label 20260101 is too large .* write names instead"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        csv_list(write_texts(touch(tmp_path, "a.mp4"), {"list.csv": text}) / "list.csv")


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.csv is not a file"):
        csv_list(tmp_path / "none.csv")
    (tmp_path / "list.csv").write_bytes("path,label,subset\n走る.mp4,走る,train\n".encode("cp932"))
    with pytest.raises(ValueError, match=r"is not UTF-8 text \(byte 18\); save it with that encoding"):
        csv_list(tmp_path / "list.csv")
