"""Frames to bytes: one JPEG each, or a fragmented MP4 cut at its closed GOPs."""

import io
from collections.abc import Iterable
from fractions import Fraction
from typing import Literal, cast

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image

from objabn.data.fragments import split_fragments

Codec = Literal["vp9", "h264"]

SMPTE170M = 6
"""Code of the BT.601 primaries, transfer and matrix in ISO/IEC 23091-2."""
LIMITED_RANGE = 1
LOWEST_QUALITY_LOSS = {"h264": 9, "vp9": 14}
"""Constant rate factor at quality 100; each step of quality below adds one."""


def encode_jpeg(rgb: NDArray[np.uint8], quality: int) -> bytes:
    """Return a (Y, X, 3) frame as a baseline JPEG with 4:2:0 colour."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=quality, subsampling="4:2:0", optimize=True)
    return buffer.getvalue()


def encode_gops(pictures: Iterable[NDArray[np.uint8]], *, fps: Fraction, codec: Codec, quality: int, gop: int) -> list[bytes]:
    """Return [init, GOP, GOP, ...]: closed GOPs of `gop` frames, no B-frames, constant rate.

    Pictures are yuv420p in BT.601 limited range, planes below each other: (Y * 3 / 2, X), as `to_planes` makes them.
    """
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4", options={"movflags": "empty_moov+default_base_moof+frag_keyframe"}) as container:
        stream: VideoStream | None = None
        for number, planes in enumerate(pictures):
            if stream is None:
                height, width = planes.shape[0] * 2 // 3, planes.shape[1]
                stream = add_stream(container, width, height, fps=fps, codec=codec, options=codec_options(codec, quality, gop))
            frame = VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts = number
            container.mux(stream.encode(frame))
        if stream is not None:
            container.mux(stream.encode(None))
    return split_fragments(buffer.getvalue())


def codec_options(codec: Codec, quality: int, gop: int) -> dict[str, str]:
    """Return the options of the encoder that give closed GOPs of fixed length and frames in order."""
    crf = str(LOWEST_QUALITY_LOSS[codec] + 100 - quality)
    if codec == "h264":
        # x264's macroblock tree reads memory that nobody has written: with it, one encoding in fifty differs from the others.
        # Quantisers that vary less (qcomp) look as good: 3 % more bytes at the same mean difference.
        structure = f"keyint={gop}:min-keyint={gop}:scenecut=0:bframes=0:ref=1:open-gop=0:threads=1:mbtree=0:qcomp=0.9"
        return {"preset": "fast", "tune": "fastdecode", "profile": "high", "crf": crf, "x264-params": structure}
    # Without look-ahead there are no hidden frames, so packets and frames agree one to one.
    shape = {"g": str(gop), "keyint_min": str(gop), "lag-in-frames": "0", "auto-alt-ref": "0"}
    return {"crf": crf, "b": "0", "deadline": "good", "cpu-used": "5", "threads": "1", **shape}


def add_stream(
    container: av.container.OutputContainer, width: int, height: int, *, fps: Fraction, codec: Codec, options: dict[str, str]
) -> VideoStream:
    """Add a video stream whose colours are labelled as what they are."""
    stream = cast(VideoStream, container.add_stream({"h264": "libx264", "vp9": "libvpx-vp9"}[codec], rate=fps, options=options))
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    stream.codec_context.time_base = 1 / fps
    stream.codec_context.color_range = LIMITED_RANGE
    stream.codec_context.colorspace = stream.codec_context.color_primaries = stream.codec_context.color_trc = SMPTE170M
    return stream


def to_planes(rgb: NDArray[np.uint8], reformatter: VideoReformatter) -> NDArray[np.uint8]:
    """Return an RGB picture as yuv420p planes in BT.601 limited range; an odd last row or column is left out."""
    even = np.ascontiguousarray(rgb[: rgb.shape[0] // 2 * 2, : rgb.shape[1] // 2 * 2])
    source = VideoFrame.from_ndarray(even, format="rgb24")
    frame = reformatter.reformat(source, format="yuv420p", dst_colorspace=Colorspace.ITU601, dst_color_range=ColorRange.MPEG)
    return np.asarray(frame.to_ndarray(), np.uint8)
