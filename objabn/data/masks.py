"""Masks beside the frames: packed bits + zstd per frame and detection counts, in shards that mirror the dataset's."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import zstandard
from numpy.typing import NDArray

from objabn.data.damage import DamagedClipError
from objabn.data.shards import mapped_shards, read_manifest, running_sum, shard_path, write_columns

COMPRESSION_LEVEL = 12


class MaskBits(NamedTuple):
    """Masks of the frames of a clip as they are stored, eight pixels to a byte."""

    bits: NDArray[np.uint8]
    """(T, bytes) pixels of each frame row by row, the first in the highest bit; the last byte is filled up with zeros."""
    valid: NDArray[np.bool_]
    """(T,): something was found in that frame."""

    def unpacked(self, shape: tuple[int, int]) -> "MaskClip":
        """Return the masks of frames of (height, width) with a byte for each pixel."""
        return MaskClip(np.unpackbits(self.bits, axis=1, count=shape[0] * shape[1]).reshape(-1, *shape), self.valid)


class MaskClip(NamedTuple):
    """Masks of the frames of a clip."""

    mask: NDArray[np.uint8]
    """(T, height, width) of 0 and 1."""
    valid: NDArray[np.bool_]
    """(T,): something was found in that frame."""


class VideoMasks(NamedTuple):
    """Masks of some neighbouring frames, as a segmenter returns them."""

    mask: NDArray[np.bool_]
    """(T, height, width): the union of everything found."""
    counts: NDArray[np.uint16]
    """(T,) number of things found."""


def pack_mask(mask: NDArray[Any], compressor: zstandard.ZstdCompressor) -> bytes:
    """Return the compressed bits of one (height, width) mask; an empty mask takes no bytes at all."""
    return compressor.compress(np.packbits(mask != 0).tobytes()) if mask.any() else b""


def write_mask_shard(path: Path, pieces: Iterable[VideoMasks], fingerprint: str) -> int:
    """Write the masks of all frames of one shard, in the order of its frames; return how many frames there were."""
    compressor = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL, write_checksum=True)
    chunks: list[bytes] = []
    counts: list[NDArray[np.uint16]] = []
    for piece in pieces:
        chunks += [pack_mask(mask, compressor) for mask in piece.mask]
        counts.append(piece.counts.astype(np.uint16))
    columns = {"offsets": running_sum([len(chunk) for chunk in chunks]), "counts": np.concatenate([np.zeros(0, np.uint16), *counts])}
    write_columns(path, columns, metadata={"fingerprint": fingerprint}, chunks=chunks)
    return len(chunks)


def mask_fingerprint(dataset_fingerprint: str, description: dict[str, Any]) -> str:
    """Return what ties mask shards to one dataset and one way of making them."""
    return hashlib.sha256(json.dumps([dataset_fingerprint, description], sort_keys=True).encode()).hexdigest()[:16]


class MaskStore:
    """The finished masks of a packed dataset."""

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder = folder
        self.manifest = manifest
        self._open_shard = mapped_shards(folder, "masks", manifest["fingerprint"])

    @classmethod
    def find(cls, folder: Path, dataset_fingerprint: str) -> "MaskStore | None":
        """Open the store in a folder, or return None where none is finished; masks of another packing are an error."""
        if not (folder / "manifest.json").is_file():
            return None
        manifest = read_manifest(folder / "manifest.json", "masks")
        if manifest.get("dataset_fingerprint") != dataset_fingerprint:
            raise ValueError(f"The masks in {folder} belong to another packing of the dataset; delete them and run `objabn masks` again.")
        return cls(folder, manifest)

    def read(self, shard: int, frames: NDArray[np.int64], pixels: int) -> MaskBits:
        """Return the masks of frames counted within a shard, each of so many pixels."""
        arrays = self._open_shard(shard).arrays
        # Decompressors are not safe to share between threads, and cheap beside sixteen masks.
        decompressor = zstandard.ZstdDecompressor()
        bits = np.zeros((len(frames), -(-pixels // 8)), np.uint8)
        spans = zip(arrays["offsets"][frames].tolist(), arrays["offsets"][frames + 1].tolist(), strict=True)
        try:
            for position, (start, stop) in enumerate(spans):
                if stop > start:
                    bits[position] = np.frombuffer(decompressor.decompress(arrays["bytes"][start:stop].data), np.uint8)
        except (zstandard.ZstdError, ValueError) as error:
            path = shard_path(self.folder, shard)
            raise DamagedClipError(f"{path} holds a damaged mask ({error}); delete it and run `objabn masks` again.") from None
        return MaskBits(bits, arrays["counts"][frames] > 0)
