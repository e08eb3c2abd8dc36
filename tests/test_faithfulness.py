"""Insertion, deletion and average drop, worked out by hand on networks whose answers are powers of three."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from toys import nano, toy_batch, toy_config

from objabn.explainers import subject_of
from objabn.faithfulness import average_drop, deletion, insertion
from objabn.faithfulness.hiding import blurred


class PowersOfThree(nn.Module):
    """Two classes, of which the first has the odds 3 ** (sum of the clip), exactly so far as logarithms are."""

    def forward(self, clip: Tensor) -> Tensor:
        total = clip.sum((1, 2, 3, 4)) * math.log(3)
        return torch.stack([total, torch.zeros_like(total)], 1)


def odds(total: float) -> float:
    """The probability of the first class."""
    return 3**total / (1 + 3**total)


NET = PowersOfThree()
CLIP = torch.tensor([2.0, 1.0, 0.0, 1.0]).view(1, 1, 1, 2, 2)
MAP = torch.tensor([0.9, 0.5, 0.1, 0.3]).view(1, 1, 2, 2)


def test_curves_by_hand() -> None:
    shown, hidden = insertion(NET, CLIP, MAP, steps=4), deletion(NET, CLIP, MAP, steps=4)
    # In the order of the map the clip is 2, 1, 1, 0.
    assert shown.scores[0].tolist() == pytest.approx([odds(total) for total in (0, 2, 3, 4, 4)])
    assert hidden.scores[0].tolist() == pytest.approx([odds(total) for total in (4, 2, 1, 0, 0)])
    assert shown.scores[0, :2].tolist() == pytest.approx([1 / 2, 9 / 10])
    assert shown.auc.item() == pytest.approx((1 / 4 + 9 / 10 + 27 / 28 + 81 / 82 + 81 / 164) / 4)
    assert hidden.auc.item() == pytest.approx((81 / 164 + 9 / 10 + 3 / 4 + 1 / 2 + 1 / 4) / 4)
    assert not shown.is_flat.any()


def test_the_class_is_the_one_of_the_whole_clip_or_the_one_asked_for() -> None:
    assert insertion(NET, -CLIP, MAP, steps=4).classes.tolist() == [1], "though nothing at all is a tie that goes to class 0"
    other = insertion(NET, CLIP, MAP, steps=4, classes=1)
    assert other.scores[0].tolist() == pytest.approx([1 - odds(total) for total in (0, 2, 3, 4, 4)])
    with pytest.raises(ValueError, match="must be a class from 0 to 1"):
        insertion(NET, CLIP, MAP, classes=2)


def test_parts_are_equal_as_far_as_voxels_go() -> None:
    # Half of three is one; the second part has two.
    clip, ordered = torch.tensor([4.0, 2.0, 1.0]).view(1, 1, 1, 1, 3), torch.tensor([3.0, 2.0, 1.0]).view(1, 1, 1, 3)
    assert insertion(NET, clip, ordered, steps=2).scores[0].tolist() == pytest.approx([odds(0), odds(4), odds(7)])
    assert insertion(NET, clip, ordered, steps=9).scores.shape == (1, 4), "no more parts than voxels"


def test_equal_voxels_come_in_reading_order_and_a_flat_map_is_said_to_be_flat() -> None:
    clips, maps = CLIP.expand(2, -1, -1, -1, -1), torch.stack([torch.full((1, 2, 2), 0.3), torch.tensor([[[0.0, 1.0], [1.0, 1.0]]])])
    found = insertion(NET, clips, maps, steps=4)
    assert found.is_flat.tolist() == [True, False]
    assert found.scores[0].tolist() == pytest.approx([odds(total) for total in (0, 2, 3, 3, 4)])
    assert found.scores[1].tolist() == pytest.approx([odds(total) for total in (0, 1, 1, 2, 4)])
    # 1/3 is not kept when it is interpolated, and what rounding made of it would have an order.
    large = torch.rand(1, 1, 3, 7, 5)
    assert insertion(NET, large, torch.full((1, 2, 3, 3), 1 / 3)).is_flat.all()


def test_coarse_maps_are_enlarged_first() -> None:
    clip = torch.tensor([8.0, 4.0, 2.0, 1.0]).view(1, 1, 1, 1, 4)
    # Two cells become 0, 1/4, 3/4, 1: the last column comes first.
    found = insertion(NET, clip / 4, torch.tensor([0.0, 1.0]).view(1, 1, 1, 2), steps=4)
    assert found.scores[0].tolist() == pytest.approx([odds(total / 4) for total in (0, 1, 3, 7, 15)])


def test_frames_come_by_the_mean_of_their_maps() -> None:
    clip = torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, -1.0]]).view(1, 1, 3, 1, 2)
    maps = torch.tensor([[0.9, 0.0], [0.5, 0.5], [0.6, 0.6]]).view(1, 3, 1, 2)
    assert insertion(NET, clip, maps, unit="frame").scores[0].tolist() == pytest.approx([odds(total) for total in (0, -1, 0, 2)])
    assert deletion(NET, clip, maps, unit="frame").scores[0].tolist() == pytest.approx([odds(total) for total in (2, 3, 2, 0)])
    assert insertion(NET, clip, torch.rand(1, 1, 1, 2).expand(1, 3, 1, 2), unit="frame").is_flat.all()


def test_blurred_frames_stand_behind_what_is_hidden() -> None:
    clip = torch.rand(1, 3, 2, 6, 8, generator=torch.Generator().manual_seed(0)) / 100
    found = deletion(NET, clip, torch.rand(1, 2, 6, 8), hidden="blur", steps=3)
    assert found.scores[0, -1].item() == pytest.approx(odds(blurred(clip).sum().item()))
    assert found.scores[0, 0].item() == pytest.approx(odds(clip.sum().item()))


def test_blur_is_scipys() -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    clip = torch.rand(1, 2, 2, 9, 31, dtype=torch.float64)
    expected = ndimage.gaussian_filter(clip.numpy(), sigma=(0, 0, 0, 20, 20), mode="nearest", truncate=4.0)
    torch.testing.assert_close(blurred(clip), torch.from_numpy(expected))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from([1, 2, 4, 6, 12]))
def test_hiding_in_the_order_of_a_map_is_showing_in_the_reverse(seed: int, steps: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    clip, maps = torch.randn(2, 1, 2, 2, 3, generator=generator) / 4, torch.rand(2, 2, 2, 3, generator=generator)
    shown, hidden = insertion(NET, clip, -maps, steps=steps, classes=0), deletion(NET, clip, maps, steps=steps, classes=0)
    torch.testing.assert_close(shown.scores.flip(1), hidden.scores)
    torch.testing.assert_close(shown.auc, hidden.auc)


@pytest.mark.parametrize("hidden", ["fade", "blur"])
def test_clips_do_not_meet_whatever_the_batch(hidden: str) -> None:
    clip, maps = torch.randn(3, 2, 2, 4, 4) / 9, torch.rand(3, 2, 2, 2)
    together = insertion(NET, clip, maps, hidden=hidden, steps=5)
    for batch_clips in (1, 4, 100):
        again = insertion(NET, clip, maps, hidden=hidden, steps=5, batch_clips=batch_clips)
        assert torch.equal(again.scores, together.scores)
    alone = [insertion(NET, clip[row : row + 1], maps[row : row + 1], hidden=hidden, steps=5).scores for row in range(3)]
    assert torch.equal(torch.cat(alone), together.scores)


def test_a_network_of_objabn_is_asked_about_uint8_clips_and_left_as_it_was() -> None:
    net, batch = nano(toy_config()).train(), toy_batch(0, clips=2)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    maps = torch.rand(2, 4, 8, 8)
    found = deletion(net, batch.clip, maps, steps=3)
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    net.eval()
    with torch.inference_mode():
        whole, nothing = net(batch.clip).logits, net(net.pixel_mean.expand(2, 3, 4, 32, 32)).logits
    torch.testing.assert_close(found.scores[:, 0], whole.softmax(1).amax(1))
    torch.testing.assert_close(found.scores[:, -1], nothing.softmax(1).gather(1, whole.argmax(1)[:, None])[:, 0])
    torch.testing.assert_close(deletion(subject_of(net), batch.clip, maps, steps=3).auc, found.auc)
    net.class_names = ("a", "b", "c")
    assert deletion(net, batch.clip, maps, steps=1, classes=["c", "a"]).classes.tolist() == [2, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clip": CLIP[0]}, "they must be"),
        ({"maps": MAP[0]}, "do not fit 1 clips"),
        ({"steps": 0}, "must be 1 or more"),
        ({"unit": "pixel"}, "choose voxel or frame"),
        ({"hidden": "noise"}, "choose fade or blur"),
    ],
)
def test_what_does_not_fit_is_said(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        insertion(NET, **{"clip": CLIP, "maps": MAP, **change})


def test_average_drop_and_increase_by_hand() -> None:
    clip = torch.tensor([2.0, -1.0]).view(1, 1, 1, 1, 2).expand(4, -1, -1, -1, -1)
    maps = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.3, 0.1], [0.2, 0.2]]).view(4, 1, 1, 2)
    found = average_drop(NET, clip, maps)
    # Of 3/4 the first lets 9/10 through; the second 1/4, a third; the third is the first, only paler; the flat one nothing: 1/2.
    assert found.drop.tolist() == pytest.approx([0, 100 * 2 / 3, 0, 100 / 3])
    assert found.is_increase.tolist() == [True, False, True, False]
    assert found.is_flat.tolist() == [False, False, False, True]
    assert found.drop.mean().item() == pytest.approx(25), "clipped clip by clip: the increases take nothing off"
    # The other class has 1/4 and then 1/10, 3/4, 1/10, 1/2.
    assert average_drop(NET, clip, maps, classes=1).drop.tolist() == pytest.approx([60, 0, 60, 0])


def test_maps_fade_to_the_baseline_in_proportion() -> None:
    clip, maps = torch.full((1, 1, 1, 1, 3), 1.0), torch.tensor([0.0, 0.5, 1.0]).view(1, 1, 1, 3)
    assert average_drop(NET, clip, maps).drop.item() == pytest.approx(100 * (1 - odds(1.5) / odds(3)))


@pytest.mark.gpu
def test_curves_are_the_same_on_a_gpu() -> None:
    clip, maps = torch.randn(3, 2, 2, 4, 4) / 9, torch.rand(3, 2, 2, 2)
    net = nn.Sequential(nn.Conv3d(2, 1, 1), PowersOfThree())
    expected = insertion(net, clip, maps, hidden="blur", steps=5)
    torch.testing.assert_close(insertion(net.cuda(), clip, maps, hidden="blur", steps=5).scores.cpu(), expected.scores)
