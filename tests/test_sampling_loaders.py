"""All kinds of sampling through both loaders: frames far apart, repeated and in any order, from every store."""

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from videos import numbered_frames, write_video

from objabn.config import Config, DataConfig, ModelConfig, OptimConfig, RunConfig
from objabn.data.dataset import PackedDataset, open_dataset
from objabn.data.decode import decode_video
from objabn.data.pack import pack
from objabn.data.pack_shard import PackSettings
from objabn.data.reader import reader, recolour, warp
from objabn.data.sources import folder
from objabn.explainers.video import film_rate, read_centre_clip
from objabn.types import Batch

KINDS = {
    "segments": {"sampling": "segments"},
    "uniform": {"sampling": "uniform", "views": (2, 1)},
    "loop": {"stride_frames": 11, "short_videos": "loop"},
    "rate": {"stride_frames": 2, "frames_per_second": 60.0},
    "repeats": {"stride_frames": 1, "frames_per_second": 100.0},
    "views": {"stride_frames": 2, "views": (10, 3)},
    "colours": {"colour_jitter": 0.4, "colour_noise": 0.1},
}
"""Of videos of 30, 21 and 5 frames at 25 a second, in GOPs of 8."""


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("videos")
    for subset in ("train", "test"):
        for number, frames in enumerate((30, 21, 5)):
            pictures = numbered_frames(frames, height=144, width=176, seed=number)
            write_video(root / subset / "ab"[number % 2] / f"{number}.avi", pictures)
    return root


@pytest.fixture(scope="module")
def packs(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, PackedDataset]:
    stores = {
        "frames": PackSettings(store="frames"),
        "vp9": PackSettings(store="video", codec="vp9"),
        "h264": PackSettings(store="video", codec="h264"),
    }
    root = tmp_path_factory.mktemp("packs")
    for name, settings in stores.items():
        pack(folder(videos), root / name, settings, workers=1)
    return {name: open_dataset(root / name) for name in stores}


def config_of(kind: str) -> Config:
    data = DataConfig(
        clip_frames=6,
        short_side=(144, 160),
        eval_short_side=144,
        crop_size=128,
        decode="cpu",
        threads=1,
        **{"stride_frames": 4, **KINDS[kind]},
    )
    return Config(data=data, model=ModelConfig(cut=4), optim=OptimConfig(batch=3), run=RunConfig(device="cpu"))


def assert_same(found: Iterable[Batch], references: Iterable[Batch]) -> None:
    for ours, reference in zip(found, references, strict=True):
        difference = (ours.clip.cpu().float() - reference.clip.float()).abs().mean((1, 3, 4))
        assert difference.max() <= 2, "frame by frame: a wrong one must not hide among the others"
        for name in ("label", "video", "frames", "view", "present"):
            assert torch.equal(getattr(ours, name), getattr(reference, name)), name


@pytest.mark.parametrize("subset", ["train", "test"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("store", ["frames", "vp9"])
def test_dali_and_reader_agree(packs: dict[str, PackedDataset], store: str, kind: str, subset: str) -> None:
    pytest.importorskip("nvidia.dali")
    from dali_pipelines import loader

    config = config_of(kind)
    assert_same(loader(packs[store], config, subset=subset), reader(packs[store], config, subset=subset))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("store", ["frames", "vp9", "h264"])
def test_the_reader_shows_the_frames_of_the_plan(packs: dict[str, PackedDataset], store: str, kind: str) -> None:
    dataset, config = packs[store], config_of(kind)
    videos = {video: np.concatenate(list(decode_video(dataset, video))) for video in dataset.index.rows("test").tolist()}
    batches = reader(dataset, config, subset="test")
    for step, batch in enumerate(batches):
        plan = batches.schedule.clips_of(step)
        for clip, shown in enumerate(batch.clip):
            frames_TYXC = videos[int(plan.video[clip])][plan.frames[clip]]
            expected = warp(torch.from_numpy(frames_TYXC).permute(0, 3, 1, 2).float(), plan.roi[clip].tolist(), 128)
            assert torch.equal(shown.transpose(0, 1), expected.round().to(torch.uint8))


def test_the_reader_changes_colours_behind_the_warp(packs: dict[str, PackedDataset]) -> None:
    config = config_of("colours")
    plain = replace(config, data=replace(config.data, colour_jitter=0.0, colour_noise=0.0))
    coloured, uncoloured = (reader(packs["frames"], kind) for kind in (config, plain))
    (ours,), (theirs,) = coloured, uncoloured
    for row, colour in enumerate(coloured.schedule.clips_of(0).colour):
        expected = recolour(theirs.clip[row].transpose(0, 1), torch.from_numpy(colour))
        assert torch.equal(ours.clip[row].transpose(0, 1), expected)
        assert (ours.clip[row].float() - theirs.clip[row].float()).abs().mean() > 3


def test_the_kinds_are_what_they_say(packs: dict[str, PackedDataset]) -> None:
    seen = {kind: [batch.frames for batch in reader(packs["frames"], config_of(kind), subset="test")] for kind in KINDS}
    steps = {kind: torch.cat(frames).diff(dim=1) for kind, frames in seen.items()}
    assert steps["loop"].min() < 0
    assert steps["segments"].min() >= 0
    assert (steps["repeats"] == 0).any()
    assert (steps["uniform"] >= 5).any(), "GOPs are left out"
    assert sum(len(frames) for frames in seen["views"]) == 3 * 30


@pytest.mark.parametrize("kind", KINDS)
def test_an_explanation_sees_the_single_view_of_evaluation(packs: dict[str, PackedDataset], videos: Path, kind: str) -> None:
    config = config_of(kind)
    single = replace(config, data=replace(config.data, views=(1, 1)))
    index = packs["frames"].index
    for batch in reader(packs["frames"], single, subset="test"):
        for row, clip, frames in zip(batch.video.tolist(), batch.clip, batch.frames, strict=True):
            found = read_centre_clip(videos / index.name(row), config.data)
            assert found.frames.tolist() == frames.tolist()
            assert (found.clip.float() - clip.float()).abs().mean((0, 2, 3)).max() <= 2, "but for JPEG they are the same"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"stride_frames": 4}, Fraction(25, 4)),
        ({"stride_frames": 4, "frames_per_second": 30.0}, Fraction(30, 4)),
        ({"stride_frames": 50}, Fraction(1)),
        ({"sampling": "segments"}, Fraction(25 * 16, 100)),  # 16 frames of a video of 4 seconds
    ],
)
def test_a_film_is_as_fast_as_its_video(data: dict, expected: Fraction) -> None:
    assert film_rate(DataConfig(**data), 100, Fraction(25)) == expected


@pytest.mark.gpu
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("store", ["frames", "vp9", "h264"])
def test_decoding_on_the_gpu_agrees(packs: dict[str, PackedDataset], store: str, kind: str) -> None:
    from dali_pipelines import loader

    config = config_of(kind)
    on_gpu = replace(config, data=replace(config.data, decode="gpu"), run=replace(config.run, device="cuda"))
    assert_same(loader(packs[store], on_gpu, subset="test"), reader(packs[store], config, subset="test"))
