"""How others get frames out of an original video: each a function with its own documented best settings for many workers."""

import importlib
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.replay import Decode

REFERENCE = "PyAV"
"""Decoding from the first frame on is the only way that is exact for every container, so this peer judges all others."""


class Peer(NamedTuple):
    """A way to decode, and the package it needs."""

    decode: Decode
    package: str
    device: str = "cpu"
    """Where it decodes and leaves the frames."""


def pyav(path: Path, frames: NDArray[np.int64], _fps: float) -> NDArray[np.uint8]:
    """Decode from the first frame to the last one asked for and keep those asked for."""
    wanted = set(frames.tolist())
    kept: dict[int, NDArray[np.uint8]] = {}
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number in wanted:
                kept[number] = np.asarray(frame.to_ndarray(format="rgb24"))
            if number >= frames[-1]:
                break
    return np.stack([kept[number] for number in frames.tolist()])


def opencv(path: Path, frames: NDArray[np.int64], _fps: float) -> NDArray[np.uint8]:
    """Grab every frame up to the last one asked for; only those asked for are converted to pixels."""
    import cv2  # noqa: PLC0415

    cv2.setNumThreads(1)
    wanted = set(frames.tolist())
    kept: dict[int, NDArray[np.uint8]] = {}
    capture = cv2.VideoCapture(str(path))
    for number in range(int(frames[-1]) + 1):
        if not capture.grab():
            break
        if number in wanted:
            kept[number] = np.asarray(capture.retrieve()[1][..., ::-1])
    capture.release()
    last = max(kept)
    return np.stack([kept[min(number, last)] for number in frames.tolist()])


def torchcodec(path: Path, frames: NDArray[np.int64], _fps: float, *, device: str = "cpu") -> Tensor:
    """Ask for the frames by number, in the exact seek mode, with one thread; RuntimeError where a GPU leaves the work to the CPU.

    The backend for GPUs named `beta` is the one its documentation recommends, and the only one since torchcodec 0.17.
    """
    from torchcodec.decoders import VideoDecoder, set_cuda_backend  # noqa: PLC0415

    with set_cuda_backend("beta"):
        decoder = VideoDecoder(str(path), dimension_order="NHWC", num_ffmpeg_threads=1, device=device)
    if decoder.cpu_fallback:
        raise RuntimeError(f"it would decode on the CPU instead: {decoder.cpu_fallback}")
    pixels: Tensor = decoder.get_frames_at(indices=np.minimum(frames, len(decoder) - 1).tolist()).data
    return pixels


def decord(path: Path, frames: NDArray[np.int64], _fps: float) -> NDArray[np.uint8]:
    """Ask for the frames by number, with one thread."""
    from decord import VideoReader  # noqa: PLC0415

    reader = VideoReader(str(path), num_threads=1)
    return np.asarray(reader.get_batch(np.minimum(frames, len(reader) - 1)).asnumpy())


def spdl(path: Path, frames: NDArray[np.int64], _fps: float) -> NDArray[np.uint8]:
    """Split the packets at key frames and decode the pieces that hold the frames."""
    import spdl.io  # noqa: PLC0415

    packets = spdl.io.demux_video(str(path))
    numbers, places = np.unique(np.minimum(frames, len(packets) - 1), return_inverse=True)
    images = spdl.io.sample_decode_video(packets, numbers.tolist())
    return np.asarray(spdl.io.to_numpy(spdl.io.convert_frames(images)))[places]


def pytorchvideo(path: Path, frames: NDArray[np.int64], fps: float) -> NDArray[np.uint8]:
    """Read the clip between two times and take frames evenly from it, as LabeledVideoDataset with UniformTemporalSubsample does."""
    from pytorchvideo.data.encoded_video import EncodedVideo  # noqa: PLC0415

    video = EncodedVideo.from_path(str(path), decode_audio=False, decoder="pyav")
    clip = video.get_clip(frames[0] / fps, (frames[-1] + 1) / fps)["video"]
    video.close()
    places = np.linspace(0, clip.shape[1] - 1, len(frames)).round().astype(np.int64)
    return np.asarray(clip[:, places].permute(1, 2, 3, 0).numpy().astype(np.uint8))


PEERS: dict[str, Peer] = {
    REFERENCE: Peer(pyav, "av"),
    "OpenCV": Peer(opencv, "cv2"),
    "torchcodec": Peer(torchcodec, "torchcodec.decoders"),
    "decord": Peer(decord, "decord"),
    "SPDL": Peer(spdl, "spdl.io"),
    "pytorchvideo": Peer(pytorchvideo, "pytorchvideo.data.encoded_video"),
    # Last, since worker processes are better forked before CUDA is started.
    "torchcodec on the GPU": Peer(partial(torchcodec, device="cuda"), "torchcodec.decoders", device="cuda"),
}


def why_absent(peer: Peer, path: Path) -> str:
    """Return why a peer cannot read a video here, in a few words, or nothing where it can."""
    if peer.device == "cuda" and not torch.cuda.is_available():
        return "torch sees no GPU"
    try:
        importlib.import_module(peer.package)
        peer.decode(path, np.arange(2), 25.0)
    except ImportError:
        return "it is not installed; `pip install objabn[bench]` brings it"
    except Exception as error:  # whatever a foreign decoder raises, the answer is a row less
        lines: list[Any] = str(error).strip().splitlines()
        return str(lines[0] if lines else type(error).__name__)
    return ""
