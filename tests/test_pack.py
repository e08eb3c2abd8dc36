"""Packing: frame for frame what was there, damage listed, killed and continued, GOP slices like the whole."""

import json
import pickle
import struct
from pathlib import Path

import av
import numpy as np
import pytest
from safetensors.numpy import save_file
from test_real_exactness import compare_video, read_with_opencv
from videos import class_folders, numbered_frames, packed, write_video

from objabn.data.dataset import open_dataset
from objabn.data.decode import decode_frames, decode_video
from objabn.data.fragments import boxes
from objabn.data.pack import expected_bytes, pack
from objabn.data.pack_shard import PackSettings, encode_video
from objabn.data.shards import read_columns
from objabn.data.sources import Entry, Listing, folder

STORES = [{"store": "frames"}, {"store": "video", "codec": "vp9"}, {"store": "video", "codec": "h264"}]
REAL_CLIPS = ("Haircut/v_Haircut_g15_c02.avi", "SumoWrestling/v_SumoWrestling_g18_c02.avi", "Skiing/v_Skiing_g05_c02.avi")
"""The first two have B-frames packed into the AVI."""


@pytest.mark.parametrize("settings", STORES, ids=lambda settings: settings.get("codec", "frames"))
def test_every_frame_is_the_frame_of_that_number(tmp_path: Path, settings: dict[str, str]) -> None:
    dataset = packed(class_folders(tmp_path / "source"), tmp_path, **settings)
    assert dataset.classes == ("A", "b")
    assert [(dataset.index.name(row), int(dataset.index.frames[row])) for row in range(4)] == [
        ("A/v1.avi", 20),
        ("A/v3.avi", 17),
        ("b/v0.avi", 9),
        ("b/v2.avi", 12),
    ]
    for row, seed in enumerate((1, 3, 0, 2)):
        original = numbered_frames(int(dataset.index.frames[row]), seed=seed)
        compare_video(np.concatenate(list(decode_video(dataset, row))), original, dataset.index.name(row), limit=8.0)


@pytest.mark.parametrize("settings", STORES, ids=lambda settings: settings.get("codec", "frames"))
def test_slices_equal_the_whole(tmp_path: Path, settings: dict[str, str]) -> None:
    write_video(tmp_path / "source" / "a" / "v.avi", numbered_frames(45))
    dataset = packed(tmp_path / "source", tmp_path, **settings)
    whole = np.concatenate(list(decode_video(dataset, 0, frames_at_once=45)))
    for wanted in ([0], [44], [8], [7, 8], [3, 20, 41], [41, 3, 3, 20], list(range(16, 24))):
        np.testing.assert_array_equal(decode_frames(dataset, 0, np.array(wanted)), whole[wanted])
    with pytest.raises(ValueError, match="frames 0 to 44"):
        decode_frames(dataset, 0, np.array([45]))


def test_a_clip_of_distant_gops_runs_from_zero_without_gaps(tmp_path: Path) -> None:
    write_video(tmp_path / "source" / "a" / "v.avi", numbered_frames(45))
    dataset = packed(tmp_path / "source", tmp_path, store="video")
    clip = dataset.encoded_clip(0, np.array([9, 42, 10]))
    assert clip.frames.tolist() == [1, 10, 2]
    path = tmp_path / "clip.mp4"
    path.write_bytes(clip.data.tobytes())
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        times = [round(frame.time * 25) for frame in container.decode(stream)]
        assert (stream.codec_context.pix_fmt, stream.codec_context.colorspace, stream.codec_context.color_range) == ("yuv420p", 6, 1)
    assert times == list(range(13))
    assert [kind for kind, _, _ in boxes(clip.data.tobytes())] == [b"ftyp", b"moov", b"moof", b"mdat", b"moof", b"mdat"]


def test_frames_are_views_of_the_mapped_file(tmp_path: Path) -> None:
    dataset = packed(class_folders(tmp_path / "source"), tmp_path)
    for data in dataset.encoded_frames(2, np.array([8, 0])):
        assert not data.flags.owndata
        assert data[:2].tobytes() == b"\xff\xd8"
    with pytest.raises(ValueError, match="store of 'frames', not of 'video'"):
        dataset.encoded_clip(0, np.array([0]))
    again = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(decode_frames(again, 1, np.array([16])), decode_frames(dataset, 1, np.array([16])))


@pytest.mark.parametrize("settings", STORES[:2], ids=["frames", "video"])
def test_short_side_and_even_sizes(tmp_path: Path, settings: dict[str, str]) -> None:
    write_video(tmp_path / "source" / "a" / "v.mp4", numbered_frames(3, height=96, width=130), codec="libx264", options={"crf": "10"})
    pack(folder(tmp_path / "source"), tmp_path / "packed", PackSettings(short_side=40, **settings), workers=1)
    dataset = open_dataset(tmp_path / "packed")
    # 130 * 40 / 96 = 54.17
    assert (dataset.index.height[0], dataset.index.width[0]) == (40, 54)
    assert decode_frames(dataset, 0, np.array([2])).shape == (1, 40, 54, 3)


def test_damage_is_listed_and_the_rest_goes_on(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "source")
    whole = write_video(root / "A" / "whole.avi", numbered_frames(60)).read_bytes()
    (root / "A" / "cut.avi").write_bytes(whole[: len(whole) // 2])
    (root / "A" / "empty.avi").write_bytes(b"")
    (root / "A" / "text.avi").write_text("not a film\n" * 100)
    listing = folder(root)
    absent = Entry(root / "A" / "gone.avi", "A/gone.avi", 0, "gone", ("train",))
    seen: list[tuple[int, int]] = []
    report = pack(
        listing._replace(entries=(*listing.entries, absent)), tmp_path / "packed", workers=2, on_progress=lambda *step: seen.append(step)
    )
    reasons = {failure["video"]: failure["reason"] for failure in report.failed}
    assert sorted(reasons) == ["A/cut.avi", "A/empty.avi", "A/gone.avi", "A/text.avi"]
    assert "60 frames are announced" in reasons["A/cut.avi"] or "decoding fails after" in reasons["A/cut.avi"]
    assert reasons["A/empty.avi"] == "the file is empty"
    assert reasons["A/gone.avi"] == "the file is absent"
    assert "not a video" in reasons["A/text.avi"]
    assert report.videos == 5
    assert seen[0] == (0, 9)
    assert seen[-1] == (9, 9)
    assert json.loads((tmp_path / "packed" / "manifest.json").read_text())["failed"] == report.failed


def test_damage_in_mid_stream_is_listed(tmp_path: Path) -> None:
    path = write_video(tmp_path / "source" / "a" / "bad.avi", numbered_frames(60))
    write_video(tmp_path / "source" / "a" / "good.avi", numbered_frames(8))
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 200] = bytes(200)
    path.write_bytes(data)
    report = pack(folder(tmp_path / "source"), tmp_path / "packed", workers=1)
    assert [failure["video"] for failure in report.failed] == ["a/bad.avi"]


def test_films_that_lie_on_their_side_are_turned(tmp_path: Path) -> None:
    path = tmp_path / "source" / "a" / "v.mp4"
    data = write_video(path, numbered_frames(3), codec="libx264", options={"crf": "8"}).read_bytes()
    one = 1 << 16
    upright = struct.pack(">9i", one, 0, 0, 0, one, 0, 0, 0, 1 << 30)
    turned = struct.pack(">9i", 0, one, 0, -one, 0, 0, 0, 0, 1 << 30)
    # The first matrix is that of the whole film (mvhd), the second that of the track (tkhd).
    head, middle, tail = data.split(upright, 2)
    path.write_bytes(head + upright + middle + turned + tail)
    dataset = packed(tmp_path / "source", tmp_path)
    clip = decode_frames(dataset, 0, np.arange(3))
    assert clip.shape == (3, 64, 48, 3)
    compare_video(clip, np.ascontiguousarray(np.rot90(numbered_frames(3), -1, axes=(1, 2))), "v.mp4", limit=8.0)
    compare_video(clip, read_with_opencv(path), "v.mp4", limit=8.0)


def test_titles_in_strange_encodings_do_no_harm(tmp_path: Path) -> None:
    path = write_video(tmp_path / "source" / "a" / "v.avi", numbered_frames(3), title="plain title")
    data = path.read_bytes()
    assert b"plain title" in data
    path.write_bytes(data.replace(b"plain title", b"plain titl\xd3"))
    assert pack(folder(tmp_path / "source"), tmp_path / "packed", workers=1).failed == []


def test_nothing_readable_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "source" / "a").mkdir(parents=True)
    (tmp_path / "source" / "a" / "v.avi").write_bytes(b"")
    with pytest.raises(RuntimeError, match=r"None of the 1 listed videos could be packed; the first is a/v\.avi: the file is empty"):
        pack(folder(tmp_path / "source"), tmp_path / "packed", workers=1)


def test_an_encoder_that_cuts_otherwise_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "v.avi", numbered_frames(20))
    monkeypatch.setattr("objabn.data.pack_shard.encode_gops", lambda frames, **_: [b"init", *(b"GOP" for _ in frames)][:3])
    with pytest.raises(RuntimeError, match="2 GOPs of its 20 frames instead of 3"):
        encode_video(path, PackSettings(store="video"))


@pytest.mark.parametrize("settings", STORES[:2], ids=["frames", "video"])
def test_no_piece_of_a_video_is_larger_than_asked_for(tmp_path: Path, settings: dict[str, str]) -> None:
    write_video(tmp_path / "source" / "a" / "v.avi", numbered_frames(45))
    pack(folder(tmp_path / "source"), tmp_path / "packed", PackSettings(gop=250, **settings), workers=1)
    dataset = open_dataset(tmp_path / "packed")
    assert ("gop" in dataset.manifest) == (settings["store"] == "video")
    pieces = list(decode_video(dataset, 0, frames_at_once=16))
    assert [len(piece) for piece in pieces] == [16, 16, 13]
    np.testing.assert_array_equal(np.concatenate(pieces), decode_frames(dataset, 0, np.arange(45)))


@pytest.mark.parametrize("settings", STORES[:2], ids=["frames", "video"])
def test_damaged_bytes_name_video_and_frame(tmp_path: Path, settings: dict[str, str]) -> None:
    dataset = packed(class_folders(tmp_path / "source"), tmp_path, **settings)
    shard = tmp_path / "packed" / "shard-00000.safetensors"
    data = bytearray(shard.read_bytes())
    # The bytes of all videos stand at the end, and A/v1.avi is the first.
    start = len(data) - len(read_columns(shard).arrays["bytes"])
    data[start : start + 400] = bytes(400)
    shard.write_bytes(data)
    with pytest.raises(RuntimeError, match=r"(Frame 0|A part) of A/v1\.avi is not what was packed; delete .*shard-00000\.safetensors"):
        decode_frames(open_dataset(dataset.root), 0, np.array([0]))
    assert len(decode_frames(open_dataset(dataset.root), 3, np.array([0]))) == 1


def test_files_of_others_are_refused_in_one_sentence(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "source")
    save_file({"weight": np.zeros(3, np.float32)}, tmp_path / "shard-00000.safetensors")
    with pytest.raises(ValueError, match="shards that objabn prepare did not write"):
        pack(folder(root), tmp_path)
    dataset = packed(root, tmp_path)
    (dataset.root / "manifest.json").write_text('{"name": "x"}')
    with pytest.raises(RuntimeError, match=r"manifest\.json is damaged"):
        open_dataset(dataset.root)
    (dataset.root / "manifest.json").write_text("{")
    with pytest.raises(RuntimeError, match=r"manifest\.json is damaged"):
        open_dataset(dataset.root)


def test_a_finished_packing_reads_no_source(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "source")
    first = pack(folder(root), tmp_path / "packed", workers=1)
    (root / "A" / "v1.avi").write_bytes(b"")
    assert pack(folder(root), tmp_path / "packed") == first._replace(was_finished=True)
    assert not first.was_finished


def test_another_packing_in_the_folder_is_refused(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "source")
    pack(folder(root), tmp_path / "packed", workers=1)
    with pytest.raises(ValueError, match="quality=90, now asked is quality=80"):
        pack(folder(root), tmp_path / "packed", PackSettings(quality=80))
    with pytest.raises(ValueError, match="another list of videos"):
        pack(Listing("x", ("A",), folder(root).entries[:1]), tmp_path / "packed")
    with pytest.raises(ValueError, match="quality=10 is not possible"):
        pack(folder(root), tmp_path / "packed", PackSettings(quality=10))


def test_expected_size_is_near(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "source", frames=(20,) * 8)
    report = pack(folder(root), tmp_path / "packed", workers=1)
    listing = folder(root)
    assert expected_bytes(listing, settings=PackSettings()) == pytest.approx(report.bytes, rel=0.2)
    # Files that are not there take no room, and are not tried.
    absent = tuple(Entry(root / "A" / f"{number}.avi", f"A/{number}.avi", 0, "A", ("train",)) for number in range(40))
    assert expected_bytes(listing._replace(entries=listing.entries + absent), settings=PackSettings()) == pytest.approx(
        report.bytes, rel=0.2
    )


def test_a_folder_that_is_no_dataset_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="objabn prepare"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("settings", [pytest.param(STORES[0], id="frames"), pytest.param(STORES[1], id="video", marks=pytest.mark.slow)])
def test_real_clips_frame_for_frame(shared_data: Path, tmp_path: Path, settings: dict[str, str]) -> None:
    videos = shared_data / "ucf101" / "UCF-101"
    entries = tuple(Entry(videos / name, name, 0, name, ("train",)) for name in REAL_CLIPS)
    pack(Listing("real", ("any",), entries), tmp_path / "packed", PackSettings(**settings), workers=2)
    dataset = open_dataset(tmp_path / "packed")
    for row in range(len(dataset)):
        name = dataset.index.name(row)
        compare_video(np.concatenate(list(decode_video(dataset, row))), read_with_opencv(videos / name), name)
