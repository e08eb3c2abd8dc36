"""Extremal perturbations: the parts by hand and against their plain formulas, and a part of a clip that is known to be the answer."""

import math

import pytest
import torch
from explained import SmallCNN, state_of
from torch import Tensor, nn
from torch.nn import functional
from toys import nano, toy_batch, toy_config

from objabn.explainers import explain, subject_of
from objabn.explainers.extremal_blur import blur_pyramid, blurred, perturbed
from objabn.explainers.extremal_learning import ExtremalSettings, learn_masks
from objabn.explainers.extremal_losses import Core, area_loss, core_loss
from objabn.explainers.extremal_mask import MaskGrid


def shuffled(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_blur_is_a_gaussian_cut_off_at_four_sigma() -> None:
    point = torch.zeros(1, 2, 9, 9)
    point[0, 1, 4, 4] = 1
    weights = torch.tensor([math.exp(-(offset**2) / 2 / 0.64) for offset in range(-4, 5)])
    found = blurred(point, 0.8)
    torch.testing.assert_close(found[0, 1], torch.outer(weights, weights) / weights.sum() ** 2)
    assert found[0, 0].max() == 0
    flat = torch.ones(1, 1, 5, 5)
    assert blurred(flat, 3.0)[0, 0, 0, 0] < 0.5, "beyond the border it is zero"
    torch.testing.assert_close(blurred(flat, 3.0, padding="replicate"), flat)


def test_a_mask_of_one_keeps_the_very_clip_and_less_blurs_it() -> None:
    torch.manual_seed(0)
    clip = torch.rand(2, 3, 2, 6, 7)
    pyramid = blur_pyramid(clip)
    assert pyramid.shape == (8, *clip.shape)
    assert torch.equal(perturbed(pyramid, torch.ones(2, 2, 6, 7)), clip)
    assert torch.equal(perturbed(pyramid, torch.zeros(2, 2, 6, 7)), pyramid[0])
    torch.testing.assert_close(pyramid[0, 0, :, 1], blurred(clip[:1, :, 1], 20.0)[0])
    # 2.25 levels of 7 from the bottom.
    torch.testing.assert_close(perturbed(pyramid, torch.full((2, 2, 6, 7), 2.25 / 7)), 0.75 * pyramid[2] + 0.25 * pyramid[3])
    masks = torch.full((2, 2, 6, 7), 0.3, requires_grad=True)
    perturbed(pyramid, masks).sum().backward()
    torch.testing.assert_close(masks.grad, 7 * (pyramid[3] - pyramid[2]).sum(1))


def literal_masks(grids: Tensor, size_YX: tuple[int, int], *, step: int, sigma: float) -> Tensor:
    """The smooth maximum as it is written: all values around every pixel beside each other."""
    reach, margin = 1 + math.ceil(sigma / step), 1 + math.ceil(2 * sigma / step)
    side = 2 * reach + 1
    cells = [math.ceil(length / step) + 2 * (margin - reach) for length in size_YX]
    rows, columns = torch.meshgrid(*(torch.arange(count * step - step + 1) for count in cells), indexing="ij")
    values = functional.unfold(grids[:, None], side, padding=margin).unflatten(2, cells)[:, :, rows // step, columns // step]
    offset_rows, offset_columns = torch.meshgrid(torch.arange(side) - margin, torch.arange(side) - margin, indexing="ij")
    down = rows - sigma - step * (rows // step + offset_rows.reshape(-1, 1, 1))
    across = columns - sigma - step * (columns // step + offset_columns.reshape(-1, 1, 1))
    weighed = values * torch.exp(-2 * ((down**2 + across**2).sqrt() / sigma - 0.5).clamp(min=0) ** 2)
    return (weighed * (20 * weighed).softmax(1)).sum(1)


@pytest.mark.parametrize(("size", "step", "sigma"), [((9, 12), 4, 5.3), ((30, 16), 7, 11.0)])
def test_masks_are_the_smooth_maximum_of_their_grid(size: tuple[int, int], step: int, sigma: float) -> None:
    torch.manual_seed(0)
    grid = MaskGrid(size, step=step, sigma=sigma)
    values = torch.rand(2, *grid.grid_YX, requires_grad=True)
    masks, expected = grid.padded(values), literal_masks(values, size, step=step, sigma=sigma)
    torch.testing.assert_close(masks, expected, rtol=1e-4, atol=1e-5)
    weights = torch.randn_like(expected)
    slopes, literal = (torch.autograd.grad((each * weights).sum(), values)[0] for each in (masks, expected))
    torch.testing.assert_close(slopes, literal, rtol=1e-3, atol=1e-3)
    inner = grid.without_margin(masks)
    assert inner.shape == (2, *size)
    assert torch.equal(inner[:, 0, 0], masks[:, round(sigma), round(sigma)])
    # Nothing is seen without any value; of ones all is seen but what the maximum, being smooth, leaves to smaller products.
    assert grid.padded(torch.zeros(1, *grid.grid_YX)).max() == 0
    assert 0.9 < grid.without_margin(grid.padded(torch.ones(1, *grid.grid_YX))).min() < 1


def test_the_area_loss_is_the_distance_from_a_step() -> None:
    # Sorted 0, 0.25, 0.5, 1 against 0, 0, 0, 1; a half of four is two ones.
    mask = torch.tensor([[0.5, 0.0, 1.0, 0.25]])
    assert float(area_loss(mask, [0.25], shuffled())) == pytest.approx((0.0625 + 0.25) / 4)
    assert float(area_loss(mask, [0.5], shuffled())) == pytest.approx((0.0625 + 0.25) / 4)
    torch.manual_seed(0)
    masks, areas = torch.rand(3, 1000, requires_grad=True), (0.05, 0.1, 0.5)
    steps = torch.stack([(torch.arange(1000) >= int(1000 * (1 - area))).float() for area in areas])
    literal = (masks.sort(1).values - steps).square().mean(1)
    found = area_loss(masks, areas, shuffled())
    torch.testing.assert_close(found, literal)
    torch.testing.assert_close(torch.autograd.grad(found.sum(), masks)[0], torch.autograd.grad(literal.sum(), masks)[0])


def test_of_equal_values_chance_decides() -> None:
    masks = torch.ones(2, 1000, requires_grad=True)
    slopes = torch.autograd.grad(area_loss(masks, [0.3, 0.3], shuffled()).sum(), masks)[0]
    # The slope is 2 (m - r) / volume: 0 for the ones, which are as likely among the first as among the last; and the same for all clips.
    is_kept = slopes == 0
    assert is_kept.sum(1).tolist() == [300, 300]
    assert torch.equal(is_kept[0], is_kept[1])
    assert 100 < int(is_kept[0, :500].sum()) < 200


def test_the_core_is_an_ellipsoid_and_fills_the_area() -> None:
    core = Core(3, 5)
    kernel = core.kernel()
    assert kernel[0].tolist() == kernel[2].tolist()
    assert kernel[0].sum() == 1, "the poles"
    disc = [[0, 0, 1, 0, 0], [0, 1, 1, 1, 0], [1, 1, 1, 1, 1], [0, 1, 1, 1, 0], [0, 0, 1, 0, 0]]
    assert kernel[1].tolist() == disc
    # 0.5236 of 3 * 5 * 5 is 39.27, of which 39 count; a tenth of 16 * 30 * 30 is 1440 = 36.9 ellipsoids.
    assert core.wanted(0.1, 16 * 30 * 30) == 37
    masks = torch.zeros(1, 2, 3, 6)
    masks[0, 0, 1, 1] = masks[0, 1, :, 3:] = 1
    # Discs of 5 cells at steps of 3 pixels are seen to 1/5 and 0, and 0 and 1. A tenth of 36 is one of int(0.5236 * 9) = 4 cells.
    assert Core(1, 3).wanted(0.1, 36) == 1
    assert float(core_loss(masks, [0.1], Core(1, 3), shuffled())) == pytest.approx(0.2**2 / 3)
    # Two: 0.8 is missing from the second.
    assert float(core_loss(masks, [0.2], Core(1, 3), shuffled())) == pytest.approx(0.8**2 / 2)
    assert float(core_loss(torch.ones(1, 2, 3, 6), [0.9], Core(1, 3), shuffled())) == 0, "more are wanted than there are"


class Shown(nn.Module):
    """Class 0 scores how much of a clip's detail is seen in one region: noise, of which nothing is left under a blur."""

    def __init__(self, clip_BCTYX: Tensor, regions_BTYX: Tensor) -> None:
        super().__init__()
        self.register_buffer("weights", clip_BCTYX * regions_BTYX[:, None] / regions_BTYX.sum((1, 2, 3))[:, None, None, None, None])

    def forward(self, clip: Tensor) -> Tensor:
        # Of each clip the region that it fits best.
        seen_B = torch.einsum("bctyx,rctyx->br", clip, self.weights).amax(1)
        return torch.stack([8 * seen_B - 4, torch.zeros_like(seen_B)], 1)


FRAMES, SIZE = 5, 24
SETTINGS = {"grid_step": 3, "sigma": 3.0}


def noise() -> Tensor:
    return torch.randn((2, 1, FRAMES, SIZE, SIZE), generator=shuffled()).sign()


def blocks() -> Tensor:
    """In the first clip a block of frames 1 and 2, upper left; in the second one of frames 3 and 4, lower right."""
    regions = torch.zeros(2, FRAMES, SIZE, SIZE)
    regions[0, 1:3, 4:14, 3:13] = 1
    regions[1, 3:5, 12:20, 10:22] = 1
    return regions


def overlap(mask: Tensor, region: Tensor) -> float:
    inside = mask > 0.5
    return float((inside & (region > 0)).sum() / (inside | (region > 0)).sum())


def share(region: Tensor, frame_pixels: int) -> float:
    """The part of the masks, with their margins, that a region is."""
    return float(region.sum()) / (FRAMES * frame_pixels)


def test_the_part_that_the_answer_depends_on_is_found_in_each_clip_alone() -> None:
    clip, regions = noise(), blocks()
    net = Shown(clip, regions)
    pixels = MaskGrid((SIZE, SIZE), step=3, sigma=3.0).padded(torch.ones(1, SIZE // 3, SIZE // 3))[0].numel()
    areas = (share(regions[0], pixels), share(regions[1], pixels))
    settings = ExtremalSettings(areas=areas, iterations=60, **SETTINGS)
    classes = torch.tensor([0, 0])
    masks = learn_masks(subject_of(net), clip, classes, settings)
    assert masks.shape == (2, 2, FRAMES, SIZE, SIZE)
    for number in range(2):
        mask = masks[number, number]
        assert overlap(mask, regions[number]) > 0.65
        assert (mask > 0.5).any(-1).any(-1).tolist() == regions[number].any(-1).any(-1).tolist(), "frames are exact"
    alone = learn_masks(subject_of(net), clip[1:], classes[1:], settings)
    torch.testing.assert_close(alone, masks[:, 1:], rtol=1e-3, atol=1e-3)


def test_batches_of_any_size_and_a_second_time_give_the_same() -> None:
    clip = noise()
    net = Shown(clip, blocks())
    options = {"classes": 0, "areas": (0.03, 0.1), "iterations": 6, "core_start": 2, "core_frames": 3, "core_pixels": 5, **SETTINGS}
    seen: list[tuple[int, int]] = []
    found = explain(net, clip, method="st_extremal_perturbation", on_progress=lambda done, total: seen.append((done, total)), **options)
    assert seen == [(done, 6) for done in range(1, 7)]
    again = explain(net, clip, method="st_extremal_perturbation", **options)
    assert torch.equal(found.maps, again.maps)
    parts = explain(net, clip, method="st_extremal_perturbation", batch_clips=3, **options)
    torch.testing.assert_close(parts.maps, found.maps)
    without = explain(net, clip, method="extremal_perturbation", **{**options, "core_frames": 0})
    assert not torch.allclose(found.maps, without.maps, atol=1e-4)
    assert found.names == ("st_extremal_perturbation",)
    assert found.maps.shape == (2, 1, FRAMES, SIZE, SIZE)
    assert found.maps.amax((1, 2, 3, 4)).tolist() == [1, 1]


def moving_ellipsoid() -> Tensor:
    """A disc that grows, shrinks and moves to the right, in frames 0 to 3."""
    rows, columns = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    discs = [((rows - 12) ** 2 + (columns - 7 - 3 * frame) ** 2 <= radius**2).float() for frame, radius in enumerate((4, 5, 5, 4, 0))]
    return torch.stack([disc * (frame < 4) for frame, disc in enumerate(discs)])


def test_a_moving_ellipsoid_is_found_by_ellipsoids() -> None:
    region = moving_ellipsoid()
    clip = noise()[:1]
    grid = MaskGrid((SIZE, SIZE), step=3, sigma=3.0)
    pixels = grid.padded(torch.ones(1, *grid.grid_YX))[0].numel()
    plain = ExtremalSettings(areas=(share(region, pixels),), iterations=100, **SETTINGS)
    core = Core(3, 5)
    shaped = ExtremalSettings(areas=plain.areas, iterations=100, core_frames=3, core_pixels=5, core_start=30, **SETTINGS)
    subject = subject_of(Shown(clip, region[None]))
    losses = []
    for settings in (plain, shaped):
        masks = learn_masks(subject, clip, torch.tensor([0]), settings)
        assert overlap(masks[0, 0], region) > 0.5
        with_margins = functional.pad(masks[0], (3, 1, 3, 1))
        losses.append(float(core_loss(with_margins, settings.areas, core, shuffled())))
    assert losses[1] < 0.9 * losses[0]


@pytest.mark.gpu
@pytest.mark.parametrize("method", ["relevance_cam", "feature_pyramids", "extremal_perturbation", "st_extremal_perturbation"])
def test_a_gpu_draws_what_a_cpu_draws(method: str) -> None:
    options = {"areas": (0.3,), "iterations": 3, "core_start": 0} if "extremal" in method else {}
    net, clip = nano(toy_config()), toy_batch(0, clips=2).clip
    expected = explain(net, clip, method=method, **options)
    found = explain(net.cuda(), clip, method=method, **options)
    assert found.maps.is_cuda
    torch.testing.assert_close(found.maps.cpu(), expected.maps, rtol=0.05, atol=0.05)


def test_a_network_here_and_a_plain_one_are_as_they_were() -> None:
    net, clip = nano(toy_config(dropout=0.5)).train(), toy_batch(0, clips=1).clip
    before = state_of(net)
    found = explain(net, clip, method="extremal_perturbation", iterations=2, areas=(0.3,))
    assert state_of(net) == before
    assert torch.equal(found.logits, net.eval()(clip).logits)

    def fail(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    plain = SmallCNN().requires_grad_(False)
    plain.linear.requires_grad_(True)
    before = state_of(plain)
    with torch.inference_mode():
        explain(plain, torch.randn(1, 3, 2, 16, 16), method="extremal_perturbation", iterations=1)
    with pytest.raises(KeyboardInterrupt):
        explain(plain, torch.randn(1, 3, 2, 16, 16), method="extremal_perturbation", on_progress=fail)
    assert state_of(plain) == before


def test_settings_that_are_not_possible_are_refused() -> None:
    sizes = ((112, 150), (224, 224), (168, 200), (16, 16))
    assert [ExtremalSettings().spread(size) for size in sizes] == [11, 23, 17, 7]
    for wrong, message in (
        ({"areas": (0.1, 1.0)}, r"areas=\(0.1, 1.0\) is not possible; each must be a fraction"),
        ({"iterations": 0}, "iterations=0 is not possible; it must be at least 1"),
        ({"sigma": 3.5}, "sigma=3.5 is not possible; it must be more than half of grid_step=7"),
        ({"batch_clips": 0}, "batch_clips=0 is not possible"),
    ):
        with pytest.raises(ValueError, match=message):
            explain(SmallCNN(), torch.randn(1, 3, 2, 16, 16), method="extremal_perturbation", **wrong)
    with pytest.raises(TypeError, match="magic"):
        explain(SmallCNN(), torch.randn(1, 3, 2, 16, 16), method="extremal_perturbation", magic=1)
