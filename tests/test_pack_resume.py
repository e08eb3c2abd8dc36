"""Packing that is killed goes on where it was, leaves nothing behind, and keeps its division into shards."""

import json
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from videos import class_folders, everything, numbered_frames

from objabn.data.encode import Codec, encode_gops, to_planes
from objabn.data.pack import divide, pack
from objabn.data.sources import folder

PACK = """if True:
    import sys
    from pathlib import Path
    from objabn.data.pack import pack
    from objabn.data.sources import folder
    pack(folder(sys.argv[1]), Path(sys.argv[2]), workers=int(sys.argv[3]), on_progress=lambda done, total: print(done, flush=True))
"""


def test_a_killed_packing_continues_and_equals_a_straight_one(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "source", frames=(30,) * 12)
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    pack(folder(root), straight, workers=1)
    words = [sys.executable, "-c", PACK, str(root), str(killed), "1"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) == 6:
                process.kill()
    first = killed / "shard-00000.safetensors"
    assert not (killed / "manifest.json").exists()
    written = first.stat().st_mtime_ns
    pack(folder(root), killed, workers=2)
    assert first.stat().st_mtime_ns == written
    assert everything(killed) == everything(straight)


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def children(process: int) -> list[int]:
    return [int(word) for task in Path(f"/proc/{process}/task").iterdir() for word in (task / "children").read_text().split()]


def test_a_killed_packing_leaves_no_process_and_no_rubbish(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "source", frames=(60,) * 24)
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    words = [sys.executable, "-c", PACK, str(root), str(killed), "2"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any(int(line) >= 1 for line in process.stdout)
        workers = children(process.pid)
        assert len(workers) >= 2
        process.kill()
    end = time.monotonic() + 10
    while any(map(is_running, workers)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(is_running, workers))
    # What a process leaves that is killed while it writes.
    (killed / f".shard-00005.safetensors.{process.pid}").write_bytes(b"half")
    assert not (killed / "manifest.json").exists()
    pack(folder(root), killed)
    pack(folder(root), straight)
    assert everything(killed) == everything(straight)


@pytest.mark.parametrize("name", ["index.safetensors", "manifest.json", "shard-00001.safetensors"])
def test_what_is_deleted_is_made_anew(name: str, tmp_path: Path) -> None:
    root = class_folders(tmp_path / "source", frames=(5,) * 6)
    pack(folder(root), tmp_path / "packed")
    before = everything(tmp_path / "packed")
    (tmp_path / "packed" / name).unlink()
    assert not pack(folder(root), tmp_path / "packed").was_finished
    assert everything(tmp_path / "packed") == before


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["h264", "vp9"])
def test_the_same_frames_become_the_same_bytes(codec: Codec) -> None:
    """Whatever stood before in the memory that an encoder is given."""
    reformatter, draw = VideoReformatter(), np.random.default_rng(0)
    noise = draw.integers(0, 60, (24, 96, 96, 3), dtype=np.uint8)
    planes = [to_planes(picture, reformatter) for picture in numbered_frames(24, height=96, width=96) // 2 + noise]
    encoded = set()
    for _ in range(300):
        draw.integers(0, 256, draw.integers(1000, 3_000_000), dtype=np.uint8)
        encoded.add(b"".join(encode_gops(planes, fps=Fraction(12), codec=codec, quality=94, gop=32)))
    assert len(encoded) == 1


def test_shards_are_bounded_by_videos_and_by_source_bytes() -> None:
    mebibyte = 2**20
    # Few videos: four a shard at most. 250 + 6 MiB fill a shard exactly; what is larger stands alone.
    assert divide([1] * 10) == [4, 4, 2]
    assert divide([250 * mebibyte, 6 * mebibyte, 1, 900 * mebibyte, 0, 1]) == [2, 1, 1, 2]
    assert divide([1] * 64 * 100) == [64] * 100
    assert divide([]) == []


def test_the_plan_of_a_packing_outlives_its_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = class_folders(tmp_path / "source")
    listing = folder(root)
    bound = 1 + sum(entry.path.stat().st_size for entry in listing.entries[:2])
    monkeypatch.setattr("objabn.data.pack.LARGEST_SHARD_BYTES", bound)
    report = pack(listing, tmp_path / "packed", workers=1)
    before = everything(tmp_path / "packed")
    assert json.loads(before["plan.json"])["videos"] == [2, 2]
    (tmp_path / "packed" / "shard-00001.safetensors").unlink()
    (root / "A" / "v1.avi").unlink()
    assert pack(listing, tmp_path / "packed", workers=1) == report
    assert everything(tmp_path / "packed") == before
    # Without the plan the shards would be divided otherwise, and those that are there hold other videos.
    (tmp_path / "packed" / "plan.json").unlink()
    with pytest.raises(ValueError, match="another list of videos"):
        pack(listing, tmp_path / "packed", workers=1)
