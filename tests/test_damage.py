"""Files with random damage: `objabn prepare` packs each or says why not, never crashes and never hangs."""

import collections
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from bad_input import PAGE
from odd_videos import encode
from videos import numbered_frames

from objabn.data.dataset import open_dataset
from objabn.data.decode import decode_video
from objabn.data.shards import read_manifest

PROGRAM = "import sys; sys.argv[0] = 'objabn'; from cli.main import run; run()"
REAL = {
    "XviD AVI": ["ucf101/UCF-101/Biking/v_Biking_g01_c01.avi", "ucf101/UCF-101/Haircut/v_Haircut_g15_c02.avi"],
    "H.264 MP4": ["ucf101/h264/Skijet/v_Skijet_g03_c03.mp4", "kinetics400/videos/YABnJL_bDzw.mp4"],
    "VP9 WebM": ["ssv2/videos/166766.webm", "ssv2/videos/Closing_something__Human2Bot_task5_0.webm"],
}


def flip_bits(data: bytearray, _other: bytes, draw: random.Random) -> bytes:
    for _ in range(draw.randint(1, 40)):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return data


def flip_header_bits(data: bytearray, _other: bytes, draw: random.Random) -> bytes:
    """The index of an MP4 may stand at the end."""
    places = [*range(min(2000, len(data))), *range(max(0, len(data) - 2000), len(data))]
    for _ in range(draw.randint(1, 20)):
        data[draw.choice(places)] ^= 1 << draw.randrange(8)
    return data


def cut_off(data: bytearray, _other: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(1, len(data))]


def swap_headers(data: bytearray, other: bytes, draw: random.Random) -> bytes:
    length = draw.choice([16, 256, 4096])
    return other[:length] + data[length:]


def zero_a_range(data: bytearray, _other: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(data))
    stop = min(len(data), start + draw.choice([10, 1000, 30000]))
    data[start:stop] = bytes(stop - start)
    return data


def join_halves(data: bytearray, other: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(1, len(data))] + other[draw.randrange(len(other)) :]


def lose_a_range(data: bytearray, _other: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(data))
    return data[:start] + data[start + draw.choice([1, 100, 5000]) :]


KINDS: dict[str, Callable[[bytearray, bytes, random.Random], bytes]] = {
    "bits flipped": flip_bits,
    "bits flipped in header or end": flip_header_bits,
    "cut off": cut_off,
    "another file's header": swap_headers,
    "a range of zeros": zero_a_range,
    "halves of two files": join_halves,
    "a range lost": lose_a_range,
}


def write_damaged(folder: Path, sources: dict[str, list[Path]], count: int) -> dict[str, tuple[str, str]]:
    """Write damaged files into a class folder; return the container and the kind of damage of each name."""
    everything = [path.read_bytes() for paths in sources.values() for path in paths]
    written = {}
    for number in range(count):
        draw = random.Random(number)
        container, kind = list(sources)[number % len(sources)], list(KINDS)[number // len(sources) % len(KINDS)]
        path = draw.choice(sources[container])
        name = f"class/{number:03d}{path.suffix}"
        (folder / "class").mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(KINDS[kind](bytearray(path.read_bytes()), draw.choice(everything), draw))
        written[name] = (container, kind)
    return written


def prepare(folder: Path, out: Path, *, seconds: float) -> None:
    """Run the command, which must end well in time."""
    words = [sys.executable, "-c", PROGRAM, "prepare", str(folder), "--out", str(out), "--workers", "2"]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=seconds, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr


def check_packed(out: Path, names: set[str]) -> dict[str, str]:
    """Assert that every file was packed and can be read, or was reported; return the reasons of the latter."""
    dataset = open_dataset(out)
    failed = {failure["video"]: failure["reason"] for failure in read_manifest(out / "manifest.json", "prepare")["failed"]}
    packed = {dataset.index.name(row) for row in range(len(dataset))}
    assert packed | set(failed) == names
    assert not packed & set(failed)
    assert all(failed.values())
    assert not [reason for reason in failed.values() if "unforeseen" in reason]
    for row in range(len(dataset)):
        assert sum(map(len, decode_video(dataset, row))) == dataset.index.frames[row] > 0
    return failed


def test_damaged_files_are_packed_or_reported(tmp_path: Path) -> None:
    pictures = numbered_frames(40) ^ np.random.default_rng(0).integers(0, 8, (40, 48, 64, 3), dtype=np.uint8)
    sources = {
        container: [encode(tmp_path / f"whole.{suffix}", pictures, codec)]
        for container, suffix, codec in (("AVI", "avi", "mpeg4"), ("MP4", "mp4", "libx264"), ("WebM", "webm", "libvpx-vp9"))
    }
    written = write_damaged(tmp_path / "damaged", sources, 24)
    prepare(tmp_path / "damaged", tmp_path / "packed", seconds=60)
    assert 6 <= len(check_packed(tmp_path / "packed", set(written))) <= 22


@pytest.mark.slow
def test_300_damaged_real_files_are_packed_or_reported(shared_data: Path, tmp_path: Path) -> None:
    sources = {container: [shared_data / name for name in names] for container, names in REAL.items()}
    written = write_damaged(tmp_path / "damaged", sources, 300)
    begin = time.monotonic()
    prepare(tmp_path / "damaged", tmp_path / "packed", seconds=1200)
    print(f"{time.monotonic() - begin:.0f} s")
    failed = check_packed(tmp_path / "packed", set(written))
    counts = collections.Counter((kind, container, name in failed) for name, (container, kind) in written.items())
    table = [f"| {kind} | {' | '.join(f'{counts[kind, name, False]} / {counts[kind, name, True]}' for name in REAL)} |" for kind in KINDS]
    print("\n".join([*table, *(f"{count:4d} {reason}" for reason, count in collections.Counter(failed.values()).most_common(40))]))
    assert "\n".join(table) in PAGE.read_text()
