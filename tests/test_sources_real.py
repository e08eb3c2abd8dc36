"""Real clips of every data set through listing and packing: as many frames as OpenCV counts, and the right ones."""

import json
from pathlib import Path

import numpy as np
import pytest
from lists import write_texts
from numpy.typing import NDArray
from test_real_exactness import read_with_opencv

from objabn.data.dataset import PackedDataset, open_dataset
from objabn.data.frame_folder import open_source
from objabn.data.pack import pack
from objabn.data.pack_shard import PackSettings
from objabn.data.sources import Listing, csv_list, folder, hmdb51, kinetics, ssv2

LARGEST_DIFFERENCE = 1.0
"""Grey levels, mean over a frame as it goes to the encoder."""


def pack_present(listing: Listing, root: Path, **settings: float) -> PackedDataset:
    """Pack what is there of a listing, small, so that it is quick; its frames are counted and three of each source compared with OpenCV."""
    present = tuple(entry for entry in listing.entries if entry.path.exists())
    report = pack(listing._replace(entries=present), root / "packed", PackSettings(short_side=64, **settings), workers=2)
    assert (report.videos, report.failed) == (len(present), [])
    dataset = open_dataset(root / "packed")
    for row, entry in enumerate(present):
        original = read_frames_with_opencv(entry.path)
        assert dataset.index.frames[row] == len(original), entry.name
        with open_source(entry.path, folder_fps=25) as source:
            ours = list(source.rgb_frames())
        for frame in (0, len(ours) // 2, len(ours) - 1):
            assert np.abs(ours[frame].astype(int) - original[frame]).mean() <= LARGEST_DIFFERENCE, (entry.name, frame)
    return dataset


def read_frames_with_opencv(path: Path) -> NDArray[np.uint8]:
    cv2 = pytest.importorskip("cv2")
    return np.stack([cv2.imread(str(place))[..., ::-1] for place in sorted(path.iterdir())]) if path.is_dir() else read_with_opencv(path)


def test_hmdb51_by_its_official_lists(shared_data: Path, tmp_path: Path) -> None:
    name = "Turnk_r_Pippi_Michel_cartwheel_f_cm_np2_le_med_6.avi"
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "wave").symlink_to(shared_data / "hmdb51/videos/wave")
    (tmp_path / "videos" / name).symlink_to(shared_data / f"hmdb51/videos/cartwheel/hmdb51_{name}")
    dataset = pack_present(hmdb51(tmp_path / "videos", shared_data / "hmdb51/testTrainMulti_7030_splits"), tmp_path)
    assert [dataset.classes[label] for label in dataset.index.label] == ["cartwheel", "wave", "wave", "wave"]
    assert dataset.index.fps.tolist() == [30, 30, 30, 30]
    # SchoolRules is unused in folds 1 and 2.
    assert [[len(dataset.index.rows(subset, fold=fold)) for subset in ("train", "test")] for fold in (1, 2, 3)] == [[2, 1], [2, 1], [3, 1]]


def test_ssv2_by_its_official_labels_and_by_a_list_of_templates(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "ssv2"
    dataset = pack_present(ssv2(source / "videos", source / "labels"), tmp_path / "official")
    assert (dataset.index.name(0), dataset.index.subsets()) == ("166766", ("test",))
    names = sorted(path.name for path in (source / "videos").glob("*__*.webm"))
    rows = [f"{name},{name.partition('__')[0].replace('_', ' ')},train\n" for name in names]
    write_texts(tmp_path, {"templates.csv": "path,label,subset\n" + "".join(rows)})
    dataset = pack_present(csv_list(tmp_path / "templates.csv", source / "videos"), tmp_path)
    assert dataset.classes == ("Closing something", "Moving something away from the camera")
    assert dataset.index.label.tolist() == [0, 0, 1]
    assert dataset.index.fps.tolist() == [12, 12, 12]


@pytest.mark.slow
def test_kinetics_by_a_csv_of_its_publishers(shared_data: Path, tmp_path: Path) -> None:
    source, lists = shared_data / "kinetics400", tmp_path / "annotations"
    rows = (
        "using segway,SOX5yA1l24A,3,13,val\nusing segway,WUzgd7C1pWA,0,10,val\nusing segway,YABnJL_bDzw,5,15,val\n,9r8wpMS2iEk,48,58,val\n"
    )
    write_texts(lists, {"val.csv": f"label,youtube_id,time_start,time_end,split\n{rows}"})
    (lists / "classnames.json").write_text((source / "kinetics_id_to_classname.json").read_text())
    listing = kinetics("kinetics400", source / "videos", lists)
    assert "1 clips have no label" in listing.remark
    dataset = pack_present(listing, tmp_path)
    number = int(next(key for key, name in json.loads((lists / "classnames.json").read_text()).items() if name == "using segway"))
    assert dataset.index.label.tolist() == [number] * 3
    assert len(dataset.classes) == 400


def test_class_folders_of_h264(shared_data: Path, tmp_path: Path) -> None:
    source = folder(shared_data / "ucf101" / "h264")
    assert len(source.entries) == 25
    dataset = pack_present(source._replace(entries=source.entries[::6]), tmp_path)
    assert dataset.classes == ("CliffDiving", "HandstandPushups", "Knitting", "PlayingPiano", "Skijet")


def test_a_real_folder_of_frames(shared_data: Path, tmp_path: Path) -> None:
    (tmp_path / "videos" / "driving").mkdir(parents=True)
    (tmp_path / "videos" / "driving" / "car-shadow").symlink_to(shared_data / "davis/car-shadow/frames")
    dataset = pack_present(folder(tmp_path / "videos"), tmp_path, folder_fps=24)
    assert (dataset.index.name(0), int(dataset.index.frames[0]), float(dataset.index.fps[0])) == ("driving/car-shadow", 40, 24)
