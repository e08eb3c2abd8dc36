"""A packed dataset: the index, and the bytes of frames, clips and masks as slices of mapped shards."""

import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from objabn.data.damage import DamagedClipError
from objabn.data.fragments import join_fragments
from objabn.data.index import Index, load_index
from objabn.data.masks import MaskBits, MaskClip, MaskStore
from objabn.data.shards import FORMAT, Columns, mapped_shards, read_manifest, shard_path


class EncodedClip(NamedTuple):
    """A playable piece of one video."""

    data: NDArray[np.uint8]
    """Bytes of a fragmented MP4 that starts at time 0."""
    frames: NDArray[np.int32]
    """The frames asked for, counted from the first frame in `data`."""


class PackedDataset:
    """What `objabn prepare` made of a dataset; opening reads the index only, shards follow when asked for."""

    def __init__(self, root: Path, manifest: dict[str, Any], index: Index) -> None:
        self.root = root
        self.manifest = manifest
        self.index = index
        self.name: str = manifest["name"]
        self.classes: tuple[str, ...] = tuple(manifest["classes"])
        self.store: str = manifest["store"]
        self._shard_start = np.searchsorted(index.shard, np.arange(manifest["shards"]))
        self._open_shard = mapped_shards(root, "prepare", f"{manifest['packing']}-")
        self._masks = MaskStore.find(root / "masks", manifest["fingerprint"])

    def __len__(self) -> int:
        return len(self.index)

    def __reduce__(self) -> tuple[Any, ...]:
        return open_dataset, (self.root,)

    @property
    def has_masks(self) -> bool:
        """Whether `objabn masks` has finished for this dataset."""
        return self._masks is not None

    @property
    def fingerprints(self) -> tuple[str, str | None]:
        """What tells these packed frames from others, and the masks beside them, where there are any."""
        return self.manifest["fingerprint"], None if self._masks is None else self._masks.manifest["fingerprint"]

    def encoded_frames(self, video: int, frames: NDArray[np.int64]) -> list[NDArray[np.uint8]]:
        """Return the JPEG bytes of frames as views of the mapped shard; the store must be `frames`."""
        self._require_store("frames", "encoded_clip")
        shard = self._open_shard(int(self.index.shard[video]))
        chunks = self.index.first_frame[video] + self._checked(video, frames)
        pieces = slices(shard, chunks)
        self._refuse_damage(video, shard, chunks, pieces)
        return pieces

    def encoded_clip(self, video: int, frames: NDArray[np.int64]) -> EncodedClip:
        """Return the closed GOPs that hold `frames` as one MP4 that starts at 0; the store must be `video`."""
        self._require_store("video", "encoded_frames")
        number = int(self.index.shard[video])
        shard = self._open_shard(number)
        first_chunk = int(shard.arrays["first_chunk"][video - self._shard_start[number]])
        gop = int(self.manifest["gop"])
        needed, position = np.unique(self._checked(video, frames) // gop, return_inverse=True)
        # The j-th fragment of the video already carries the time that the j-th fragment of the clip must have.
        init, *timed = slices(shard, first_chunk + np.concatenate([[0], 1 + np.arange(len(needed))]))
        fragments = slices(shard, first_chunk + 1 + needed)
        self._refuse_damage(video, shard, first_chunk + np.concatenate([[0], 1 + needed]), [init, *fragments])
        try:
            data = join_fragments(init, fragments, timed)
        except RuntimeError as error:
            raise DamagedClipError(f"{self.index.name(video)} cannot be decoded ({error}); run `objabn prepare` on it anew.") from None
        return EncodedClip(data, (position * gop + frames % gop).astype(np.int32))

    def masks(self, video: int, frames: NDArray[np.int64]) -> MaskClip:
        """Return the stored masks of frames at packed size; without a mask store nothing is valid."""
        return self.mask_bits(video, frames).unpacked((int(self.index.height[video]), int(self.index.width[video])))

    def mask_bits(self, video: int, frames: NDArray[np.int64]) -> MaskBits:
        """Return the same masks with eight pixels to a byte, as a GPU can be given them."""
        pixels = int(self.index.height[video]) * int(self.index.width[video])
        frames = self._checked(video, frames)
        if self._masks is None:
            return MaskBits(np.zeros((len(frames), -(-pixels // 8)), np.uint8), np.zeros(len(frames), np.bool_))
        return self._masks.read(int(self.index.shard[video]), self.index.first_frame[video] + frames, pixels)

    def _refuse_damage(self, video: int, shard: Columns, chunks: NDArray[np.int64], pieces: list[NDArray[np.uint8]]) -> None:
        for chunk, piece, expected in zip(chunks.tolist(), pieces, shard.arrays["checksums"][chunks].tolist(), strict=True):
            if zlib.crc32(piece.data) != expected:
                path = shard_path(self.root, int(self.index.shard[video]))
                part = f"Frame {chunk - self.index.first_frame[video]}" if self.store == "frames" else "A part"
                raise DamagedClipError(
                    f"{part} of {self.index.name(video)} is not what was packed; delete {path} and run `objabn prepare` again."
                )

    def _require_store(self, store: str, other: str) -> None:
        if self.store != store:
            raise ValueError(f"{self.root} is a store of {self.store!r}, not of {store!r}; use {other}.")

    def _checked(self, video: int, frames: NDArray[np.int64]) -> NDArray[np.int64]:
        count = int(self.index.frames[video])
        if len(frames) and (int(frames.min()) < 0 or int(frames.max()) >= count):
            raise ValueError(f"{self.index.name(video)} has frames 0 to {count - 1}; asked for were {frames.min()} to {frames.max()}.")
        return frames


def slices(shard: Columns, chunks: NDArray[np.int64]) -> list[NDArray[np.uint8]]:
    """Return views of the given chunks of a shard."""
    offsets, data = shard.arrays["offsets"], shard.arrays["bytes"]
    return [data[start:stop] for start, stop in zip(offsets[chunks].tolist(), offsets[chunks + 1].tolist(), strict=True)]


def open_dataset(path: str | Path) -> PackedDataset:
    """Open the folder of a packed dataset."""
    root = Path(path)
    manifest_path = root / "manifest.json"
    if not manifest_path.is_file():
        raise FileNotFoundError(f"{root} is not a packed dataset (it has no manifest.json); make one with `objabn prepare`.")
    manifest, index = read_manifest(manifest_path, "prepare"), load_index(root / "index.safetensors")
    if manifest.get("format", FORMAT) != FORMAT:
        raise RuntimeError(
            f"{root} was packed in format {manifest['format']} and this objabn reads format {FORMAT}; "
            "delete it and run `objabn prepare` again, or install the objabn that packed it."
        )
    try:
        return PackedDataset(root, manifest, index)
    except (KeyError, TypeError) as error:
        raise RuntimeError(f"{manifest_path} is damaged ({error!r}); delete it and run `objabn prepare` again.") from None
