"""DALI tried out: every decoder that training may use, on a picture or a clip made for it."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import torch
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray
from nvidia import dali

from dali_pipelines.clips import build_graph
from dali_pipelines.decode_place import Place
from dali_pipelines.loading import to_torch
from objabn.data.encode import encode_gops, encode_jpeg, to_planes
from objabn.diagnosis.findings import Finding, note, ok, problem

HEIGHT, WIDTH = 160, 192
"""Of the test pictures; video engines decode nothing much smaller."""
FRAME, BRIGHTNESS_STEP = 5, 20
"""The frame asked for, and how much brighter each frame is than the one before it."""


class Decoder(NamedTuple):
    """A kind of data at a place."""

    codec: str
    """`jpeg`, `vp9` or `h264`."""
    place: Place
    """Where it decodes."""
    otherwise: str
    """What to do without it."""


CPU_DECODERS = (
    Decoder("jpeg", "cpu", "Take --loader reader, which needs no DALI."),
    Decoder("vp9", "cpu", "Pack with --store frames, or take --loader reader."),
)
GPU_DECODERS = (
    Decoder("jpeg", "gpu", "Take --set data.decode=cpu, and update the NVIDIA driver."),
    Decoder("h264", "gpu", "Pack with --store frames; in a container, give it the driver capability `video`."),
    Decoder("vp9", "gpu", "Pack with --store frames; in a container, give it the driver capability `video`."),
)


def findings() -> Iterator[Finding]:
    """Yield what is found of DALI and its decoders."""
    yield ok("DALI", f"{dali.__version__} can be imported")
    has_gpu = torch.cuda.is_available()
    for decoder in (*CPU_DECODERS, *(GPU_DECODERS if has_gpu else ())):
        yield check_decoder(decoder)
    if not has_gpu:
        yield note(
            "h264", "needs a GPU in DALI, as HEVC and MPEG-4 do", "Pack with --store frames or --codec vp9, or take --loader reader."
        )


def check_decoder(decoder: Decoder) -> Finding:
    """Decode a picture, or one frame of a clip, and compare its brightness to that of the frame that was asked for."""
    subject = f"{decoder.codec} on the {decoder.place.upper()}"
    frames_TYXC = test_frames()
    try:
        seen = float(decode(decoder, frames_TYXC).float().mean())
    except RuntimeError as error:
        return problem(subject, f"cannot be decoded ({reason(error)})", decoder.otherwise)
    expected = float(frames_TYXC[FRAME].mean())
    if abs(seen - expected) > BRIGHTNESS_STEP / 4:
        return problem(subject, f"comes out wrong: brightness {seen:.0f} where {expected:.0f} was encoded", decoder.otherwise)
    return ok(subject, "decoded")


def test_frames() -> NDArray[np.uint8]:
    """Return eight grey frames (T, Y, X, 3), each brighter than the one before it."""
    ramp_YX = np.broadcast_to(np.linspace(20, 80, WIDTH), (HEIGHT, WIDTH))
    brightness_T = BRIGHTNESS_STEP * np.arange(8)
    return np.repeat((ramp_YX + brightness_T[:, None, None])[..., None], 3, -1).astype(np.uint8)


def decode(decoder: Decoder, frames_TYXC: NDArray[np.uint8]) -> torch.Tensor:
    """Return the frame asked for as the graph of training decodes it."""
    is_picture = decoder.codec == "jpeg"
    encoded = encode_jpeg(frames_TYXC[FRAME], 90) if is_picture else encode_clip(decoder.codec, frames_TYXC)
    size_YX, no_mask = np.array([[HEIGHT, WIDTH]], np.int32), np.zeros((1, HEIGHT * WIDTH // 8), np.uint8)
    region = [np.zeros((1, 2), np.float32), size_YX.astype(np.float32)]
    fed: list[Any] = [[np.frombuffer(encoded, np.uint8)], [no_mask], size_YX, *region]
    pipeline = build_graph(
        lambda: fed if is_picture else [*fed, [np.array([FRAME], np.int32)]],
        store="frames" if is_picture else "video",
        samples=1,
        clip_frames=1,
        crop_size=64,
        place=decoder.place,
        device_id=None if decoder.place == "cpu" else torch.cuda.current_device(),
        threads=1,
        prefetch=1,
    )
    pictures, _mask = pipeline.run()
    return to_torch(pictures).cpu()


def encode_clip(codec: Any, frames_TYXC: NDArray[np.uint8]) -> bytes:
    """Return the frames as one closed GOP, in the container of the store `video`."""
    reformatter = VideoReformatter()
    pictures = (to_planes(frame, reformatter) for frame in frames_TYXC)
    return b"".join(encode_gops(pictures, fps=Fraction(25), codec=codec, quality=90, gop=len(frames_TYXC)))


def reason(error: Exception) -> str:
    """Return what went wrong; DALI first tells where, in many lines."""
    text = str(error)
    return (text.partition("encountered:")[2] or text).strip().partition("\n")[0]
