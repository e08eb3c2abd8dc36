"""Codecs of PyAV, which reads every source video and writes packed ones."""

from collections.abc import Callable, Iterator
from typing import Literal

import av

from objabn.diagnosis.findings import Finding, ok, problem

DECODERS = {"mpeg4": "mpeg4", "h264": "h264", "hevc": "hevc", "vp9": "vp9", "av1": "libdav1d"}
"""What decodes each format; FFmpeg's own decoder of AV1 needs hardware for it."""
ENCODERS = {"vp9": "libvpx-vp9", "h264": "libx264"}
"""What `objabn prepare --store video --codec` encodes with."""


def findings() -> Iterator[Finding]:
    """Yield what is found of PyAV and the FFmpeg in it."""
    yield ok("PyAV", f"{av.__version__} with FFmpeg {av.ffmpeg_version_info}")
    yield check_codecs("decoders", DECODERS, lambda name: has_codec(name, "r"))
    yield check_codecs("encoders", ENCODERS, lambda name: has_codec(name, "w"))


def has_codec(name: str, mode: Literal["r", "w"]) -> bool:
    """Say whether FFmpeg has this decoder (`r`) or encoder (`w`)."""
    try:
        av.codec.Codec(name, mode)
    except ValueError:
        return False
    return True


def check_codecs(subject: str, names: dict[str, str], is_there: Callable[[str], bool]) -> Finding:
    """Say which formats are there, and which are not."""
    missing = [kind for kind, name in names.items() if not is_there(name)]
    if missing:
        remedy = "Install PyAV's own wheel, which has them: pip install --force-reinstall --only-binary :all: av"
        return problem(subject, f"missing: {', '.join(missing)}", remedy)
    return ok(subject, ", ".join(names))
