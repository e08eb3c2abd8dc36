"""Random colours: the affine changes by hand, and what a plan draws."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from toys import toy_index

from objabn.config import DataConfig
from objabn.data.colour_jitter import PRINCIPAL_AXES, PRINCIPAL_VALUES, random_colours, unchanged
from objabn.data.reader import recolour
from objabn.data.sampling import evaluation_plan, training_plan


class Drawn:
    """A generator that gives what it is told."""

    def __init__(self, factors: tuple[float, float, float], amounts: tuple[float, float, float] = (0, 0, 0)) -> None:
        self.factors, self.amounts = factors, amounts

    def uniform(self, low: float, high: float, shape: tuple[int, ...]) -> np.ndarray:
        assert low <= min(self.factors)
        assert max(self.factors) <= high
        return np.broadcast_to(np.array(self.factors).reshape(3, 1, 1, 1), shape)

    def normal(self, _mean: float, deviation: float, shape: tuple[int, ...]) -> np.ndarray:
        return np.broadcast_to(deviation * np.array(self.amounts).reshape(3, 1), shape)


@pytest.mark.parametrize(
    ("factors", "pixel", "expected"),
    [
        ((1.0, 1.0, 1.0), (10, 20, 30), (10, 20, 30)),
        ((1.2, 1.0, 1.0), (10, 20, 30), (12, 24, 36)),
        ((1.0, 0.5, 1.0), (28, 128, 228), (78, 128, 178)),
        # Brightness comes before contrast: 100 -> 50, which is 78 below the middle, then 39 below it.
        ((0.5, 0.5, 1.0), (100, 100, 100), (89, 89, 89)),
        # Grey of (100, 0, 0) is 29.9; half the way there.
        ((1.0, 1.0, 0.5), (100, 0, 0), (64.95, 14.95, 14.95)),
    ],
)
def test_factors_by_hand(factors: tuple[float, float, float], pixel: tuple[int, ...], expected: tuple[float, ...]) -> None:
    (colour,) = random_colours(1, jitter=0.5, noise=0.0, generator=Drawn(factors))
    assert colour[:, :3] @ np.array(pixel) + colour[:, 3] == pytest.approx(expected, abs=1e-3)


def test_noise_moves_along_the_axes_by_hand() -> None:
    (colour,) = random_colours(1, jitter=0.0, noise=0.1, generator=Drawn((1, 1, 1), (2.0, 0.0, -1.0)))
    expected = 0.2 * PRINCIPAL_VALUES[0] * PRINCIPAL_AXES[:, 0] - 0.1 * PRINCIPAL_VALUES[2] * PRINCIPAL_AXES[:, 2]
    assert colour[:, 3] == pytest.approx(expected, rel=1e-5)
    assert expected == pytest.approx([-6.341, -6.349, -6.521], abs=1e-3)
    assert np.array_equal(colour[:, :3], np.eye(3))


def test_pixels_are_rounded_and_stay_in_range() -> None:
    frames = torch.tensor([0, 100, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    colour = torch.tensor([[1, 0, 0, -5], [0, 1.006, 0, 0], [0, 0, 2, 0]])
    assert recolour(frames, colour).flatten().tolist() == [0, 101, 255]


def test_every_clip_of_an_epoch_has_its_own_and_evaluation_has_none() -> None:
    index, config = toy_index([90] * 20), DataConfig(colour_jitter=0.4, colour_noise=0.1)
    plan = training_plan(index, np.arange(20), config, seed=0, epoch=1)
    assert len(np.unique(plan.colour, axis=0)) == 20
    again = training_plan(index, np.arange(20), config, seed=0, epoch=1)
    assert np.array_equal(plan.colour, again.colour)
    assert np.array_equal(evaluation_plan(index, np.arange(20), config).colour, unchanged(20))


def test_a_plan_without_colours_is_the_one_it_was() -> None:
    index, plain = toy_index([90] * 20), DataConfig()
    coloured = replace(plain, colour_jitter=0.4)
    plans = [training_plan(index, np.arange(20), config, seed=3, epoch=0) for config in (plain, coloured)]
    for name in ("video", "frames", "roi"):
        assert np.array_equal(getattr(plans[0], name), getattr(plans[1], name))
    assert np.array_equal(plans[0].colour, unchanged(20))
