"""Maps against boxes, from frames to numbers: each count and share worked out by hand on little clips, and the loop around them."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from toys import FRAMES, nano, toy_batch, toy_config, toy_index

from objabn.data.boxes import Tube
from objabn.evaluation import evaluate
from objabn.localisation import PROTOCOLS, Localisation, Localiser
from objabn.localisation.localiser import EXPLAINERS
from objabn.types import Batch, Output

CONFIG = toy_config()
"""Frames of 240 x 320 become 32 x 42, of which the crop keeps columns 5 to 36: 38.1 to 281.9 of the 320 in the boxes."""


def dataset(frames: tuple[int, ...] = (4, 4, 4)) -> SimpleNamespace:
    index = toy_index(list(frames))
    index.name = lambda row: f"Biking/v_{row}.avi"
    index.rows = lambda subset, *, fold, val_fraction: np.arange(len(frames))
    return SimpleNamespace(index=index)


def in_crop(left: float, top: float, right: float, bottom: float) -> list[float]:
    """Return a box in pixels of 320 x 240 from shares of the crop."""
    start, width = 5 * 320 / 42, 32 * 320 / 42
    return [start + left * width, 240 * top, start + right * width, 240 * bottom]


def steady(*box: float, first_frame: int = 0, frames: int = FRAMES) -> Tube:
    return Tube(first_frame, np.tile(np.array(in_crop(*box)), (frames, 1)))


def lit(*cells: tuple[int, int]) -> torch.Tensor:
    """Return (T, 8, 8) maps of zeros with ones in these cells."""
    maps = torch.zeros(FRAMES, 8, 8)
    for row, column in cells:
        maps[:, row, column] = 1
    return maps


CELL, CELL_BOX = lit((4, 4)), (0.5, 0.5, 0.625, 0.625)
BLOCK, BLOCK_BOX = lit((3, 3), (3, 4), (4, 3), (4, 4)), (0.375, 0.375, 0.625, 0.625)


STUB = SimpleNamespace(map_names=("M_o",))


def localise(
    maps_TYX: torch.Tensor,
    tubes: tuple[Tube, ...],
    *,
    protocol: str = "objabn",
    is_right: bool = True,
    weights_T: list[float] | None = None,
) -> Localisation:
    """Return the numbers of one clip."""
    localiser = Localiser(STUB, dataset((4,)), CONFIG, {"Biking/v_0": tubes}, protocol=protocol)
    weights = None if weights_T is None else torch.tensor([weights_T])
    logits = torch.tensor([[0.0, 1.0, 0.0]]) if is_right else torch.tensor([[1.0, 0.0, 0.0]])
    batch = toy_batch(0, clips=1)._replace(label=torch.tensor([1]))
    localiser.add(batch, Output(logits, None, maps_TYX[None, None], None, weights))
    return localiser.result()


# On a canvas of 32 x 32 a cell is 4 x 4 pixels; across them one alone is 5/8, 7/8, 7/8, 5/8 and beside them 3/8. Half of the highest,
# 49/64, is reached by 25/64 in its corners, but not by 21/64 beside it: its box is the cell itself.
def test_the_region_of_one_cell_by_hand() -> None:
    found = localise(CELL, (steady(*CELL_BOX),)).maps["M_o"]
    assert found.mean_iou == pytest.approx(1, abs=1e-3)
    assert found.hits == dict.fromkeys(("0.1", "0.2", "0.3", "0.4", "0.5", "0.6"), 1)
    assert (found.pointing, found.empty_frames) == (1, 0)
    # A box twice as wide overlaps by a half, and one beside it not at all.
    half = localise(CELL, (steady(0.5, 0.5, 0.75, 0.625),)).maps["M_o"]
    assert half.mean_iou == pytest.approx(0.5, abs=1e-3)
    assert (half.hits["0.4"], half.hits["0.6"]) == (1, 0)
    beside = localise(CELL, (steady(0.65, 0.5, 0.75, 0.625),)).maps["M_o"]
    assert (beside.mean_iou, beside.hits["0.1"], beside.pointing) == (0, 0, 0)


def test_the_best_of_all_actors_or_the_first_alone() -> None:
    far, near = steady(0, 0, 0.125, 0.125), steady(*CELL_BOX)
    assert localise(CELL, (far, near)).maps["M_o"].mean_iou == pytest.approx(1, abs=1e-3)
    first = localise(CELL, (far, near), protocol="meng").maps["M_o"]
    assert (first.mean_iou, first.pointing) == (0, 0)


def test_the_largest_region_or_all_of_them() -> None:
    two = lit((0, 0), (0, 1), (7, 7))
    assert localise(two, (steady(0, 0, 0.25, 0.125),)).maps["M_o"].mean_iou == pytest.approx(1, abs=1e-3)
    around = localise(two, (steady(0, 0, 1, 1),), protocol="yudistira").maps["M_o"]
    assert around.mean_iou == pytest.approx(1, abs=1e-3), "one box from corner to corner"


def test_a_wrong_class_is_a_miss_for_yudistira_alone() -> None:
    tubes = (steady(*BLOCK_BOX),)
    for protocol, hit in (("objabn", 1), ("meng", 1), ("yudistira", 0)):
        found = localise(BLOCK, tubes, protocol=protocol, is_right=False).maps["M_o"]
        assert found.hits["0.1"] == hit, protocol
        assert found.mean_iou > 0.3, "the overlap is what it is"
    assert localise(BLOCK, tubes, protocol="yudistira").maps["M_o"].hits["0.6"] == 1


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_flat_maps_find_nothing_and_are_misses(protocol: str) -> None:
    found = localise(torch.full((FRAMES, 8, 8), 0.1), (steady(0, 0, 1, 1),), protocol=protocol).maps["M_o"]
    assert (found.mean_iou, found.hits["0.1"], found.pointing, found.empty_frames) == (0, 0, 0, FRAMES)
    assert (found.temporal_recall, found.temporal_precision) == (0, None), "no frame weighs more than another"


def test_frames_that_do_not_count_are_counted() -> None:
    # Frames 0 to 3 of the clip: the actor is there from 1 to 2, another leaves the crop, a third is never in it.
    outside = Tube(2, np.array([[0.0, 0, 30, 240], [0, 0, 30, 240]]))
    found = localise(CELL, (steady(*CELL_BOX, first_frame=1, frames=2), outside))
    assert (found.frames, found.frames_without_box, found.frames_outside_crop, found.boxes_outside_crop) == (2, 1, 1, 2)
    assert (found.videos, found.clips, found.videos_without_boxes) == (1, 1, 0)
    assert found.maps["M_o"].hits["0.5"] == 1
    with pytest.raises(ValueError, match="No frame of 1 clips has a box in its crop"):
        localise(CELL, (outside,))


# Weights of 0.1, 0.2, 0.3 and 0.4 have the mean 0.25, and 0.2875 is exceeded by the last two.
@pytest.mark.parametrize(
    ("first_frame", "frames", "recall", "precision", "hit"),
    [(2, 2, 1, 1, 1), (0, 4, 0.5, 1, 0), (3, 1, 1, 0.5, 1), (0, 2, 0, 0, 0), (1, 3, 2 / 3, 1, 1)],
)
def test_time_by_hand(*, first_frame: int, frames: int, recall: float, precision: float, hit: float) -> None:
    tubes, weights = (steady(0, 0, 1, 1, first_frame=first_frame, frames=frames),), [0.1, 0.2, 0.3, 0.4]
    found = localise(CELL, tubes, protocol="meng", weights_T=weights).maps["M_o"]
    assert (found.temporal_recall, found.temporal_precision) == (pytest.approx(recall), pytest.approx(precision))
    assert found.temporal_hits == hit
    assert localise(CELL, tubes, protocol="meng", weights_T=weights, is_right=False).maps["M_o"].temporal_hits == 0
    assert localise(CELL, tubes, weights_T=weights).maps["M_o"].temporal_hits is None


def test_without_weights_a_frame_weighs_the_mean_of_its_map() -> None:
    maps = CELL * torch.tensor([0.1, 0.2, 0.3, 0.4])[:, None, None]
    found = localise(maps, (steady(0, 0, 1, 1, first_frame=2, frames=1),)).maps["M_o"]
    assert (found.temporal_recall, found.temporal_precision) == (1, 0.5)


def test_meng_counts_edges_as_pixels_of_320_by_240() -> None:
    # A cell is 40 x 30 pixels. Towards the dark cell beside it the block falls by 1/40 a column: 0.7875 in 131 is grey level 201, 0.7625
    # in 130 is 194. By rows 0.8167 in 99 is 208, 0.7833 in 98 is 200, which is not above 200. So columns 131 to 188, rows 99 to 140.
    found = localise(BLOCK, (steady(*BLOCK_BOX),), protocol="meng").maps["M_o"]
    assert found.mean_iou == pytest.approx((58 + 1) * (42 + 1) / ((80 + 1) * (60 + 1)), abs=1e-4)
    assert (found.hits["0.5"], found.hits["0.6"]) == (1, 0)


def batch_of(videos: list[int]) -> Batch:
    """Return clips of these videos, of which the last is padding."""
    present = torch.arange(len(videos)) < len(videos) - 1
    return toy_batch(0, clips=len(videos))._replace(video=torch.tensor(videos), present=present)


def test_a_network_is_evaluated_with_its_maps_and_explainers() -> None:
    net, boxes = nano(toy_config()), {"Biking/v_0": (steady(0.2, 0.2, 0.8, 0.8),), "Biking/v_2": (steady(0, 0, 1, 1),)}
    localiser = Localiser(net, dataset(), CONFIG, boxes, maps=("M_o", "3dcam", "saliency_tubes"))
    evaluation = evaluate(net, [batch_of([0, 1, 2, 2])], on_batch=localiser.add)
    found = localiser.result()
    assert evaluation.videos == 3
    assert (found.videos, found.videos_without_boxes, found.clips, found.frames) == (2, 1, 2, 8), "padding does not count"
    assert set(found.maps) == {"M_o", "3dcam", "saliency_tubes"}
    assert 0 < found.maps["3dcam"].mean_iou < 1
    # The last stage has one cell for 32 pixels: its map says when, and nothing of where.
    tubes = found.maps["saliency_tubes"]
    assert (tubes.empty_frames, tubes.mean_iou) == (8, 0)
    assert 0 < tubes.temporal_recall < 1
    assert "attention" not in EXPLAINERS, "which are the network's own maps, by another name"
    values = json.loads(json.dumps(found.to_dict()))
    assert values["note"] == PROTOCOLS["objabn"].note
    assert "temporal_hits" not in values["maps"]["M_o"]


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="There is no map 'M_x'; choose of M_o, gradcam, "):
        Localiser(STUB, dataset(), CONFIG, {}, maps=("M_x",))
    with pytest.raises(ValueError, match="None of 3 videos has boxes; they have names like Biking/v_0, those with boxes like Diving/v_1"):
        Localiser(STUB, dataset(), CONFIG, {"Diving/v_1": (), "Biking/v_0": ()})
    with pytest.raises(ValueError, match="like none at all"):
        Localiser(STUB, dataset(), CONFIG, {})


def test_each_view_has_the_boxes_of_its_own_crop() -> None:
    # Three crops from left to right, and a box at the right edge of the frame: only the last sees it whole.
    config = replace(CONFIG, data=replace(CONFIG.data, views=(1, 3)))
    right_edge = Tube(0, np.tile(np.array([290.0, 0, 320, 240]), (FRAMES, 1)))
    localiser = Localiser(STUB, dataset((4,)), config, {"Biking/v_0": (right_edge,)})
    inside = [localiser.truth(0, view, np.arange(FRAMES)).boxes[0, 0] for view in range(3)]
    assert np.isnan(inside[:2]).all()
    assert inside[2].tolist() == pytest.approx([32 - 30 * 42 / 320, 0, 32, 32], abs=0.01)
