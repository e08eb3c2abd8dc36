"""Something-Something V2: both generations of names, templates with every kind of bracket, parts and folds."""

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lists import by_name, touch, write_texts

from objabn.data.sources import ssv2
from objabn.data.sources.ssv2_lists import template_label

TEMPLATES = {"Closing something": "1", "Putting number of something onto something": "0", "Putting something similar to other things": "2"}
TRAIN = [{"id": "10", "template": "Putting [number of] [something] onto [something]"}, {"id": "9", "template": "Closing [something]"}]
VALIDATION = [{"id": "7", "template": "Putting [something similar to other things]"}]


def write_labels(root: Path, prefix: str, **parts: object) -> Path:
    return write_texts(root, {f"{prefix}{name}.json": json.dumps(content) for name, content in {"labels": TEMPLATES, **parts}.items()})


def test_the_official_files(shared_data: Path) -> None:
    listing = ssv2(shared_data / "ssv2" / "videos", shared_data / "ssv2" / "labels")
    assert len(listing.classes) == 174
    assert (listing.classes[0], listing.classes[173]) == ("Approaching something with your camera", "Wiping something off of something")
    assert Counter(entry.subsets for entry in listing.entries) == {("test",): 24777}
    assert "27157 videos of the official test part have no labels" in listing.remark
    (present,) = [entry for entry in listing.entries if entry.path.is_file()]
    assert (present.name, listing.classes[present.label]) == ("166766", "Poking something so that it falls over")


@pytest.mark.parametrize("prefix", ["", "something-something-v2-"])
def test_both_generations_of_names(tmp_path: Path, prefix: str) -> None:
    videos = touch(tmp_path / "videos", "20bn-something-something-v2/9.webm", "20bn-something-something-v2/10/00001.jpg")
    listing = ssv2(videos, write_labels(tmp_path / "labels", prefix, train=TRAIN, validation=VALIDATION, test=[{"id": "3"}]))
    assert listing.classes == tuple(sorted(TEMPLATES, key=TEMPLATES.get)), "the file's numbers, not the alphabet"
    assert [(entry.name, entry.label, entry.subsets) for entry in listing.entries] == [
        ("9", 1, ("train",)),
        ("10", 0, ("train",)),
        ("7", 2, ("test",)),
    ]
    places = [entry.path.relative_to(videos).as_posix().rpartition("/")[2] for entry in listing.entries]
    assert places == ["9.webm", "10", "7.webm"]
    assert "1 videos of the official test part have no labels" in listing.remark


def test_test_answers_open_a_second_fold(tmp_path: Path) -> None:
    labels = write_labels(tmp_path / "labels", "", train=TRAIN, validation=VALIDATION, test=[{"id": "3"}])
    write_texts(labels, {"test-answers.csv": "3;Closing something\r\n"})
    listing = ssv2(touch(tmp_path, "3.webm"), labels)
    assert {name: (entry.label, entry.subsets) for name, entry in by_name(listing).items()} == {
        "9": (1, ("train", "train")),
        "10": (0, ("train", "train")),
        "7": (2, ("test", "val")),
        "3": (1, ("none", "test")),
    }
    assert listing.remark.startswith("Fold 1 reports on the official validation part, fold 2 on the official test part.")
    assert "1 classes have videos in val or test and none in train, the first is 'Putting something similar" in listing.remark


def test_one_part_alone_is_enough(tmp_path: Path) -> None:
    listing = ssv2(touch(tmp_path, "7.webm"), write_labels(tmp_path / "labels", "", validation=VALIDATION))
    assert [(entry.name, entry.subsets) for entry in listing.entries] == [("7", ("test",))]
    assert listing.remark == "The official validation part, which publications report, is the subset test."


@given(st.data())
def test_brackets_may_stand_anywhere(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(TEMPLATES)))
    places = sorted(data.draw(st.lists(st.integers(0, len(name)), max_size=6)), reverse=True)
    template = name
    for place in places:
        template = template[:place] + data.draw(st.sampled_from("[]")) + template[place:]
    assert template_label({key: int(number) for key, number in TEMPLATES.items()}, template, "1") == int(TEMPLATES[name])


@pytest.mark.parametrize(
    ("parts", "error", "message"),
    [
        ({"train": [{"id": "9", "template": "closing [something]"}]}, ValueError, r"template 'closing \[something\]' of video 9"),
        ({"train": [{"id": "9"}]}, ValueError, r"train\.json: {'id': '9'} has no id or no template"),
        ({"train": [*TRAIN, {**TRAIN[0], "id": "9"}]}, ValueError, r"train\.json lists the video 9 as 'Closing \[something\]' and as"),
        ({"train": {"9": "Closing [something]"}}, ValueError, r"train\.json holds a dict where the official file holds a list"),
        ({"train": TRAIN, "validation": TRAIN}, ValueError, "9 is listed twice"),
        ({"labels": {"Closing something": "2"}, "train": TRAIN}, ValueError, "must number its 1 templates from 0"),
        ({"validation": VALIDATION}, FileNotFoundError, r"None of the 1 listed videos is in .*1\.webm"),
        ({}, FileNotFoundError, r"none of train\.json, validation\.json"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, parts: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ssv2(touch(tmp_path, "9.webm"), write_labels(tmp_path / "labels", "", **parts))


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"neither labels\.json nor something-something-v2-labels\.json"):
        ssv2(tmp_path, tmp_path)
    write_texts(tmp_path, {"labels.json": '{"Closing something": "0"'})
    with pytest.raises(ValueError, match=r"labels\.json is not JSON"):
        ssv2(tmp_path, tmp_path)
