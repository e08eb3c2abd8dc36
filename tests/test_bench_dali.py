"""DALI on originals as others would use it, and the decoders alone: the right frames, the right regions, and failures that are noticed."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
import torch

pytest.importorskip("nvidia.dali")
from benchmarks import dali_readers, loader
from benchmarks.ceilings import decoder_alone
from benchmarks.dali_originals import WholeFiles
from benchmarks.dali_readers import Drawn, PairedReaders, is_paired_exact
from benchmarks.mask_videos import THRESHOLD, write_mask_videos
from benchmarks.peers import pyav
from benchmarks.replay import Replay, is_frame_exact
from objabn.config import Config, DataConfig, ModelConfig, OptimConfig, RunConfig
from objabn.data.batching import grid_coverage
from objabn.data.dataset import PackedDataset, open_dataset
from objabn.data.decode import decode_frames
from objabn.data.masks import VideoMasks
from objabn.data.pack import pack
from objabn.data.pack_shard import PackSettings
from objabn.data.reader import reader, warp, warp_nearest
from objabn.data.schedule import Schedule
from objabn.data.segment import segment
from objabn.data.sources import folder
from tests.videos import numbered_frames, write_video

HEIGHT, WIDTH, SHORT_SIDE = 160, 208, 120
"""GPUs decode nothing much smaller; packed frames are a quarter smaller than the originals."""
LENGTHS = (30, 24, 27, 8, 33, 21)
"""Frames; a clip of four frames spans ten, so one video is too short for it."""
PLACES = ["cpu", pytest.param("gpu", marks=pytest.mark.gpu)]


def bar(frames_TYXC: np.ndarray) -> VideoMasks:
    """The bright bar, unless it is in the left third."""
    mask = frames_TYXC[..., 1] > 200
    mask[:, :, : mask.shape[2] // 3] = False
    return VideoMasks(mask, mask.any((1, 2)).astype(np.uint16))


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("videos")
    for number, count in enumerate(LENGTHS):
        pictures = numbered_frames(count, height=HEIGHT, width=WIDTH, seed=3 * number)
        path = root / "train" / "ab"[number % 2] / f"{number}.webm"
        write_video(path, pictures, codec="libvpx-vp9", options={"crf": "10", "b": "0", "deadline": "realtime", "cpu-used": "8"})
    return root


@pytest.fixture(scope="module")
def dataset(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> PackedDataset:
    root = tmp_path_factory.mktemp("packed")
    pack(folder(videos), root, PackSettings(short_side=SHORT_SIDE), workers=1)
    segment(open_dataset(root), bar, description={"segmenter": "bar"})
    return open_dataset(root)


@pytest.fixture
def config() -> Config:
    sizes = {"clip_frames": 4, "stride_frames": 3, "short_side": (96, 112), "eval_short_side": 96, "crop_size": 64}
    data = DataConfig(**sizes, flip_probability=0.5, decode="cpu", threads=1)
    return Config(data=data, model=ModelConfig(cut=3), optim=OptimConfig(batch=3), run=RunConfig(device="cpu", seed=5))


@pytest.mark.parametrize("place", PLACES)
def test_whole_files_give_the_plan(dataset: PackedDataset, videos: Path, config: Config, place: str) -> None:
    schedule = Schedule(dataset, config, subset="train")
    batches = list(WholeFiles(dataset, schedule, videos, place))
    assert len(batches) == 2
    for step, (batch, ours) in enumerate(zip(batches, reader(dataset, config), strict=True)):
        assert torch.equal(batch.frames, ours.frames)
        assert torch.equal(batch.mask_valid, ours.mask_valid)
        assert (batch.mask.cpu() - ours.mask).abs().max() < 0.05
        plan = schedule.clips_of(step)
        for number, row in enumerate(plan.video.tolist()):
            frames_TCYX = torch.from_numpy(pyav(videos / dataset.index.name(row), plan.frames[number], 25.0)).permute(0, 3, 1, 2).float()
            roi = (plan.roi[number] * HEIGHT / SHORT_SIDE).tolist()
            expected = warp(frames_TCYX, roi, 64).transpose(0, 1)
            assert (batch.clip[number].cpu().float() - expected).abs().mean() < 2
    reference = Replay(dataset, config, videos, pyav)
    assert is_frame_exact(batches[0].clip, reference)
    assert not is_frame_exact(batches[1].clip, reference)


def test_whole_files_that_dali_refuses_are_an_error(dataset: PackedDataset, config: Config, tmp_path: Path) -> None:
    for row in range(len(dataset)):
        write_video(tmp_path / dataset.index.name(row), numbered_frames(30, height=HEIGHT, width=WIDTH), codec="libvpx-vp9")
        (tmp_path / dataset.index.name(row)).write_bytes(b"no video")
    with pytest.raises(RuntimeError, match="video"):
        next(iter(WholeFiles(dataset, Schedule(dataset, config, subset="train"), tmp_path, "cpu")))


def test_mask_videos_are_the_masks(dataset: PackedDataset, tmp_path: Path) -> None:
    rows = np.array([4, 1])
    for row, path in zip(rows.tolist(), write_mask_videos(dataset, rows, tmp_path), strict=True):
        with av.open(str(path)) as container:
            assert container.streams.video[0].codec_context.name == "vp9"
            red = np.stack([frame.to_ndarray(format="rgb24")[..., 0] for frame in container.decode(video=0)])
        expected = dataset.masks(row, np.arange(dataset.index.frames[row])).mask
        assert 0 < expected.mean() < 1
        assert np.array_equal(red > THRESHOLD, expected[:, :, : red.shape[2]] > 0)


def drawn_batches(dataset: PackedDataset, videos: Path, config: Config, folder: Path, place: str = "cpu") -> list[Drawn]:
    return list(islice(iter(PairedReaders(dataset, config, videos, folder, place)), 6))


@pytest.mark.parametrize("place", PLACES)
def test_paired_readers_give_clips_with_their_masks(
    dataset: PackedDataset, videos: Path, config: Config, tmp_path: Path, place: str
) -> None:
    drawn = drawn_batches(dataset, videos, config, tmp_path, place)
    assert is_paired_exact(drawn, dataset, videos, clips=18)
    differences = []
    for of, number in ((of, number) for of in drawn for number in range(3)):
        row, frames = int(of.batch.video[number]), of.batch.frames[number].cpu().numpy()
        span = np.minimum(frames[0] + 3 * np.arange(4), LENGTHS[int(Path(dataset.index.name(row)).stem)] - 1)
        assert frames.tolist() == span.tolist()
        assert int(of.batch.label[number]) == dataset.index.label[row]
        masks = dataset.masks(row, frames)
        assert of.batch.mask_valid[number].tolist() == masks.valid.tolist()
        roi = of.roi[number].numpy() * np.tile(masks.mask.shape[1:], 2)
        expected = grid_coverage(warp_nearest(torch.from_numpy(masks.mask), roi.tolist(), 64)[None], config.grid_size)[0]
        differences.append((of.batch.mask[number].cpu() - expected).abs())
    assert (torch.stack(differences) < 0.1).float().mean() > 0.99
    assert 0.01 < torch.stack([of.batch.mask.mean() for of in drawn]).mean() < 0.9
    assert 0 < torch.cat([of.batch.mask_valid for of in drawn]).float().mean() < 1


def test_paired_readers_draw_the_regions_of_training(dataset: PackedDataset, videos: Path, config: Config, tmp_path: Path) -> None:
    drawn = drawn_batches(dataset, videos, config, tmp_path)
    assert {int(start) % 4 for of in drawn for start in of.batch.frames[:, 0]} == {0, 1, 2, 3}, "clips must begin anywhere"
    roi = torch.cat([of.roi for of in drawn])
    top, left, bottom, right = roi.T
    assert roi.min() >= 0
    assert roi.max() <= 1
    short_sides = 64 / (bottom - top)
    torch.testing.assert_close(short_sides, short_sides.round(), rtol=0, atol=1e-3)
    assert 96 <= short_sides.round().min() < short_sides.round().max() <= 112
    torch.testing.assert_close((right - left).abs() * WIDTH, (bottom - top) * HEIGHT)
    assert {bool(is_flipped) for is_flipped in left > right} == {False, True}


def test_false_claims_of_the_readers_are_noticed(dataset: PackedDataset, videos: Path, config: Config, tmp_path: Path) -> None:
    drawn = drawn_batches(dataset, videos, config, tmp_path)
    later = [of._replace(batch=of.batch._replace(frames=of.batch.frames + 1), mask_frames=of.mask_frames + 1) for of in drawn]
    assert not is_paired_exact(later, dataset, videos, clips=18)
    assert not is_paired_exact([of._replace(mask_frames=of.mask_frames + 1) for of in drawn], dataset, videos, clips=18)
    assert not is_paired_exact([of._replace(mask_video=of.mask_video + 1) for of in drawn], dataset, videos, clips=18)


def test_one_mask_video_of_another_length_drives_the_readers_apart(
    dataset: PackedDataset, videos: Path, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_one_short(packed: PackedDataset, rows: np.ndarray, folder: Path) -> list[Path]:
        paths = write_mask_videos(packed, rows, folder)
        write_video(paths[0], numbered_frames(12, height=120, width=156), codec="libvpx-vp9")
        return paths

    monkeypatch.setattr(dali_readers, "write_mask_videos", write_one_short)
    assert not is_paired_exact(drawn_batches(dataset, videos, config, tmp_path), dataset, videos, clips=18)


def test_decoders_alone_give_whole_pictures(dataset: PackedDataset, config: Config) -> None:
    ceiling = decoder_alone(dataset, config, "cpu")
    assert ceiling.pictures_per_clip == 4
    plan = Schedule(dataset, config, subset="train").clips_of(0)
    (pictures,) = next(ceiling.contestant.batches)
    expected = np.concatenate([decode_frames(dataset, row, frames) for row, frames in zip(plan.video.tolist(), plan.frames, strict=True)])
    assert len(pictures) == 12
    assert np.abs(np.stack([pictures.at(place) for place in range(12)]).astype(int) - expected).mean() < 1


def test_decoders_alone_count_the_pictures_between(videos: Path, config: Config, tmp_path: Path) -> None:
    pack(folder(videos), tmp_path / "packed", PackSettings(store="video", codec="vp9", gop=4), workers=1)
    config = replace(config, data=replace(config.data, sampling="uniform", clip_frames=2))
    ceiling = decoder_alone(open_dataset(tmp_path / "packed"), config, "cpu")
    # Frames 0 and half: of 30, 24, 27, 8, 33, 21 frames 15, 12, 13, 4, 16, 10, which are numbers 3, 0, 1, 0, 0, 2 of their GOP; before
    # it comes the first GOP, four pictures.
    assert ceiling.pictures_per_clip == pytest.approx(4 + np.mean([4, 1, 2, 1, 1, 3]))
    (clips,) = next(ceiling.contestant.batches)
    assert [clips.at(number).shape for number in range(3)] == [(2, HEIGHT, WIDTH, 3)] * 3


@pytest.mark.slow
def test_originals_stand_beside_our_loaders(dataset: PackedDataset, videos: Path, config: Config) -> None:
    rows = loader.run([dataset], config, videos, batches=1, repeats=1, has_step=False)
    exact = {row.peer_name: row.peer_exact for row in rows}
    if not torch.cuda.is_available():
        assert exact["DALI on the CPU, whole originals"] is True
        assert exact["DALI's paired readers on the CPU, originals and mask videos"] is True
        assert exact["decoder alone on the CPU, JPEG"] is None
