"""From maps to boxes: regions joined by hand and by OpenCV, thresholds at their edges, overlaps counted in pixels."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from objabn.localisation.overlap import box_iou, highest_points, is_within
from objabn.localisation.protocols import PROTOCOLS, find_protocol
from objabn.localisation.regions import boxes_around, enlarged_maps, found_pixels, region_boxes


def picture(*rows: str) -> NDArray[np.bool_]:
    return np.array([[letter == "#" for letter in row] for row in rows])


CORNERS = picture(
    "##...",
    "..#..",
    ".....",
    "#...#",
)  # fmt: skip
"""Three regions: one that touches at a corner, and two single pixels in corners of the picture."""
HORSESHOE = picture(
    "#.#.#",
    "#.#.#",
    "#.###",
    "###..",
    ".....",
)  # fmt: skip
"""One region, though its three arms begin apart."""


def test_pixels_that_touch_at_a_corner_are_one_region() -> None:
    frame, boxes = region_boxes(CORNERS[None])
    assert frame.tolist() == [0, 0, 0]
    assert boxes.tolist() == [[0, 0, 3, 2], [0, 3, 1, 4], [4, 3, 5, 4]]
    assert region_boxes(HORSESHOE[None])[1].tolist() == [[0, 0, 5, 4]]


def test_frames_are_kept_apart_and_may_be_empty() -> None:
    last_row, first_row = picture("...", "###"), picture("###", "...")
    frame, boxes = region_boxes(np.stack([last_row, first_row, np.zeros_like(last_row), ~np.zeros_like(last_row)]))
    assert frame.tolist() == [0, 1, 3]
    assert boxes.tolist() == [[0, 1, 3, 2], [0, 0, 3, 1], [0, 0, 3, 2]]
    nothing = np.zeros((2, 3, 3), bool)
    assert region_boxes(nothing)[1].shape == (0, 4)
    for regions in ("largest", "all"):
        assert np.isnan(boxes_around(nothing, regions)).all()


def test_largest_is_by_the_area_of_the_box_and_all_is_one_box_around_everything() -> None:
    # The diagonal has three pixels in a box of nine, the block four in a box of four.
    diagonal_and_block = picture(
        "#......",
        ".#...##",
        "..#..##",
    )  # fmt: skip
    stack = np.stack([diagonal_and_block, np.zeros_like(diagonal_and_block), diagonal_and_block[:, ::-1]])
    assert boxes_around(stack, "largest")[[0, 2]].tolist() == [[0, 0, 3, 3], [4, 0, 7, 3]]
    assert boxes_around(stack, "all")[[0, 2]].tolist() == [[0, 0, 7, 3]] * 2
    assert np.isnan(boxes_around(stack, "all")[1]).all()
    assert boxes_around(picture("#.#")[None], "largest").tolist() == [[0, 0, 1, 1]], "of equal ones the first"


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.1, 0.4, 0.6, 0.9]), st.integers(1, 23), st.integers(1, 23))
@settings(max_examples=60, deadline=None)
def test_regions_are_those_of_opencv(seed: int, share: float, rows: int, columns: int) -> None:
    cv2 = pytest.importorskip("cv2")
    found = np.random.default_rng(seed).random((3, rows, columns)) < share
    frame, boxes = region_boxes(found)
    for number, picture_YX in enumerate(found):
        _, _, statistics, _ = cv2.connectedComponentsWithStats(picture_YX.astype(np.uint8), connectivity=8)
        x, y, width, height = statistics[1:, :4].T
        assert sorted(boxes[frame == number].tolist()) == sorted(np.stack([x, y, x + width, y + height], 1).tolist())


def test_overlap_of_edges_and_of_pixels() -> None:
    boxes, other = np.array([[0.0, 0, 2, 2], [0, 0, 4, 2], [2, 0, 4, 2], [5, 5, 6, 6], [np.nan] * 4]), np.array([0.0, 0, 2, 2])
    # As edges: the same, half, side by side, apart in both directions.
    assert box_iou(boxes, other)[:4].tolist() == [1, 0.5, 0, 0]
    # As pixels a side has one more: 9 of 9, 9 of 15, a column of 3 of 15, and apart.
    assert box_iou(boxes, other, added_pixels=1)[:4].tolist() == [1, 9 / 15, 3 / 15, 0]
    assert np.isnan(box_iou(boxes, other)[4])


def test_points_are_pixel_centres_and_flat_frames_have_none() -> None:
    maps = np.zeros((3, 2, 3), np.float32)
    maps[0, 1, 2] = maps[1, 0, 0] = 1
    points = highest_points(maps)
    assert points[:2].tolist() == [[2.5, 1.5], [0.5, 0.5]]
    assert np.isnan(points[2]).all()
    assert is_within(points, np.array([2.0, 1, 3, 2])).tolist() == [True, False, False]
    assert not is_within(points, np.full(4, np.nan)).any()


def test_half_height_is_found_by_ours_and_not_by_the_others() -> None:
    maps = torch.tensor([[[0.2, 0.6, 0.59, 1.0]]])
    ours, yudistira = PROTOCOLS["objabn"], PROTOCOLS["yudistira"]
    assert found_pixels(enlarged_maps(maps, ours, (1, 4)), ours).tolist() == [[[False, True, False, True]]]
    # Stretched 0, 0.5, 0.4875, 1 with mean 0.496875: the threshold is 0.7484375.
    assert found_pixels(enlarged_maps(maps, yudistira, (1, 4)), yudistira).tolist() == [[[False, False, False, True]]]
    # The mean of 0, 0, 1, 1 is a half: what lies at three quarters is not above the threshold.
    quarter = torch.tensor([[[0.0, 0.75, 0.25, 1.0]]])
    assert found_pixels(enlarged_maps(quarter, yudistira, (1, 4)), yudistira).tolist() == [[[False, False, False, True]]]


def test_grey_levels_are_cut_off_before_the_threshold() -> None:
    meng = PROTOCOLS["meng"]
    levels = torch.tensor([[[0.0, 200.0, 200.999, 201.001, 255.0]]]) / 255
    grey = enlarged_maps(levels, meng, (1, 5))
    assert grey.tolist() == [[[0, 200, 200, 201, 255]]]
    assert found_pixels(grey, meng).tolist() == [[[False, False, False, True, True]]]


def test_enlarging_by_hand() -> None:
    # Between 0 and 1 at the centres of two cells lie 0, 1/4, 3/4 and 1; in grey 0, 63.75, 191.25 and 255, rounded.
    maps = torch.tensor([[[0.3, 0.7]]])
    assert enlarged_maps(maps, PROTOCOLS["objabn"], (1, 4))[0, 0].tolist() == pytest.approx([0, 0.25, 0.75, 1])
    assert enlarged_maps(maps, PROTOCOLS["meng"], (1, 4))[0, 0].tolist() == [0, 64, 191, 255]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_nothing_is_found_in_a_flat_frame_however_it_is_enlarged(name: str) -> None:
    protocol = find_protocol(name)
    maps = torch.stack([torch.full((7, 7), 0.1), torch.zeros(7, 7), torch.eye(7)])
    found = found_pixels(enlarged_maps(maps, protocol, (112, 160)), protocol)
    assert found.flatten(1).any(1).tolist() == [False, False, True]


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(ValueError, match="There is no protocol 'voc'; choose one of objabn, meng, yudistira"):
        find_protocol("voc")
