"""Evaluation against numbers worked out by hand: four cells, two frames, two views, padding."""

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from toys import nano, toy_batch, toy_config

from objabn.evaluation import Evaluation, evaluate
from objabn.types import Batch, Output

T, GRID = 2, 2


class Answers(nn.Module):
    """Says what it is told: the clip's first pixels number the answer."""

    def __init__(
        self,
        logits: list[list[float]],
        *,
        branch: list[list[float]] | None = None,
        maps: Tensor | None = None,
        names: tuple[str, ...] = ("M_o",),
    ) -> None:
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(1))
        self.map_names = names
        self.logits = torch.tensor(logits)
        self.branch = None if branch is None else torch.tensor(branch)
        self.maps = torch.rand(len(logits), len(names), T, GRID, GRID) if maps is None else maps
        self.was_in_training: list[bool] = []

    def forward(self, clip: Tensor) -> Output:
        self.was_in_training.append(self.training)
        number = clip[:, 0, 0, 0, 0].long()
        return Output(self.logits[number], None if self.branch is None else self.branch[number], self.maps[number], None, None)


def batch_of(
    numbers: list[int],
    *,
    videos: list[int],
    labels: list[int],
    views: list[int] | None = None,
    absent: tuple[int, ...] = (),
    mask: Tensor | None = None,
    valid: Tensor | None = None,
) -> Batch:
    count = len(numbers)
    clip = torch.zeros(count, 3, T, 4, 4, dtype=torch.uint8)
    clip[:, 0, 0, 0, 0] = torch.tensor(numbers)
    return Batch(
        clip=clip,
        mask=torch.zeros(count, T, GRID, GRID) if mask is None else mask,
        mask_valid=torch.zeros(count, T, dtype=torch.bool) if valid is None else valid,
        label=torch.tensor(labels),
        video=torch.tensor(videos),
        frames=torch.zeros(count, T, dtype=torch.int64),
        view=torch.tensor(views or [0] * count),
        present=torch.tensor([position not in absent for position in range(count)]),
    )


def logits_of(*probabilities: float) -> list[float]:
    return [math.log(p) for p in probabilities]


def test_accuracies_by_hand() -> None:
    # Video 10 is right (0.6), video 11 wrong (0.3), video 12 right (0.5): 2 of 3.
    net = Answers([logits_of(0.6, 0.4), logits_of(0.7, 0.3), logits_of(0.5, 0.5)], branch=[[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    found = evaluate(net, [batch_of([0, 1, 2], videos=[10, 11, 12], labels=[0, 1, 0])])
    assert found.videos == 3
    assert found.top1 == pytest.approx(200 / 3)
    assert found.top5 == 100.0, "the five best of two classes are both"
    assert found.branch_top1 == pytest.approx(200 / 3)
    assert found.nll == pytest.approx(-(math.log(0.6) + math.log(0.3) + math.log(0.5)) / 3, rel=1e-6)
    assert [(row.video, row.label, row.predicted) for row in found.results] == [(10, 0, 0), (11, 1, 0), (12, 0, 0)]
    assert [row.probability for row in found.results] == pytest.approx([0.6, 0.3, 0.5])


def test_top5_counts_five_of_seven() -> None:
    falling = [float(-k) for k in range(7)]
    found = evaluate(Answers([falling]), [batch_of([0] * 7, videos=list(range(7)), labels=list(range(7)))])
    assert (found.top1, found.top5) == (pytest.approx(100 / 7), pytest.approx(500 / 7))


def test_views_of_a_video_are_averaged_after_the_softmax() -> None:
    # (0.9, 0.1) and (0.3, 0.7) give (0.6, 0.4): class 0, though one of the two views says 1.
    net = Answers([logits_of(0.9, 0.1), logits_of(0.3, 0.7)])
    views = [batch_of([0], videos=[4], labels=[0]), batch_of([1], videos=[4], labels=[0], views=[1])]
    found = evaluate(net, views)
    assert (found.videos, found.views, found.top1, found.clip_top1) == (1, 2, 100.0, 50.0)
    assert found.nll == pytest.approx(-math.log(0.6), rel=1e-6)


def test_padding_does_not_count() -> None:
    net = Answers([logits_of(0.6, 0.4), logits_of(0.2, 0.8)])
    whole = evaluate(net, [batch_of([0, 1], videos=[0, 1], labels=[0, 0])])
    padded = evaluate(net, [batch_of([0], videos=[0], labels=[0]), batch_of([1, 1, 1], videos=[1, 1, 2], labels=[0, 0, 1], absent=(1, 2))])
    assert padded == whole
    with pytest.raises(ValueError, match="no video to evaluate"):
        evaluate(net, [batch_of([0], videos=[0], labels=[0], absent=(0,))])


ONES, LEFT, RIGHT = [[1.0, 1.0], [1.0, 1.0]], [[1.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]]
CORNER = [[1.0, 0.0], [0.0, 0.0]]


def test_maps_by_hand() -> None:
    # M_o: one corner, then flat. M_b: right, right. Object: left in both frames; video 1 has it in its first frame only.
    maps = torch.tensor([[CORNER, ONES], [RIGHT, RIGHT]])
    net = Answers([[0.0, 0.0]] * 2, maps=torch.stack([maps, maps.flip(1)]), names=("M_o", "M_b"))
    mask, valid = torch.tensor([[LEFT, LEFT]] * 2), torch.tensor([[True, True], [True, False]])
    found = evaluate(net, [batch_of([0, 1], videos=[0, 1], labels=[0, 0], mask=mask, valid=valid)])
    # Corner: 3 cells of 0 and one of 1, so H = 0.25 log2 4 + 0.75 log2 4/3; a flat frame has 0; half and half has 1.
    corner_bits = 0.5 - 0.75 * math.log2(0.75)
    assert found.entropy == {"M_o": pytest.approx(corner_bits / 2), "M_b": pytest.approx(1.0)}
    assert found.flat_frames == {"M_o": 2, "M_b": 0}
    # Video 0: corner meets half of left, flat meets nothing: 0.25. Video 1 counts its first frame, which is flat: 0. M_b is exact.
    assert found.mask_iou == {"M_o": pytest.approx((0.25 + 0.0) / 2), "M_b": pytest.approx(1.0)}
    assert found.pointing == {"M_o": pytest.approx((0.5 + 0.0) / 2), "M_b": 0.0}
    assert found.grid == (2, 2)
    assert found.results[1].mask_iou == {"M_o": 0.0, "M_b": 1.0}


def test_maps_are_averaged_over_views_and_then_over_videos() -> None:
    # Half a frame lit has 1 bit, a flat one 0. Video 0 is seen half lit and flat, video 1 half lit twice, once without a detection.
    net = Answers([[0.0, 0.0]] * 2, maps=torch.tensor([[[LEFT, LEFT]], [[ONES, ONES]]]))
    mask, valid = torch.tensor([[LEFT, LEFT]] * 4), torch.tensor([[True, True]] * 3 + [[False, False]])
    found = evaluate(net, [batch_of([0, 1, 0, 0], videos=[0, 0, 1, 1], views=[0, 1, 0, 1], labels=[0] * 4, mask=mask, valid=valid)])
    assert (found.videos, found.views) == (2, 2)
    assert found.entropy == {"M_o": (0.5 + 1) / 2}
    assert found.mask_iou == found.pointing == {"M_o": (0.5 + 1) / 2}
    assert found.flat_frames == {"M_o": 2}


def test_videos_without_a_detection_are_left_out_of_the_overlap() -> None:
    net = Answers([[0.0, 0.0]], maps=torch.tensor([[[LEFT, LEFT]]]))
    mask, valid = torch.tensor([[LEFT, LEFT]] * 2), torch.tensor([[True, True], [False, False]])
    found = evaluate(net, [batch_of([0, 0], videos=[0, 1], labels=[0, 0], mask=mask, valid=valid)])
    assert found.mask_iou == {"M_o": 1.0}
    assert found.results[1].mask_iou == {}


def test_what_is_not_there_is_absent_from_the_json() -> None:
    found = evaluate(Answers([[0.0, 0.0]]), [batch_of([0], videos=[0], labels=[0])]).to_dict()
    for name in ("branch_top1", "mask_iou", "pointing", "dataset", "subset", "skipped", "results"):
        assert name not in found
    assert set(found) == {"videos", "top1", "top5", "nll", "clip_top1", "entropy", "flat_frames", "grid", "views"}
    assert json.loads(json.dumps(found))["grid"] == [2, 2]


def test_batch_size_does_not_matter() -> None:
    net = nano(toy_config())
    whole = toy_batch(0, clips=6)
    pieces = [Batch(*(column[i : i + 2] for column in whole)) for i in range(0, 6, 2)]
    one, three = evaluate(net, [whole]), evaluate(net, pieces)
    assert one.top1 == three.top1
    for name in ("nll", "entropy", "mask_iou", "pointing"):
        assert getattr(three, name) == pytest.approx(getattr(one, name), rel=1e-4), name


def test_evaluation_leaves_the_network_as_it_was_and_shows_each_batch() -> None:
    net, seen = Answers([[0.0, 1.0]]), []
    for is_training in (True, False):
        net.train(is_training)
        evaluate(net, [batch_of([0], videos=[0], labels=[1])], on_batch=lambda batch, output: seen.append((batch, output)))
        assert net.training is is_training
    assert net.was_in_training == [False, False]
    assert len(seen) == 2
    assert seen[0][1].maps.shape == (1, 1, T, GRID, GRID)


def test_masks_on_another_grid_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 2, 2\).*masks \(2, 3, 3\)"):
        evaluate(Answers([[0.0]]), [batch_of([0], videos=[0], labels=[0], mask=torch.zeros(1, T, 3, 3))])


def test_json_keeps_the_names_of_the_design(tmp_path: Path) -> None:
    values = {
        "videos": 1, "top1": 1.0, "top5": 1.0, "branch_top1": 1.0, "nll": 1.0, "clip_top1": 1.0, "entropy": {"M_o": 1.0},
        "flat_frames": {"M_o": 0}, "mask_iou": {"M_o": 0.5}, "pointing": {"M_o": 0.5}, "grid": (14, 14), "views": 1,
    }  # fmt: skip
    about = {"dataset": "ucf101", "subset": "test", "checkpoint": "last", "skipped": 0, "config_hash": "abc", "versions": {"torch": "2"}}
    assert Evaluation(**values, **about).to_dict() == values | about
