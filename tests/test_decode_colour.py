"""Colours of one and the same packed bytes wherever they are decoded, in grey levels from the reader's.

JPEG is BT.601 in full range, as JFIF has it; VP9 and H.264 are BT.601 in limited range, which the packed stream says of itself.
Pillow is the reference for JPEG; for video it is PyAV's planes, turned to RGB by `objabn/data/colour.py`.
"""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from videos import write_video

from objabn.config import Config, DataConfig, ModelConfig, OptimConfig, RunConfig
from objabn.data.dataset import PackedDataset, open_dataset
from objabn.data.pack import pack
from objabn.data.pack_shard import PackSettings
from objabn.data.reader import reader
from objabn.data.sources import folder

pytest.importorskip("nvidia.dali")
from dali_pipelines import loader

CROP = 144
SIZES = ((146, 162), (146, 250), (176, 146))
"""Height and width, of which only one is a multiple of 16 and most are none of 4; GPUs decode nothing much smaller."""
STORES = {
    "jpeg": PackSettings(store="frames"),
    "vp9": PackSettings(store="video", codec="vp9"),
    "h264": PackSettings(store="video", codec="h264"),
}
BT709 = {"RED_FROM_V": 1.792741, "GREEN_FROM_U": -0.213249, "GREEN_FROM_V": -0.532909, "BLUE_FROM_U": 2.112402}


class Difference(NamedTuple):
    """Grey levels between two ways to decode."""

    mean: float
    """Over a clip and channel, the largest of all."""
    largest: float
    """Of any one value."""


ON_CPU = Difference(0.1, 2)
ON_GPU = Difference(1.5, 8)
"""Chroma that is taken to lie on the left pixels and not between them moves these colours by 1.4 on average and 5 at most; a decoder may
do so. Repeated instead of interpolated it moves them by 1.6, and by BT.709 they differ by 12."""


def compare(dataset: PackedDataset, config: Config) -> Difference:
    """Return how far DALI's clips are from the reader's; the crop lies on whole pixels, so that only decoding tells."""
    pairs = zip(loader(dataset, config, subset="test"), reader(dataset, config, subset="test"), strict=True)
    distances = [(ours.clip.cpu().float() - reference.clip.float()).abs() for ours, reference in pairs]
    return Difference(max(float(found.mean((2, 3, 4)).max()) for found in distances), max(float(found.max()) for found in distances))


def colourful(frames: int, height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """Return (T, Y, X, 3): soft shapes in strong colours that drift: a wrong matrix shows, the place of chroma hardly does."""
    coarse = torch.from_numpy(np.random.default_rng(seed).uniform(-20, 275, (1, 3, 3, 5)))
    texture = torch.nn.functional.interpolate(coarse, size=(height, width + 2 * frames), mode="bicubic").clamp(0, 255)
    texture_YXC = texture[0].permute(1, 2, 0).to(torch.uint8).numpy()
    return np.stack([texture_YXC[:, 2 * number : 2 * number + width] for number in range(frames)])


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PackedDataset]:
    root = tmp_path_factory.mktemp("colour")
    for number, (height, width) in enumerate(SIZES):
        write_video(root / "videos/test/a" / f"{number}.avi", colourful(12, height, width, seed=number))
    for name, settings in STORES.items():
        pack(folder(root / "videos"), root / name, settings, workers=1)
    return {name: open_dataset(root / name) for name in STORES}


def config_of(place: str) -> Config:
    data = DataConfig(clip_frames=6, stride_frames=2, short_side=(146, 146), eval_short_side=146, crop_size=CROP, decode=place, threads=1)
    run = RunConfig(device="cpu" if place == "cpu" else "cuda")
    return Config(data=data, model=ModelConfig(cut=4), optim=OptimConfig(batch=3), run=run)


def assert_within(found: Difference, allowed: Difference) -> None:
    assert found.mean <= allowed.mean, found
    assert found.largest <= allowed.largest, found


@pytest.mark.parametrize("kind", ["jpeg", "vp9"])
def test_colours_on_the_cpu(packs: dict[str, PackedDataset], kind: str) -> None:
    assert_within(compare(packs[kind], config_of("cpu")), ON_CPU)


def test_a_wrong_matrix_would_be_noticed(packs: dict[str, PackedDataset], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, factor in BT709.items():
        monkeypatch.setattr(f"objabn.data.colour.{name}", factor)
    assert compare(packs["vp9"], config_of("cpu")).mean > 5 * ON_GPU.mean


@pytest.mark.gpu
@pytest.mark.parametrize(("kind", "place"), [("jpeg", "hybrid"), ("jpeg", "gpu"), ("vp9", "hybrid"), ("vp9", "gpu"), ("h264", "gpu")])
def test_colours_on_a_gpu(packs: dict[str, PackedDataset], kind: str, place: str) -> None:
    assert_within(compare(packs[kind], config_of(place)), ON_GPU)
