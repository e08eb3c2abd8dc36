"""The boxes of UCF101-24 in its three forms: MATLAB's file, the pickle, and JSON for these or one's own."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from objabn.data.array_pickle import read_array_pickle
from objabn.data.boxes import Boxes, Tube


def read_boxes(path: str | Path) -> Boxes:
    """Read boxes: `finalAnnots.mat`, `pyannot.pkl` with or without class names (Singh et al. 2017), or JSON of the same make.

    All count x and y in pixels of a 320 x 240 frame; the right edge is x + w and the bottom edge y + h, as every published protocol
    takes them. Raises FileNotFoundError, ValueError for a file of another kind, and RuntimeError where SciPy is absent for `.mat`.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"There is no file of boxes {file}.")
    if file.suffix not in READERS:
        raise ValueError(f"{file} cannot hold boxes; it must end in {', '.join(READERS)}.")
    try:
        return READERS[file.suffix](file)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"{file} does not have the fields of UCF101-24's boxes ({error!r}); docs/evaluation.md shows them.") from None


def read_json(path: Path) -> Boxes:
    """Read {video: {"tubes": [{"sf", "ef", "boxes_xywh"}]}}, with the first frame from 0 and the end behind the last."""
    try:
        videos = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not JSON: {error}.") from None
    return {name: tuple(tube(name, t["sf"], t["ef"], t["boxes_xywh"]) for t in video["tubes"]) for name, video in videos.items()}


def read_pickle(path: Path) -> Boxes:
    """Read {video: {"annotations": [{"sf", "ef", "boxes"}]}}, with the first frame from 0 and the end behind the last."""
    content = read_array_pickle(path)
    videos = content["db"] if set(content) == {"classes", "db"} else content
    return {name: tuple(tube(name, t["sf"], t["ef"], t["boxes"]) for t in video["annotations"]) for name, video in videos.items()}


def read_matlab(path: Path) -> Boxes:
    """Read the struct `annot` of name and tubes, whose frames count from 1 and include the last."""
    try:
        from scipy.io import loadmat  # noqa: PLC0415  (an extra)
    except ImportError:
        raise RuntimeError(f"{path.name} needs SciPy, which is not installed: pip install 'objabn[boxes]', or take pyannot.pkl.") from None
    try:
        videos = loadmat(path, simplify_cells=True)["annot"]
    except (ValueError, NotImplementedError) as error:
        raise ValueError(f"{path} is not a file of MATLAB 5 to 7.2: {error}.") from None
    return {
        video["name"]: tuple(tube(video["name"], t["sf"] - 1, t["ef"], t["boxes"]) for t in listed(video["tubes"]))
        for video in listed(videos)
    }


def listed(value: Any) -> Iterable[Any]:
    """Return the members of a struct array, of which SciPy shows one alone as itself."""
    return [value] if isinstance(value, dict) else value


def tube(name: str, first_frame: Any, end_frame: Any, boxes_xywh: Any) -> Tube:
    """Return one tube; a ValueError where its boxes are not as many as its frames."""
    # The files store the smallest integers that hold w and h, in which x + w overflows in 1445 of the 4458 tubes.
    boxes: NDArray[np.float64] = np.atleast_2d(np.asarray(boxes_xywh, np.float64))
    first, frames = int(first_frame), int(end_frame) - int(first_frame)
    if boxes.shape != (frames, 4) or first < 0:
        raise ValueError(f"{name} has boxes of shape {boxes.shape} from frame {first}; it must be {(frames, 4)}, four numbers a frame.")
    return Tube(first, np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1))


READERS: dict[str, Callable[[Path], Boxes]] = {".mat": read_matlab, ".pkl": read_pickle, ".json": read_json}
