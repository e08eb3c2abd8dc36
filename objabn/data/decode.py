"""Packed bytes back to pixels, without DALI."""

import io
import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from objabn.data.colour import yuv420p_to_rgb
from objabn.data.damage import DamagedClipError
from objabn.data.dataset import PackedDataset
from objabn.data.shards import shard_path


def decode_frames(dataset: PackedDataset, video: int, frames: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return frames of a packed video in the order asked for, repeats included, as (T, Y, X, 3) RGB.

    Damage is a DamagedClipError, which names video and frame.
    """
    height, width = int(dataset.index.height[video]), int(dataset.index.width[video])
    clip = np.empty((len(frames), height, width, 3), np.uint8)
    if dataset.store == "frames":
        for position, data in enumerate(dataset.encoded_frames(video, frames)):
            with naming_damage(dataset, video, f"frame {frames[position]}"):
                clip[position] = decode_jpeg(data)
        return clip
    data, wanted = dataset.encoded_clip(video, frames)
    with naming_damage(dataset, video, f"one of frames {frames.min(initial=0)} to {frames.max(initial=0)}"):
        for number, picture in enumerate(decode_mp4(data, last_frame=int(wanted.max(initial=-1)), wanted=set(wanted.tolist()))):
            if picture is not None:
                clip[wanted == number] = picture
    return clip


def decode_video(dataset: PackedDataset, video: int, *, frames_at_once: int = 32) -> Iterator[NDArray[np.uint8]]:
    """Yield a whole packed video in pieces of up to `frames_at_once` frames, each (T, Y, X, 3) RGB."""
    count = int(dataset.index.frames[video])
    if dataset.store == "frames":
        for start in range(0, count, frames_at_once):
            yield decode_frames(dataset, video, np.arange(start, min(start + frames_at_once, count)))
        return
    data, wanted = dataset.encoded_clip(video, np.arange(count))
    with naming_damage(dataset, video, "a frame"):
        pictures = (picture for picture in decode_mp4(data, last_frame=count - 1, wanted=set(wanted.tolist())) if picture is not None)
        while piece := list(itertools.islice(pictures, frames_at_once)):
            yield np.stack(piece)


@contextmanager
def naming_damage(dataset: PackedDataset, video: int, frame: str) -> Iterator[None]:
    """Turn whatever a decoder says of damaged bytes into one DamagedClipError that names video and frame."""
    try:
        yield
    except (av.error.FFmpegError, OSError, SyntaxError, RuntimeError) as error:
        shard = shard_path(dataset.root, int(dataset.index.shard[video]))
        raise DamagedClipError(
            f"{frame} of {dataset.index.name(video)} cannot be decoded ({error}); delete {shard} and run `objabn prepare` again."
        ) from None


def decode_jpeg(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return one JPEG as (Y, X, 3) RGB."""
    return np.asarray(Image.open(io.BytesIO(data.tobytes())).convert("RGB"))


def decode_mp4(data: NDArray[np.uint8], *, last_frame: int, wanted: set[int]) -> Iterator[NDArray[np.uint8] | None]:
    """Yield the frames of an MP4 in order as (Y, X, 3) RGB up to `last_frame`, None in place of those not wanted."""
    with av.open(io.BytesIO(data.tobytes()), "r") as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        decoded = -1
        for decoded, frame in enumerate(container.decode(stream)):
            yield yuv420p_to_rgb(np.asarray(frame.to_ndarray(format="yuv420p"))) if decoded in wanted else None
            if decoded == last_frame:
                return
    if decoded < last_frame:
        raise RuntimeError(f"The packed clip ends after frame {decoded}, frame {last_frame} was asked for; the pack is damaged.")
