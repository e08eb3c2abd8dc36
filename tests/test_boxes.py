"""Boxes go through the crop of the frames: against a warped rectangle of pixels, mirrored, cut, lost and counted by hand."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import toy_index

from objabn.config import DataConfig
from objabn.data.boxes import Tube, boxes_in_crop, boxes_of_frames
from objabn.data.reader import warp_nearest
from objabn.data.sampling import evaluation_plan, training_plan


def test_frames_have_the_boxes_of_their_number() -> None:
    tubes = (Tube(3, np.arange(8.0).reshape(2, 4)), Tube(0, np.full((4, 4), 9.0)))
    found = boxes_of_frames(tubes, np.array([4, 2, 3, 3, 5]))
    assert found.shape == (2, 5, 4)
    assert found[0, [0, 2, 3]].tolist() == [[4, 5, 6, 7], [0, 1, 2, 3], [0, 1, 2, 3]]
    assert np.isnan(found[0, [1, 4]]).all()
    assert np.isnan(found[1, :, 0]).tolist() == [True, False, False, False, True]
    assert boxes_of_frames((), np.array([1])).shape == (0, 1, 4)


def test_crops_by_hand() -> None:
    # A crop of 200 x 200 at row 20, column 60 of the frame: the box begins a quarter in and ends at its right edge.
    roi, mirrored = np.array([20, 60, 220, 260], np.float32), np.array([20, 260, 220, 60], np.float32)
    inside, cut = [110.0, 20, 260, 120], [0.0, 0, 110, 240]
    left_of_it, touching = [0.0, 20, 59, 120], [0.0, 20, 60, 120]
    boxes = np.array([inside, cut, left_of_it, touching, [np.nan] * 4])
    found = boxes_in_crop(boxes, roi, (240, 320))
    assert found[:2].tolist() == [[0.25, 0, 1, 0.5], [0, 0, 0.25, 1]]
    assert np.isnan(found[2:]).all(), "outside, touching from outside, and none at all"
    found = boxes_in_crop(boxes, mirrored, (240, 320))
    assert found[:2].tolist() == [[0, 0, 0.75, 0.5], [0.75, 0, 1, 1]]
    assert np.isnan(found[2:]).all()


def test_packed_frames_may_be_smaller_than_those_of_the_boxes() -> None:
    whole = np.array([0, 0, 120, 160], np.float32)
    assert boxes_in_crop(np.array([80.0, 60, 320, 240]), whole, (120, 160)).tolist() == [0.25, 0.25, 1, 1]


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_a_box_covers_the_pixels_of_a_warped_rectangle(data: st.DataObject) -> None:
    scale = data.draw(st.sampled_from([1, 2]), "how much smaller packed frames are")
    height, width = 240 // scale, 320 // scale
    left, right = sorted(data.draw(st.lists(st.integers(0, width), min_size=2, max_size=2, unique=True), "columns"))
    top, bottom = sorted(data.draw(st.lists(st.integers(0, height), min_size=2, max_size=2, unique=True), "rows"))
    crop_size, seed = data.draw(st.sampled_from([32, 112]), "crop"), data.draw(st.integers(0, 99), "seed")
    config = DataConfig(crop_size=crop_size, short_side=(crop_size, 2 * crop_size), eval_short_side=crop_size + 7, views=(1, 3))
    index, row = toy_index([50], (height, width)), np.zeros(1, np.int64)
    rois = [*training_plan(index, row, config, seed=seed, epoch=0).roi, *evaluation_plan(index, row, config).roi]
    rectangle = torch.zeros(1, height, width)
    rectangle[:, top:bottom, left:right] = 1
    for roi in rois:
        warped = warp_nearest(rectangle, roi.tolist(), crop_size)[0].numpy() > 0
        box = boxes_in_crop(scale * np.array([left, top, right, bottom], float), roi, (height, width))
        centres = (np.arange(crop_size) + 0.5) / crop_size
        is_row, is_column = (box[1] <= centres) & (centres < box[3]), (box[0] <= centres) & (centres < box[2])
        assert np.array_equal(is_row[:, None] & is_column, warped)
