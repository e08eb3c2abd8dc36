"""Videos of every odd kind, made small: containers, pixel formats, times, streams and headers that are not what one expects."""

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition
from numpy.typing import NDArray
from videos import numbered_frames

FAST = {
    "libx264": {"preset": "ultrafast", "crf": "10"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "crf": "10", "b": "0"},
}


def encode(
    path: Path,
    pictures: NDArray[np.uint8],
    codec: str,
    *,
    pixels: str = "yuv420p",
    milliseconds: Sequence[int] | None = None,
    container: str | None = None,
    **options: str,
) -> Path:
    """Write RGB pictures by any codec, 25 a second or at the times given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format=container) as file:
        stream = add_stream(file, codec, pictures.shape[2], pictures.shape[1], pixels=pixels, **options)
        if milliseconds is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        encode_into(file, stream, pictures, milliseconds)
    return path


def add_stream(
    file: av.container.OutputContainer, codec: str, width: int, height: int, *, pixels: str = "yuv420p", **options: str
) -> av.VideoStream:
    stream = file.add_stream(codec, rate=25, options={**FAST.get(codec, {}), **options})
    stream.width, stream.height, stream.pix_fmt = width, height, pixels
    if codec in ("mpeg4", "mpeg2video", "mjpeg"):
        stream.codec_context.qmin = stream.codec_context.qmax = 2
    return stream


def encode_into(
    file: av.container.OutputContainer, stream: av.VideoStream, pictures: NDArray[np.uint8], milliseconds: Sequence[int] | None = None
) -> None:
    for number, picture in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts = number if milliseconds is None else milliseconds[number]
        file.mux(stream.encode(frame))
    file.mux(stream.encode(None))


def with_streams(path: Path, *, sizes: Sequence[tuple[int, int]] = (), cover: bool = False, sound: bool = False) -> Path:
    """Write one H.264 stream of 20 frames for each (width, height), a cover picture and a silent sound track as asked for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as file:
        streams = [add_stream(file, "libx264", *size) for size in sizes]
        covers = [add_stream(file, "mjpeg", 80, 80, pixels="yuvj420p") for _ in range(cover)]
        sounds = [file.add_stream("aac", rate=16000) for _ in range(sound)]
        for stream in covers:
            stream.disposition = Disposition.attached_pic
            encode_into(file, stream, np.full((1, 80, 80, 3), 90, np.uint8))
        for stream, (width, height) in zip(streams, sizes, strict=True):
            encode_into(file, stream, numbered_frames(20, height=height, width=width))
        for stream in sounds:
            for number in range(20):
                silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
                silence.sample_rate, silence.pts = 16000, 1024 * number
                file.mux(stream.encode(silence))
            file.mux(stream.encode(None))
    return path


def turned(path: Path, a: int, b: int, c: int, d: int) -> Path:
    """Give an MP4 the display matrix x' = a x + c y, y' = b x + d y."""
    one = 1 << 16
    upright = struct.pack(">9i", one, 0, 0, 0, one, 0, 0, 0, 1 << 30)
    matrix = struct.pack(">9i", a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    # The first matrix is that of the whole film (mvhd), the second that of the track (tkhd).
    head, middle, tail = path.read_bytes().split(upright, 2)
    path.write_bytes(head + upright + middle + matrix + tail)
    return path


def shown_from(path: Path, *, second: float, seconds: float) -> Path:
    """Have the edit list of an MP4 show a part of it only."""
    data = bytearray(path.read_bytes())
    header, edits = data.find(b"mdhd"), data.find(b"elst")
    (ticks,) = struct.unpack_from(">I", data, header + 16)
    struct.pack_into(">Ii", data, edits + 12, round(1000 * seconds), round(ticks * second))
    path.write_bytes(data)
    return path


def every_second_chunk_empty(path: Path) -> Path:
    """Empty every second video chunk of an AVI, which means that the frame before is shown on."""
    data = path.read_bytes()
    movie = data.find(b"movi")
    position, frames, index = movie + 4, bytearray(data[: movie + 4]), b""
    while data[position : position + 4] == b"00dc":
        (size,) = struct.unpack_from("<I", data, position + 4)
        kept = size if len(index) % 32 == 0 else 0
        index += b"00dc" + struct.pack("<III", 0x10 if not index else 0, len(frames) - movie, kept)
        frames += b"00dc" + struct.pack("<I", kept) + data[position + 8 : position + 8 + kept + kept % 2]
        position += 8 + size + size % 2
    struct.pack_into("<I", frames, movie - 4, len(frames) - movie)
    struct.pack_into("<I", frames, 4, len(frames) + len(index))
    path.write_bytes(frames + b"idx1" + struct.pack("<I", len(index)) + index)
    return path


def announcing(path: Path, *, frames: int | None = None, width: int | None = None, height: int | None = None) -> Path:
    """Have the headers of an AVI announce another number of frames, or frames of another size (in each JPEG too)."""
    data = bytearray(path.read_bytes())
    main, stream, picture = data.find(b"avih") + 8, data.find(b"strh") + 8, data.find(b"strf") + 8
    if frames is not None:
        struct.pack_into("<I", data, main + 16, frames)
        struct.pack_into("<I", data, stream + 32, frames)
    if width is not None and height is not None:
        struct.pack_into("<II", data, main + 32, width, height)
        struct.pack_into("<II", data, picture + 4, width, height)
        start = data.find(b"\xff\xc0\x00\x11\x08")
        while start >= 0:
            struct.pack_into(">HH", data, start + 5, height, width)
            start = data.find(b"\xff\xc0\x00\x11\x08", start + 1)
    path.write_bytes(data)
    return path


def overwritten(path: Path, start: float, stop: float, filler: bytes = b"\0") -> Path:
    """Overwrite a part of a file, given as shares of its length."""
    data = bytearray(path.read_bytes())
    first, last = round(start * len(data)), round(stop * len(data))
    data[first:last] = filler * (last - first)
    path.write_bytes(data)
    return path


def cut(path: Path, share: float) -> Path:
    """Keep the beginning of a file."""
    path.write_bytes(path.read_bytes()[: round(share * path.stat().st_size)])
    return path
