"""The three forms of UCF101-24's boxes are one and the same, overflow is none, and no pickle runs anything."""

import codecs
import json
import os
import pickle
import struct
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from objabn.data.array_pickle import read_array_pickle
from objabn.data.box_files import read_boxes
from objabn.data.boxes import Boxes

LARGE = np.array([[200, 100, 100, 90], [201, 101, 100, 90]], np.uint8)
"""x + w is 300, which no uint8 holds."""
ANNOTATIONS = {"Biking/v_Biking_g01_c01": [(3, 5, LARGE), (0, 1, LARGE[:1])], "Diving/v_Diving_g01_c01": [(7, 8, LARGE[1:])]}


def as_json() -> Any:
    return {
        name: {"numf": 9, "label": 2, "tubes": [{"label": 2, "sf": sf, "ef": ef, "boxes_xywh": boxes.tolist()} for sf, ef, boxes in tubes]}
        for name, tubes in ANNOTATIONS.items()
    }


def as_pickle() -> Any:
    return {
        name: {
            "numf": np.uint8(9),
            "label": 2,
            "annotations": [{"label": 2, "sf": np.uint8(sf), "ef": np.int64(ef), "boxes": boxes} for sf, ef, boxes in tubes],
        }
        for name, tubes in ANNOTATIONS.items()
    }


class Python2Pickler(pickle._Pickler):
    """Writes text and bytes alike as the `str` of Python 2, and NumPy by its old name."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_python2_str(self, value: Any) -> None:
        data = value if isinstance(value, bytes) else value.encode("latin1")
        self.write(pickle.BINSTRING + struct.pack("<i", len(data)) + data)
        self.memoize(value)

    def save_global(self, value: Any, name: str | None = None) -> None:
        module = value.__module__.replace("numpy._core", "numpy.core")
        self.write(pickle.GLOBAL + f"{module}\n{value.__qualname__}\n".encode())
        self.memoize(value)

    dispatch[str] = dispatch[bytes] = save_python2_str
    dispatch[type] = save_global
    dispatch[type(as_json)] = save_global


def same(found: Boxes, expected: Boxes) -> bool:
    return found.keys() == expected.keys() and all(
        len(found[name]) == len(expected[name])
        and all(
            a.first_frame == b.first_frame and np.array_equal(a.boxes, b.boxes) for a, b in zip(found[name], expected[name], strict=True)
        )
        for name in expected
    )


@pytest.fixture
def from_json(tmp_path: Path) -> Boxes:
    (tmp_path / "boxes.json").write_text(json.dumps(as_json()))
    return read_boxes(tmp_path / "boxes.json")


def test_json_by_hand(from_json: Boxes) -> None:
    first, second = from_json["Biking/v_Biking_g01_c01"]
    assert (first.first_frame, second.first_frame) == (3, 0)
    assert first.boxes.tolist() == [[200, 100, 300, 190], [201, 101, 301, 191]]
    assert first.boxes.dtype == np.float64


@pytest.mark.parametrize("protocol", [2, 3, 4, 5, "python 2"])
@pytest.mark.parametrize("has_class_names", [False, True])
def test_pickles_of_any_age(tmp_path: Path, from_json: Boxes, *, protocol: Any, has_class_names: bool) -> None:
    content = {"classes": ["Basketball", "Biking"], "db": as_pickle()} if has_class_names else as_pickle()
    path = tmp_path / "pyannot.pkl"
    with path.open("wb") as file:
        if protocol == "python 2":
            Python2Pickler(file, 2).dump(content)
        else:
            pickle.dump(content, file, protocol)
    assert same(read_boxes(path), from_json)


def test_arrays_of_every_layout(tmp_path: Path) -> None:
    arrays = [
        np.arange(6, dtype=">u2").reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.zeros((0, 4), np.int32),
        np.array(7, np.uint8),
    ]
    for protocol in (3, 5):
        (tmp_path / "arrays.pkl").write_bytes(pickle.dumps(arrays, protocol))
        for found, expected in zip(read_array_pickle(tmp_path / "arrays.pkl"), arrays, strict=True):
            assert (found.dtype, found.shape, found.tolist()) == (expected.dtype, expected.shape, expected.tolist())


class Shell:
    """Runs a command when it is unpickled."""

    def __init__(self, call: Any, *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call, self.arguments


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_runs_nothing(tmp_path: Path, protocol: int) -> None:
    trap, path = tmp_path / "was here", tmp_path / "pyannot.pkl"
    for evil in (Shell(os.system, f"touch '{trap}'"), Shell(codecs.open, str(trap), "w"), Shell(np.load, str(trap)), np.array([Path()])):
        path.write_bytes(pickle.dumps({"Biking/v_Biking_g01_c01": evil}, protocol))
        with pytest.raises(ValueError, match=r"is not a pickle of plain arrays: it .*; such a file is not opened"):
            read_boxes(path)
    assert not trap.exists()
    # The old text form of a call, and a name of a name.
    for text in (b"cos\nsystem\n(S'touch x'\ntR.", b"\x80\x04\x8c\x05numpy\x8c\x0d_core.os.name\x93."):
        path.write_bytes(text)
        with pytest.raises(ValueError, match="it names "):
            read_boxes(path)


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="There is no file of boxes"):
        read_boxes(tmp_path / "none.mat")
    for name, content, said in [
        ("boxes.txt", b"", r"it must end in \.mat, \.pkl, \.json"),
        ("boxes.json", b"{", "is not JSON"),
        ("boxes.json", b"[1, 2]", "does not have the fields"),
        ("boxes.json", b'{"a": {"tubes": [{"sf": 0, "ef": 1}]}}', "does not have the fields .*'boxes_xywh'"),
        ("boxes.json", b'{"a": {"tubes": [{"sf": 0, "ef": 2, "boxes_xywh": [[1, 2, 3, 4]]}]}}', r"a has boxes of shape \(1, 4\).*\(2, 4\)"),
        ("boxes.pkl", b"not a pickle", "is not a pickle of plain arrays"),
        ("boxes.pkl", pickle.dumps(np.zeros(9), 5)[:-20], "is not a pickle of plain arrays"),
        ("boxes.pkl", pickle.dumps({"a": 1}), "does not have the fields"),
    ]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=said):
            read_boxes(tmp_path / name)


def test_matlab_without_scipy_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    (tmp_path / "finalAnnots.mat").write_bytes(b"")
    with pytest.raises(RuntimeError, match=r"needs SciPy, which is not installed: pip install 'objabn\[boxes\]'"):
        read_boxes(tmp_path / "finalAnnots.mat")


def test_the_real_files_agree(shared_data: Path) -> None:
    pytest.importorskip("scipy")
    folder = shared_data / "ucf101" / "boxes"
    matlab, own = read_boxes(folder / "finalAnnots.mat"), read_boxes(folder / "boxes_for_these_clips.json")
    assert (len(matlab), sum(map(len, matlab.values()))) == (3194, 4458)
    assert same({name: matlab[name] for name in own}, own)
    tubes = [tube for video in matlab.values() for tube in video]
    assert min(tube.first_frame for tube in tubes) == 0
    edges = np.concatenate([tube.boxes for tube in tubes])
    assert (edges.min(0).tolist(), edges.max(0).tolist()) == ([1, 1, 16, 19], [309, 229, 320, 240])


def test_a_matlab_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    io = pytest.importorskip("scipy.io")
    (tmp_path / "text.mat").write_bytes(b"nothing of MATLAB's at all, but long enough to have a header" * 5)
    with pytest.raises(ValueError, match="is not a file of MATLAB"):
        read_boxes(tmp_path / "text.mat")
    io.savemat(tmp_path / "other.mat", {"values": np.zeros(3)})
    with pytest.raises(ValueError, match="does not have the fields"):
        read_boxes(tmp_path / "other.mat")


def test_matlab_by_hand(tmp_path: Path, from_json: Boxes) -> None:
    io = pytest.importorskip("scipy.io")
    tube_type = [(name, "O") for name in ("ef", "sf", "class", "boxes")]
    videos = []
    for name, tubes in ANNOTATIONS.items():
        # Frames count from 1 and the last belongs to the tube.
        rows = [(np.uint8(ef), np.uint8(sf + 1), 3, boxes) for sf, ef, boxes in tubes]
        videos.append((9, name, np.array([rows], dtype=tube_type)))
    annot = np.array([videos], dtype=[(name, "O") for name in ("num_imgs", "name", "tubes")])
    io.savemat(tmp_path / "finalAnnots.mat", {"annot": annot})
    assert same(read_boxes(tmp_path / "finalAnnots.mat"), from_json)
