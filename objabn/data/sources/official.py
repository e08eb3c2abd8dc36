"""Data sets by name: which function reads their lists, and where those lists are usually kept."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from objabn.data.sources.hmdb51_lists import hmdb51
from objabn.data.sources.kinetics_lists import kinetics
from objabn.data.sources.listing import Listing
from objabn.data.sources.ssv2_lists import ssv2
from objabn.data.sources.ucf101_lists import ucf101


class Official(NamedTuple):
    """A data set with official lists."""

    list_videos: Callable[[Path, Path], Listing]
    """From the folder of videos and that of the lists."""
    lists_folder: str
    """Usual name of the folder of lists."""
    files: tuple[str, ...]
    """Patterns, one of which every folder of its lists fits; the first names an example."""


KINETICS_FILES = ("train.csv", "val*.csv", "test.csv", "kinetics*_list_*.txt", "kinetics*_*.csv")
OFFICIAL = {
    "ucf101": Official(ucf101, "ucfTrainTestlist", ("trainlist01.txt", "trainlist0?.txt", "testlist0?.txt")),
    "hmdb51": Official(hmdb51, "testTrainMulti_7030_splits", ("brush_hair_test_split1.txt", "*_test_split?.txt")),
    "ssv2": Official(ssv2, "labels", ("labels.json", "something-something-v2-labels.json")),
    **{name: Official(partial(kinetics, name), "annotations", KINETICS_FILES) for name in ("kinetics400", "kinetics600", "kinetics700")},
}


def official(name: str, videos: str | Path, annotations: str | Path | None = None) -> Listing:
    """List a data set of `OFFICIAL` by its name; its lists are looked for inside and beside the videos where `annotations` is None."""
    videos = Path(videos)
    if name not in OFFICIAL:
        raise ValueError(f"There is no data set {name!r}; choose one of {', '.join(OFFICIAL)}.")
    if not videos.is_dir():
        raise FileNotFoundError(f"{videos} is not a folder; give the folder of the videos of {name}.")
    return OFFICIAL[name].list_videos(videos, find_annotations(name, videos) if annotations is None else Path(annotations))


def find_annotations(name: str, videos: Path) -> Path:
    """Return the folder of a data set's lists inside or beside its videos."""
    usual, beside = OFFICIAL[name].lists_folder, videos.resolve().parent
    for place in (videos / usual, beside / usual, videos, beside):
        if any(path.is_file() for pattern in OFFICIAL[name].files for path in place.glob(pattern)):
            return place
    example = OFFICIAL[name].files[0]
    raise FileNotFoundError(f"The lists of {name} are not inside or beside {videos}; give --annotations, the folder with {example}.")
