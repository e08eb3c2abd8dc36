"""Making masks: from the packed frames by any segmenter, or from the user's own files."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from objabn.data.dataset import PackedDataset
from objabn.data.decode import decode_video
from objabn.data.masks import VideoMasks, mask_fingerprint, write_mask_shard
from objabn.data.own_masks import files_digest, find_own_masks, read_own_masks
from objabn.data.progress import Counter, OnProgress
from objabn.data.shards import read_columns, shard_path
from objabn.files import claimed, discard_unfinished, write_json

Segmenter = Callable[[NDArray[np.uint8]], VideoMasks]
"""(T, Y, X, 3) RGB frames to their masks and counts."""


class MaskReport(NamedTuple):
    """What a finished mask store holds."""

    frames: int
    found: int
    """Frames in which something was found."""
    bytes: int


def segment(
    dataset: PackedDataset,
    segmenter: Segmenter,
    *,
    description: Mapping[str, Any],
    batch: int = 16,
    part: tuple[int, int] = (0, 1),
    on_progress: OnProgress | None = None,
) -> MaskReport | None:
    """Make masks of all packed frames, `batch` frames at a time; killed at any moment, it continues.

    `description` (segmenter, weights, thresholds) is stored with them. `part` = (rank, world) takes every world-th shard;
    whoever finishes the last shard closes the store, the others get None.
    """

    def masks_of(video: int) -> Iterator[VideoMasks]:
        return map(segmenter, decode_video(dataset, video, frames_at_once=batch))

    return write_masks(dataset, masks_of, description=description, part=part, on_progress=on_progress)


def import_masks(dataset: PackedDataset, folder: Path, *, on_progress: OnProgress | None = None) -> MaskReport | None:
    """Take masks from `folder`: per video a folder of PNGs (one per frame, above 0 is object) or an NPZ with `mask` (T, Y, X).

    The masks of a video are found by its name without suffix, or by its stem where no other video has that. Masks of another
    size are resized to the packed frames by nearest neighbour; another number of frames is a ValueError that names the video.
    """
    places = find_own_masks(folder, [dataset.index.name(row) for row in range(len(dataset))])

    def masks_of(video: int) -> Iterator[VideoMasks]:
        shape = (int(dataset.index.height[video]), int(dataset.index.width[video]))
        mask = read_own_masks(places[video], dataset.index.name(video), frames=int(dataset.index.frames[video]), shape=shape)
        yield VideoMasks(mask, np.asarray(mask.any((1, 2)), np.uint16))

    description = {"segmenter": f"own masks from {folder.resolve().name}", "files_sha256": files_digest(folder, places)}
    return write_masks(dataset, masks_of, description=description, on_progress=on_progress)


def write_masks(
    dataset: PackedDataset,
    masks_of: Callable[[int], Iterator[VideoMasks]],
    *,
    description: Mapping[str, Any],
    part: tuple[int, int] = (0, 1),
    on_progress: OnProgress | None = None,
) -> MaskReport | None:
    """Write the mask shards that are missing, then the manifest, and return what the store holds."""
    folder = dataset.root / "masks"
    mark = mask_fingerprint(dataset.manifest["fingerprint"], dict(description))
    rank, world = part
    is_mine = dataset.index.shard % world == rank
    counter = Counter(on_progress, int(dataset.index.frames[is_mine].sum()))
    with claimed(folder, part=f"-{rank}-of-{world}"):
        for number in range(rank, dataset.manifest["shards"], world):
            path = shard_path(folder, number)
            rows = np.flatnonzero(dataset.index.shard == number)
            if is_finished(path, mark):
                counter.add(int(dataset.index.frames[rows].sum()))
            else:
                discard_unfinished(folder, path.name)
                write_mask_shard(path, counted(masks_of, rows, counter), mark)
        return close_store(dataset, folder, dict(description), mark)


def counted(masks_of: Callable[[int], Iterator[VideoMasks]], rows: NDArray[np.int64], counter: Counter) -> Iterator[VideoMasks]:
    """Yield the masks of some videos one after another, counting frames."""
    for row in rows.tolist():
        for piece in masks_of(row):
            yield piece
            counter.add(len(piece.mask))


def is_finished(path: Path, mark: str) -> bool:
    """Tell whether a mask shard is already there; one made in another way is a ValueError."""
    if not path.is_file():
        return False
    if read_columns(path, "masks").metadata.get("fingerprint") != mark:
        raise ValueError(
            f"{path.parent} holds masks made with another segmenter, other settings, from other mask files or of another packing; "
            "delete that folder and run `objabn masks` again."
        )
    return True


def close_store(dataset: PackedDataset, folder: Path, description: dict[str, Any], mark: str) -> MaskReport | None:
    """Write the manifest once every shard is there, all made alike; None while others are still at work."""
    paths = [shard_path(folder, number) for number in range(dataset.manifest["shards"])]
    if not all(is_finished(path, mark) for path in paths):
        return None
    counts = [read_columns(path, "masks").arrays["counts"] for path in paths]
    for number, count in enumerate(counts):
        frames = int(dataset.index.frames[dataset.index.shard == number].sum())
        if len(count) != frames:
            raise RuntimeError(
                f"{paths[number]} holds {len(count)} masks for {frames} frames; a segmenter must return one per frame: delete {folder}."
            )
    report = MaskReport(sum(map(len, counts)), sum(int((count > 0).sum()) for count in counts), sum(path.stat().st_size for path in paths))
    manifest = {**description, **report._asdict(), "dataset_fingerprint": dataset.manifest["fingerprint"], "fingerprint": mark}
    write_json(folder / "manifest.json", manifest)
    return report
