"""The demo's class is the motion and nothing else: a network that trains well on clips learns nothing from their frames out of order."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from objabn.config import Config
from objabn.data.dataset import PackedDataset
from objabn.data.demo import make_demo
from objabn.data.reader import Reader, reader
from objabn.evaluation import evaluate
from objabn.models.build import build_model
from objabn.recipes import recipe
from objabn.training.loop import fit
from objabn.types import Batch

pytestmark = pytest.mark.slow


class Rearranged:
    """A loader whose clips, masks with them, have other frames or another order of them."""

    def __init__(self, batches: Reader, choose: Callable[[int], Tensor]) -> None:
        self.batches, self.choose = batches, choose

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.batches:
            order = self.choose(batch.clip.shape[2])
            yield batch._replace(clip=batch.clip[:, :, order], mask=batch.mask[:, order], mask_valid=batch.mask_valid[:, order])


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PackedDataset:
    return make_demo(tmp_path_factory.mktemp("demo"))


def accuracy(dataset: PackedDataset, choose: Callable[[int], Tensor]) -> float:
    config: Config = recipe("demo")
    config = replace(config, run=replace(config.run, device="cpu", evaluate_epochs=0))
    torch.manual_seed(0)
    net = build_model(config.model, classes=4, clip_frames=config.data.clip_frames, clip_size=config.data.crop_size)
    fit(net, Rearranged(reader(dataset, config), choose), config, loggers=[])
    return evaluate(net, Rearranged(reader(dataset, config, subset="test"), choose), device="cpu").top1


def test_clips_are_learnt(dataset: PackedDataset) -> None:
    assert accuracy(dataset, torch.arange) >= 90


@pytest.mark.parametrize("choose", [torch.randperm, lambda frames: torch.randint(frames, (1,)).expand(frames)], ids=["shuffled", "single"])
def test_frames_without_their_order_teach_nothing(dataset: PackedDataset, choose: Callable[[int], Tensor]) -> None:
    # Chance is 25 %; with 120 videos its standard error is 4 points.
    assert accuracy(dataset, choose) <= 37
