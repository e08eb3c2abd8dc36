"""`objabn prepare`: decode every video once and pack it; killed at any moment, it continues."""

import shutil
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.errors import printable
from cli.places import DataOption, make_demo
from cli.processes import refuse_ranks
from cli.progress import progress_bar, size_text

if TYPE_CHECKING:
    from objabn.data.pack import PackReport
    from objabn.data.pack_shard import PackSettings
    from objabn.data.sources import Listing

DATASETS = "ucf101, hmdb51, ssv2, kinetics400, kinetics600, kinetics700, demo, a folder of class folders, or a CSV path,label,subset."
MOST_ABSENT_SHOWN = 20


class Store(StrEnum):
    """How frames are kept."""

    frames = "frames"
    video = "video"


class Codec(StrEnum):
    """How store `video` is coded."""

    vp9 = "vp9"
    h264 = "h264"


def prepare(
    dataset: Annotated[str, typer.Argument(help=DATASETS)],
    *,
    videos: Annotated[Path | None, typer.Option(help="Folder of the source videos.")] = None,
    annotations: Annotated[Path | None, typer.Option(help="Folder of the official lists, or a list.")] = None,
    store: Annotated[Store, typer.Option(help="A JPEG per frame, or short closed GOPs of a video codec.")] = Store.frames,
    codec: Annotated[Codec, typer.Option(help="Of store video; h264 needs a GPU to train through DALI.")] = Codec.vp9,
    quality: Annotated[int, typer.Option(help="JPEG quality, or video quality that looks alike.")] = 90,
    short_side: Annotated[int, typer.Option(help="Larger frames are reduced to it, smaller ones kept.")] = 320,
    gop: Annotated[int, typer.Option(help="Frames per closed GOP of store video.")] = 8,
    fps: Annotated[float, typer.Option(help="Frames per second of sources that are folders of frames.")] = 25.0,
    out: Annotated[Path | None, typer.Option(help="Folder of the packed dataset; otherwise DATA/NAME.")] = None,
    workers: Annotated[int, typer.Option(help="Processes; 0 is one per core.")] = 0,
    data: DataOption = Path("data"),
) -> None:
    """Pack a dataset: every listed video is decoded once, from start to end.

    Example: objabn prepare ucf101 --videos UCF-101 --annotations ucfTrainTestlist
    """
    from objabn.data.pack import PackSettings, pack

    refuse_ranks("prepare")
    if dataset == "demo":
        make_demo(out or data / "demo")
        return
    settings = PackSettings(store=store.value, codec=codec.value, quality=quality, short_side=short_side, gop=gop, folder_fps=fps)
    listing = find_listing(dataset, videos, annotations)
    folder = out or data / listing.name
    if not (folder / "manifest.json").is_file():
        announce(listing, folder, settings, workers)
    begin = time.monotonic()
    with progress_bar(f"Packing {listing.name}", unit="videos") as on_progress:
        report = pack(listing, folder, settings, workers=workers, on_progress=on_progress)
    summarise(report, folder, time.monotonic() - begin)


def find_listing(dataset: str, videos: Path | None, annotations: Path | None) -> "Listing":
    """Return what is to be packed: official lists by name, one's own list, or class folders."""
    from objabn.data.sources import OFFICIAL, csv_list, folder, official

    if dataset in OFFICIAL:
        if videos is None:
            raise ValueError(f"prepare {dataset} needs --videos, the folder of its videos.")
        return official(dataset, videos, annotations)
    if Path(dataset).suffix.lower() == ".csv":
        if annotations is not None:
            raise ValueError(f"{dataset} is a list itself; --annotations goes with the name of a dataset.")
        return csv_list(dataset, videos)
    if videos is None:
        if not Path(dataset).is_dir():
            raise FileNotFoundError(f"There is no folder {dataset!r}, and no dataset of that name is known. Possible are: {DATASETS}")
        if annotations is not None:
            raise ValueError(f"Lists and videos need a name: objabn prepare NAME --videos {dataset} --annotations {annotations}")
        return folder(dataset)
    if (official_name := dataset.lower().replace("-", "").replace("_", "")) in OFFICIAL:
        raise ValueError(f"{dataset} is not the name of official lists; write {official_name}, or another name for videos of your own.")
    if Path(dataset).name != dataset:
        raise ValueError(f"{dataset!r} is not possible as the name of a dataset with --videos; it must be a plain name.")
    return (folder(videos) if annotations is None else csv_list(annotations, videos))._replace(name=dataset)


def announce(listing: "Listing", folder: Path, settings: "PackSettings", workers: int) -> None:
    """Print the expected size and how many files are absent; too little space on the disk is a RuntimeError."""
    from objabn.data.pack import expected_bytes
    from objabn.files import is_there

    written = sum(path.stat().st_size for path in folder.glob("shard-*.safetensors"))
    expected = max(0, expected_bytes(listing, settings=settings, workers=workers) - written)
    nearest = next(place for place in (folder.resolve(), *folder.resolve().parents) if place.exists())
    free = shutil.disk_usage(nearest).free
    print(f"{len(listing.entries)} videos of {len(listing.classes)} classes; about {size_text(expected)} will be written to {folder}.")
    present = [entry for entry in listing.entries if is_there(entry.path)]
    if absent := len(listing.entries) - len(present):
        print(f"{absent} of the {len(listing.entries)} listed videos are not there and will be listed as failed.")
    if folders := sum(entry.path.is_dir() for entry in present):
        print(f"{folders} are folders of frames, taken as {settings.folder_fps:g} frames a second (--fps).")
    if listing.remark:
        print(printable(listing.remark))
    if expected > free:
        raise RuntimeError(f"{folder} has {size_text(free)} free, about {size_text(expected)} are needed; choose another --out.")


def summarise(report: "PackReport", folder: Path, seconds: float) -> None:
    """Print what was packed, and every failed video with its reason."""
    end = "it was finished already" if report.was_finished else f"{seconds:.0f} s"
    print(f"{folder} holds {report.videos} videos, {report.frames} frames, {size_text(report.bytes)} ({end}).")
    if not report.failed:
        return
    print(f"{len(report.failed)} videos could not be packed and were left out:")
    absent = [failure for failure in report.failed if failure["reason"] == "the file is absent"]
    unnamed = {failure["video"] for failure in absent[MOST_ABSENT_SHOWN:]}
    for failure in report.failed:
        if failure["video"] not in unnamed:
            print(printable(f"  {failure['video']}: {failure['reason']}"))
    if unnamed:
        print(f"  and {len(unnamed)} more that are absent; {folder / 'manifest.json'} names all.")
    print(f"To try them again once they are in order, delete {folder} and run the same command.")
