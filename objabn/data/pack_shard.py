"""One shard of a packed dataset: the unit of work of a process, written whole or not at all."""

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from objabn.config import check
from objabn.data.encode import Codec, encode_gops, encode_jpeg
from objabn.data.frame_folder import FrameFolder, open_source
from objabn.data.pack_workers import Lost
from objabn.data.shards import FORMAT, checksums, read_columns, running_sum, write_columns
from objabn.data.sources import Entry, Listing
from objabn.data.video import SourceVideo, UnreadableVideoError

Store = Literal["frames", "video"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PackSettings:
    """How videos are packed."""

    store: Store = "frames"
    """A JPEG per frame, or closed GOPs of a video codec."""
    codec: Codec = "vp9"
    """Codec of store `video`."""
    quality: int = 90
    """JPEG quality; the video codecs are set to look alike."""
    short_side: int = 320
    """Frames with a larger short side are reduced to it."""
    gop: int = 8
    """Frames per closed GOP of store `video`."""
    folder_fps: float = 25.0
    """Frames per second of sources that are folders of frames, which do not tell it."""

    def __post_init__(self) -> None:
        """Refuse what cannot be encoded."""
        check("store", self.store, self.store in ("frames", "video"), "frames or video")
        check("codec", self.codec, self.codec in ("vp9", "h264"), "vp9 or h264")
        check("quality", self.quality, 60 <= self.quality <= 100, "between 60 and 100")
        check("short_side", self.short_side, self.short_side >= 16, "at least 16 pixels")
        check("gop", self.gop, 1 <= self.gop <= 250, "between 1 and 250 frames")
        check("folder_fps", self.folder_fps, 1 <= self.folder_fps <= 1000, "between 1 and 1000 frames per second")

    @property
    def relevant(self) -> dict[str, Any]:
        """The settings that change the bytes of this store."""
        unused = ("codec", "gop") if self.store == "frames" else ()
        return {name: value for name, value in asdict(self).items() if name not in unused}


class ShardJob(NamedTuple):
    """What a process needs to know to write one shard."""

    path: Path
    entries: tuple[Entry, ...]
    settings: PackSettings
    fingerprint: str


class EncodedVideo(NamedTuple):
    """One video ready for its shard."""

    chunks: list[bytes]
    """A JPEG per frame, or the init segment and one piece per GOP."""
    frames: int
    height: int
    width: int
    fps: float


def fingerprint(listing: Listing, settings: PackSettings) -> str:
    """Return what ties a shard to one listing and one way of packing; the place of the sources does not matter."""
    lines = [(entry.name, entry.label, entry.group, entry.subsets) for entry in listing.entries]
    content = json.dumps([FORMAT, settings.relevant, listing.classes, lines], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def encode_entry(entry: Entry, on_frame: Callable[[], None], settings: PackSettings) -> EncodedVideo | Lost:
    """Return an entry of a listing encoded, or why it cannot be."""
    try:
        return encode_video(entry.path, settings, on_frame)
    except UnreadableVideoError as reason:
        return Lost(str(reason))


def encode_video(path: Path, settings: PackSettings, on_frame: Callable[[], None] = lambda: None) -> EncodedVideo:
    """Decode one source from start to end and encode it; anything wrong with it is an UnreadableVideoError."""
    with open_source(path, folder_fps=settings.folder_fps) as video:
        is_video = settings.store == "video"
        pictures = (video.yuv_frames if is_video else video.rgb_frames)(short_side=settings.short_side)
        first = next(pictures)
        height, width = first.shape[0] * 2 // 3 if is_video else first.shape[0], first.shape[1]
        if min(height, width) < 16:
            raise UnreadableVideoError(f"its frames of {width} x {height} pixels are too small; at least 16 are needed")
        chunks = encode_chunks(same_size(itertools.chain([first], pictures), on_frame), settings, video)
        return EncodedVideo(chunks, video.decoded, height, width, float(video.fps))


def encode_chunks(pictures: Iterator[NDArray[np.uint8]], settings: PackSettings, video: SourceVideo | FrameFolder) -> list[bytes]:
    """Return the JPEGs of a video, or its init segment and GOPs."""
    if settings.store == "frames":
        return [encode_jpeg(picture, settings.quality) for picture in pictures]
    chunks = encode_gops(pictures, fps=video.fps, codec=settings.codec, quality=settings.quality, gop=settings.gop)
    expected = -(-video.decoded // settings.gop)
    if len(chunks) - 1 != expected:
        raise UnreadableVideoError(f"the encoder made {len(chunks) - 1} GOPs of its {video.decoded} frames instead of {expected}")
    return chunks


def same_size(pictures: Iterator[NDArray[np.uint8]], on_frame: Callable[[], None]) -> Iterator[NDArray[np.uint8]]:
    """Pass frames on; a change of size in mid-stream is an UnreadableVideoError."""
    shape: tuple[int, ...] | None = None
    for number, picture in enumerate(pictures):
        shape = shape or picture.shape
        if picture.shape != shape:
            raise UnreadableVideoError(f"the size of its frames changes at frame {number}")
        yield picture
        on_frame()


def write_shard(job: ShardJob, outcomes: Sequence[EncodedVideo | Lost]) -> None:
    """Write what became of the videos of a shard; those that could not be encoded are listed in its header with the reason."""
    named = list(zip((entry.name for entry in job.entries), outcomes, strict=True))
    packed = [(name, video) for name, video in named if isinstance(video, EncodedVideo)]
    failed = [{"video": name, "reason": lost.reason} for name, lost in named if isinstance(lost, Lost)]
    chunks = [chunk for _, video in packed for chunk in video.chunks]
    columns: dict[str, NDArray[Any]] = {
        "offsets": running_sum([len(chunk) for chunk in chunks]),
        "checksums": checksums(chunks),
        "first_chunk": running_sum([len(video.chunks) for _, video in packed]),
    }
    rows = [{"name": name, **{field: getattr(video, field) for field in video._fields[1:]}} for name, video in packed]
    metadata = {"fingerprint": job.fingerprint, "settings": json.dumps(job.settings.relevant), "rows": json.dumps(rows)}
    write_columns(job.path, columns, metadata={**metadata, "failed": json.dumps(failed)}, chunks=chunks)


def is_finished(job: ShardJob) -> bool:
    """Tell whether a shard is already there; one packed in another way is a ValueError."""
    if not job.path.is_file():
        return False
    metadata = read_columns(job.path).metadata
    if metadata.get("fingerprint") == job.fingerprint:
        return True
    raise other_packing(job.path.parent, json.loads(metadata.get("settings", "{}")), job.settings)


def other_packing(folder: Path, before: dict[str, Any], settings: PackSettings) -> ValueError:
    """Return the error that a folder holds something packed otherwise, with what differs."""
    now = settings.relevant
    if not before:
        return ValueError(f"{folder} holds shards that objabn prepare did not write; choose another folder with --out.")
    differing = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    found = ", ".join(f"{name}={before.get(name)}" for name in differing)
    asked = ", ".join(f"{name}={now.get(name)}" for name in differing)
    difference = f"{found}, now asked is {asked}" if differing else "another list of videos or another version of objabn"
    return ValueError(f"{folder} was packed with {difference}; choose another folder with --out, or delete that one.")
