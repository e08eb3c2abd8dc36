"""Listings: the official lists of UCF101 and their traps, and folders of class folders."""

from collections import Counter
from pathlib import Path

import pytest
from lists import touch

from objabn.data.sources import folder, ucf101


def write_lists(root: Path, **texts: str) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for stem, text in texts.items():
        (root / f"{stem}.txt").write_bytes(text.replace("\n", "\r\n").encode())
    return root


def test_official_counts_and_order(shared_data: Path) -> None:
    source = shared_data / "ucf101"
    listing = ucf101(source, source / "ucfTrainTestlist")
    counts = [Counter(entry.subsets[fold] for entry in listing.entries) for fold in range(3)]
    assert [(count["train"], count["test"]) for count in counts] == [(9537, 3783), (9586, 3734), (9624, 3696)]
    assert len(listing.entries) == 13320
    assert listing.classes[34:36] == ("Hammering", "HammerThrow")
    assert listing.classes[46:48] == ("JumpingJack", "JumpRope")
    assert sum(entry.path.is_file() for entry in listing.entries) == 228


def test_derived_class_order_is_the_official_one(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "ucf101"
    for path in (source / "ucfTrainTestlist").glob("*list*.txt"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    derived = ucf101(source, tmp_path)
    assert derived.classes == ucf101(source, source / "ucfTrainTestlist").classes
    assert "no classInd.txt" in derived.remark


def test_labels_come_from_folders_and_lines_may_end_as_in_windows(tmp_path: Path) -> None:
    stem = "HandstandPushups/v_HandStandPushups_g07_c01.avi"
    videos = touch(tmp_path / "videos" / "UCF-101", stem, "Archery/v_Archery_g02_c01.avi")
    lists = write_lists(
        tmp_path / "lists",
        classInd="1 Archery\n2 HandstandPushups\n",
        trainlist02="Archery/v_Archery_g02_c01.avi 1\n",
        testlist02=f"{stem}\n",
    )
    listing = ucf101(videos.parent, lists)
    assert [(entry.name, entry.label, entry.group, entry.subsets) for entry in listing.entries] == [
        ("Archery/v_Archery_g02_c01.avi", 0, "Archery/g02", ("none", "train")),
        (stem, 1, "HandstandPushups/g07", ("none", "test")),
    ]
    assert all(entry.path.is_file() for entry in listing.entries)


def test_lists_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    videos = touch(tmp_path / "videos", "Archery/v_Archery_g02_c01.avi")
    lists = write_lists(tmp_path / "lists", classInd="1 Archery\n", trainlist01="Archery/v_Archery_g02_c01.avi 5\n")
    with pytest.raises(ValueError, match="has the label 5"):
        ucf101(videos, lists)


@pytest.mark.parametrize("line", ["v_Archery_g02_c01.avi 1", "Archery/v.avi one", "Archery/v.avi 1 2"])
def test_lines_of_another_form_are_refused(line: str, tmp_path: Path) -> None:
    lists = write_lists(tmp_path, trainlist01=f"Archery/v_Archery_g02_c01.avi 1\n{line}\n")
    with pytest.raises(ValueError, match=rf"trainlist01\.txt: the line '{line}' is not CLASS/CLIP\.avi"):
        ucf101(tmp_path, lists)


def test_a_video_for_training_and_test_is_refused(tmp_path: Path) -> None:
    name = "Archery/v_Archery_g02_c01.avi"
    videos = touch(tmp_path / "videos", name)
    lists = write_lists(tmp_path / "lists", classInd="1 Archery\n", trainlist01=f"{name} 1\n", testlist02=f"{name}\n")
    assert ucf101(videos, lists).entries[0].subsets == ("train", "test")
    write_lists(lists, testlist01=f"{name}\n")
    with pytest.raises(ValueError, match=f"fold 1 lists {name} for both"):
        ucf101(videos, lists)


@pytest.mark.parametrize("numbered", ["1 Archery\n3 Biking\n", "1 Archery\n1 Biking\n", "1 Archery\nBiking\n", "one Archery\n2 Biking\n"])
def test_classes_without_a_full_count_are_refused(numbered: str, tmp_path: Path) -> None:
    videos = touch(tmp_path / "videos", "Archery/v_Archery_g02_c01.avi")
    lists = write_lists(tmp_path / "lists", classInd=numbered, trainlist01="Archery/v_Archery_g02_c01.avi 1\n")
    with pytest.raises(ValueError, match=r"classInd\.txt must hold .* numbered from 1 to 2"):
        ucf101(videos, lists)


def test_wrong_places_are_named(tmp_path: Path) -> None:
    lists = write_lists(tmp_path / "lists", trainlist01="Archery/v_Archery_g02_c01.avi 1\n")
    with pytest.raises(FileNotFoundError, match="None of the 1 listed videos"):
        ucf101(tmp_path, lists)
    with pytest.raises(FileNotFoundError, match=r"trainlist01\.txt"):
        ucf101(tmp_path, tmp_path)
    with pytest.raises(FileNotFoundError, match="no videos in class folders"):
        folder(tmp_path)


def test_class_folders(tmp_path: Path) -> None:
    listing = folder(touch(tmp_path, "JumpRope/b.mp4", "JumpingJack/a.AVI", "JumpingJack/notes.txt", ".cache/x.mp4"))
    assert listing.classes == ("JumpingJack", "JumpRope")
    assert [(entry.name, entry.label, entry.group, entry.subsets) for entry in listing.entries] == [
        ("JumpRope/b.mp4", 1, "JumpRope/b", ("train",)),
        ("JumpingJack/a.AVI", 0, "JumpingJack/a", ("train",)),
    ]


def test_folders_with_subsets(tmp_path: Path) -> None:
    names = ("Train/x/1.mp4", "validation/x/2.mp4", "validation/X/2.mp4", "test/x/1.mp4", "other/4.mp4", "val/empty.txt")
    listing = folder(touch(tmp_path, *names, "readme.txt", ".cache/x/5.mp4"))
    assert [(entry.name, entry.label, entry.group, entry.subsets) for entry in listing.entries] == [
        ("Train/x/1.mp4", 1, "Train/x/1", ("train",)),
        ("validation/X/2.mp4", 0, "validation/X/2", ("val",)),
        ("validation/x/2.mp4", 1, "validation/x/2", ("val",)),
        ("test/x/1.mp4", 1, "test/x/1", ("test",)),
    ]
    assert listing.remark == (
        "Folders beside train, val and test were left out: other. 1 classes have videos in val or test and none in train, the first is 'X'."
    )


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    listing = folder(touch(tmp_path, "train/1.mp4", "car/2.mp4", "test/3.mp4"))
    assert (listing.classes, {entry.subsets for entry in listing.entries}, listing.remark) == (("car", "test", "train"), {("train",)}, "")


def test_clips_of_ucf101_in_class_folders_keep_their_groups(tmp_path: Path) -> None:
    listing = folder(
        touch(tmp_path, "train/A/v_A_g01_c01.avi", "train/A/v_A_g01_c02.avi", "test/A/v_A_g01_c03.mp4", "test/B/v_A_g01_c3_x.avi")
    )
    assert [entry.group for entry in listing.entries] == ["A/g01", "A/g01", "A/g01", "test/B/v_A_g01_c3_x"]
    assert "Fold 1 divides 1 groups between train and val or test, the first is 'A/g01'" in listing.remark


def test_folders_of_frames_stand_for_videos_and_not_beside_them(tmp_path: Path) -> None:
    names = ("b/v1/00001.jpg", "b/v1/00002.jpg", "b/v2.mp4", "b/v2/00001.jpg", "A/v.1/1.PNG", "A/notes/readme.txt", "A/deep/v3/1.jpg")
    listing = folder(touch(tmp_path, *names))
    assert [(entry.name, entry.label, entry.group) for entry in listing.entries] == [
        ("A/v.1", 0, "A/v.1"),
        ("b/v1", 1, "b/v1"),
        ("b/v2.mp4", 1, "b/v2"),
    ]
    assert listing.remark == "1 folders of frames lie beside the video of their name and were left out."


def test_copies_of_ucf101_may_differ_in_suffix_and_case_or_be_frames(tmp_path: Path) -> None:
    names = [f"Archery/v_Archery_g0{number}_c01" for number in (1, 2, 3, 4)]
    videos = touch(tmp_path / "videos", f"{names[0].lower()}.avi", f"{names[1]}.mp4", f"{names[2]}/00001.jpg")
    lists = write_lists(tmp_path / "lists", trainlist01="".join(f"{name}.avi 1\n" for name in names))
    listing = ucf101(videos, lists)
    assert [entry.name for entry in listing.entries] == [f"{name}.avi" for name in names]
    expected = [f"{names[0].lower()}.avi", f"{names[1]}.mp4", names[2], f"{names[3]}.avi"]
    assert [entry.path.relative_to(videos).as_posix() for entry in listing.entries] == expected
    assert [entry.path.exists() for entry in listing.entries] == [True, True, True, False]
