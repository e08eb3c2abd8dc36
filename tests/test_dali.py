"""The DALI graphs give the batches of the reader, on both stores, bit for bit from any position."""

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from objabn.config import Config, DataConfig, ModelConfig, OptimConfig, RunConfig
from objabn.data.dataset import PackedDataset, open_dataset
from objabn.data.masks import VideoMasks
from objabn.data.pack import pack
from objabn.data.reader import reader
from objabn.data.segment import segment
from objabn.data.sources import folder

pytest.importorskip("nvidia.dali")
from dali_pipelines import loader

FRAMES, HEIGHT, WIDTH = 40, 120, 160


def write_video(path: Path, seed: int) -> None:
    """A smooth texture that moves by two pixels a frame, so that neighbouring frames can be told apart."""
    generator = np.random.default_rng(seed)
    coarse = torch.from_numpy(generator.uniform(0, 255, (1, 3, 12, 24)))
    texture = torch.nn.functional.interpolate(coarse, size=(HEIGHT, WIDTH + 2 * FRAMES), mode="bicubic").clamp(0, 255)
    texture_YXC = texture[0].permute(1, 2, 0).to(torch.uint8).numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = WIDTH, HEIGHT, "yuv420p", 4_000_000
        for number in range(FRAMES):
            picture = np.ascontiguousarray(texture_YXC[:, 2 * number : 2 * number + WIDTH])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def bright_regions(frames_TYXC: np.ndarray) -> VideoMasks:
    """A segmenter of the test's own: whatever is bright in red; nothing in frames with an even mean."""
    mask = frames_TYXC[..., 0] > 140
    counts = np.where(frames_TYXC.mean((1, 2, 3)).astype(int) % 4 > 0, 1, 0).astype(np.uint16)
    return VideoMasks(mask & (counts > 0)[:, None, None], counts)


@pytest.fixture(scope="module", params=["frames", "video"])
def dataset(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> PackedDataset:
    root = tmp_path_factory.mktemp("dali")
    for number in range(7):
        write_video(root / "videos" / "train" / "ab"[number % 2] / f"{number}.avi", number)
    for number in range(3):
        write_video(root / "videos" / "test" / "ab"[number % 2] / f"{number}.avi", 10 + number)
    pack(folder(root / "videos"), root / "pack", store=request.param, codec="vp9", workers=1)
    segment(open_dataset(root / "pack"), bright_regions, description={"segmenter": "bright_regions"})
    return open_dataset(root / "pack")


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


@pytest.mark.parametrize("subset", ["train", "test"])
def test_dali_and_reader_give_the_same_batches(dataset: PackedDataset, config: Config, subset: str) -> None:
    pairs = list(zip(loader(dataset, config, subset=subset), reader(dataset, config, subset=subset), strict=True))
    assert len(pairs) == (2 if subset == "train" else 1)
    coverage_difference = []
    for ours, reference in pairs:
        assert ours.clip.shape == (3, 3, 4, 64, 64)
        assert ours.mask.shape == (3, 4, 8, 8)
        assert (ours.clip.float() - reference.clip.float()).abs().mean() <= 2
        coverage_difference.append((ours.mask - reference.mask).abs())
        for name in ("mask_valid", "label", "video", "frames", "view", "present"):
            assert torch.equal(getattr(ours, name), getattr(reference, name)), name
    assert (torch.stack(coverage_difference) <= 0.02).float().mean() >= 0.995
    assert 0.05 < torch.stack([reference.mask.mean() for _, reference in pairs]).mean() < 0.95, "masks must hold something to compare"


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


def test_batches_keep_their_values_while_later_ones_are_made(dataset: PackedDataset, config: Config) -> None:
    kept, copies = [], []
    endless = loader(dataset, config)
    for _epoch in range(4):
        for batch in endless:
            kept.append(batch.clip)
            copies.append(batch.clip.clone())
    assert all(torch.equal(a, b) for a, b in zip(kept, copies, strict=True))


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


@pytest.mark.gpu
def test_gpu_decode_matches_the_reader(dataset: PackedDataset, config: Config) -> None:
    on_gpu = replace(config, data=replace(config.data, decode="gpu"), run=replace(config.run, device="cuda"))
    for ours, reference in zip(loader(dataset, on_gpu), reader(dataset, config), strict=True):
        assert ours.clip.is_cuda
        assert (ours.clip.cpu().float() - reference.clip.float()).abs().mean() <= 2
        assert ((ours.mask.cpu() - reference.mask).abs() <= 0.02).float().mean() >= 0.995
