"""The DALI graphs give the batches of the reader, on both stores, bit for bit from any position."""

import gc
import weakref
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from objabn.config import Config, DataConfig, ModelConfig, OptimConfig, RunConfig
from objabn.data.dataset import PackedDataset, open_dataset
from objabn.data.decode import decode_video
from objabn.data.masks import VideoMasks
from objabn.data.pack import pack
from objabn.data.pack_shard import PackSettings
from objabn.data.reader import reader, warp
from objabn.data.segment import segment
from objabn.data.sources import folder

pytest.importorskip("nvidia.dali")
from dali_pipelines import loader
from objabn.types import Batch

FRAMES = 40
SIZES = ((146, 162), (160, 208))
"""Height and width of the videos, two and two; GPUs decode nothing much smaller, and the first is no whole number of mask bytes."""


def write_video(path: Path, seed: int, *, frames: int = FRAMES) -> None:
    """A smooth texture that moves by two pixels a frame, so that neighbouring frames can be told apart."""
    height, width = SIZES[seed // 2 % 2]
    generator = np.random.default_rng(seed)
    coarse = torch.from_numpy(generator.uniform(0, 255, (1, 3, 12, 24)))
    texture = torch.nn.functional.interpolate(coarse, size=(height, width + 2 * frames), mode="bicubic").clamp(0, 255)
    texture_YXC = texture[0].permute(1, 2, 0).to(torch.uint8).numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = width, height, "yuv420p", 4_000_000
        for number in range(frames):
            picture = np.ascontiguousarray(texture_YXC[:, 2 * number : 2 * number + width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def bright_regions(frames_TYXC: np.ndarray) -> VideoMasks:
    """A segmenter of the test's own: whatever is bright in red; nothing in frames with an even mean."""
    mask = frames_TYXC[..., 0] > 140
    counts = np.where(frames_TYXC.mean((1, 2, 3)).astype(int) % 4 > 0, 1, 0).astype(np.uint16)
    return VideoMasks(mask & (counts > 0)[:, None, None], counts)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven videos to train with; three to test with, of which one is shorter than a clip."""
    root = tmp_path_factory.mktemp("videos")
    for number in range(7):
        write_video(root / "train" / "ab"[number % 2] / f"{number}.avi", number)
    for number in range(3):
        write_video(root / "test" / "ab"[number % 2] / f"{number}.avi", 10 + number, frames=(FRAMES, FRAMES, 2)[number])
    return root


def prepared(videos: Path, root: Path, settings: PackSettings) -> PackedDataset:
    pack(folder(videos), root, settings, workers=1)
    segment(open_dataset(root), bright_regions, description={"segmenter": "bright_regions"})
    return open_dataset(root)


@pytest.fixture(scope="module", params=["frames", "video"])
def dataset(request: pytest.FixtureRequest, videos: Path, tmp_path_factory: pytest.TempPathFactory) -> PackedDataset:
    return prepared(videos, tmp_path_factory.mktemp("pack"), PackSettings(store=request.param, codec="vp9"))


@pytest.fixture(scope="module")
def h264_dataset(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> PackedDataset:
    return prepared(videos, tmp_path_factory.mktemp("h264"), PackSettings(store="video", codec="h264", gop=4))


@pytest.fixture
def config() -> Config:
    data = DataConfig(
        clip_frames=4,
        stride_frames=3,
        short_side=(96, 112),
        eval_short_side=96,
        crop_size=64,
        flip_probability=0.5,
        decode="cpu",
        threads=1,
    )
    return Config(data=data, model=ModelConfig(cut=3), optim=OptimConfig(batch=3), run=RunConfig(device="cpu", seed=5))


def with_batch(config: Config, subset: str) -> Config:
    """Three clips a batch, or two in the test, so that its last batch is padded."""
    return replace(config, optim=OptimConfig(batch=3 if subset == "train" else 2))


def on_gpu(config: Config) -> Config:
    return replace(config, data=replace(config.data, decode="gpu"), run=replace(config.run, device="cuda"))


def with_distant_gops(config: Config) -> Config:
    """Frames 0, 12, 24, 36 of 40: whole GOPs of four lie between them."""
    return replace(config, data=replace(config.data, stride_frames=12))


def assert_same_batches(found: Iterable[Batch], references: Iterable[Batch], *, clips: int) -> list[tuple[Batch, Batch]]:
    """Assert that DALI's batches are those of the reader up to rounding, and return the pairs."""
    pairs = [(ours.to("cpu", non_blocking=False), reference) for ours, reference in zip(found, references, strict=True)]
    coverage_difference = []
    for ours, reference in pairs:
        assert ours.clip.shape == (clips, 3, 4, 64, 64)
        assert ours.mask.shape == (clips, 4, 8, 8)
        # Clip by clip: a wrong one must not hide among the others.
        assert ((ours.clip.float() - reference.clip.float()).abs().mean((1, 2, 3, 4)) <= 2).all()
        coverage_difference.append((ours.mask - reference.mask).abs())
        for name in ("mask_valid", "label", "video", "frames", "view", "present"):
            assert torch.equal(getattr(ours, name), getattr(reference, name)), name
    assert (torch.stack(coverage_difference) <= 0.02).float().mean() >= 0.995
    assert 0.05 < torch.stack([reference.mask.mean() for _, reference in pairs]).mean() < 0.95, "masks must hold something to compare"
    return pairs


@pytest.mark.parametrize("subset", ["train", "test"])
def test_dali_and_reader_give_the_same_batches(dataset: PackedDataset, config: Config, subset: str) -> None:
    config = with_batch(config, subset)
    found, references = loader(dataset, config, subset=subset), reader(dataset, config, subset=subset)
    pairs = assert_same_batches(found, references, clips=config.optim.batch)
    assert len(pairs) == 2
    assert any(len(set(dataset.index.height[ours.video])) == 2 for ours, _ in pairs), "frames of two sizes must meet in a batch"
    assert [ours.present.tolist() for ours, _ in pairs] == ([[True] * 3] * 2 if subset == "train" else [[True, True], [True, False]])


def test_the_reader_shows_the_frames_of_an_h264_pack(h264_dataset: PackedDataset, config: Config) -> None:
    config = with_batch(with_distant_gops(config), "test")
    batches = reader(h264_dataset, config, subset="test")
    shown = [(step, clip) for step, batch in enumerate(batches) for clip in range(2) if batch.present[clip]]
    seen_frames = []
    for step, clip in shown:
        plan = batches.schedule.clips_of(step)
        whole = np.concatenate(list(decode_video(h264_dataset, int(plan.video[clip]))))
        frames_TCYX = torch.from_numpy(whole[plan.frames[clip]]).permute(0, 3, 1, 2).float()
        expected = warp(frames_TCYX, plan.roi[clip].tolist(), 64).round().to(torch.uint8)
        assert torch.equal(list(reader(h264_dataset, config, subset="test"))[step].clip[clip].transpose(0, 1), expected)
        seen_frames.append(plan.frames[clip].tolist())
    assert sorted(seen_frames) == [[0, 1, 1, 1], [1, 13, 25, 37], [1, 13, 25, 37]]


def test_the_comparison_would_notice_a_shift_of_one_frame(dataset: PackedDataset, config: Config) -> None:
    batch = next(iter(loader(dataset, config)))
    shown = reader(dataset, config)
    plan = shown.schedule.clips_of(0)
    neighbour = shown.read_clip(plan.take(slice(0, 1))._replace(frames=np.minimum(plan.frames[:1] + 1, FRAMES - 1)))[0]
    assert (batch.clip[0].permute(1, 2, 3, 0).float() - neighbour.float()).abs().mean() > 2


def test_starting_later_gives_what_would_have_come(dataset: PackedDataset, config: Config) -> None:
    straight = loader(dataset, config)
    batches = [batch for _epoch in range(2) for batch in straight]
    assert straight.state == 12
    resumed = loader(dataset, config, start_sample=9)
    (batch,) = list(resumed)
    assert all(torch.equal(a, b) for a, b in zip(batch, batches[3], strict=True))
    assert resumed.state == 12


def assert_batches_keep_their_values(dataset: PackedDataset, config: Config) -> None:
    kept, copies = [], []
    endless = loader(dataset, config)
    for _epoch in range(4):
        for batch in endless:
            kept.append(batch.clip)
            copies.append(batch.clip.clone())
    assert all(torch.equal(a, b) for a, b in zip(kept, copies, strict=True))


def test_batches_keep_their_values_while_later_ones_are_made(dataset: PackedDataset, config: Config) -> None:
    assert_batches_keep_their_values(dataset, config)


def test_a_loader_out_of_scope_frees_its_pipeline_at_once(dataset: PackedDataset, config: Config) -> None:
    batches = loader(dataset, config)
    assert len(list(batches)) == 2
    pipeline = weakref.ref(batches.pipeline)
    gc.disable()
    try:
        del batches
        assert pipeline() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("make", [loader, reader])
def test_an_evaluation_left_early_begins_anew(dataset: PackedDataset, config: Config, make: object) -> None:
    small = replace(config, optim=OptimConfig(batch=1))
    batches = make(dataset, small, subset="test")
    first = next(iter(batches))
    again = [batch.video.item() for batch in batches]
    assert len(again) == 3
    assert again[0] == first.video.item()


def test_clip_and_mask_move_together(dataset: PackedDataset, config: Config) -> None:
    """What is bright in the warped clip is what the warped mask covers, flipped or not."""
    for batch in loader(dataset, config):
        red = batch.clip[:, 0].float()
        bright = torch.nn.functional.adaptive_avg_pool2d((red > 140).float(), 8)
        difference = (bright - batch.mask).abs()[batch.mask_valid]
        assert difference.mean() < 0.05


def test_h264_without_a_gpu_names_the_ways_out(dataset: PackedDataset, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    if dataset.store != "video":
        pytest.skip("a matter of the video store")
    monkeypatch.setitem(dataset.manifest, "codec", "h264")
    with pytest.raises(RuntimeError, match="--loader reader, or pack with --codec vp9"):
        loader(dataset, config)


def test_chosen_videos_are_read_once_as_in_evaluation(dataset: PackedDataset, config: Config) -> None:
    rows = np.array([3, 0, 2])
    found = list(loader(dataset, config, rows=rows))
    assert np.concatenate([batch.video[batch.present] for batch in found]).tolist() == rows.tolist()
    assert_same_batches(found, reader(dataset, config, rows=rows), clips=config.optim.batch)


@pytest.mark.gpu
@pytest.mark.parametrize("subset", ["train", "test"])
def test_gpu_decode_matches_the_reader(dataset: PackedDataset, config: Config, subset: str) -> None:
    config = with_batch(config, subset)
    found = list(loader(dataset, on_gpu(config), subset=subset))
    assert all(batch.clip.is_cuda for batch in found)
    assert_same_batches(found, reader(dataset, config, subset=subset), clips=config.optim.batch)


@pytest.mark.gpu
@pytest.mark.parametrize("subset", ["train", "test"])
def test_gpu_decode_of_h264_matches_the_reader(h264_dataset: PackedDataset, config: Config, subset: str) -> None:
    config = with_batch(with_distant_gops(config), subset)
    found = loader(h264_dataset, on_gpu(config), subset=subset)
    assert_same_batches(found, reader(h264_dataset, config, subset=subset), clips=config.optim.batch)


@pytest.mark.gpu
def test_batches_on_the_gpu_keep_their_values(dataset: PackedDataset, config: Config) -> None:
    assert_batches_keep_their_values(dataset, on_gpu(config))


@pytest.mark.gpu
def test_h264_batches_on_the_gpu_keep_their_values(h264_dataset: PackedDataset, config: Config) -> None:
    assert_batches_keep_their_values(h264_dataset, on_gpu(config))
