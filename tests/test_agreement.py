"""Correlations by hand and against SciPy, and the likeness of neighbouring frames."""

import pytest
import torch

from objabn.metrics import normalize_frames, pearson, spearman, structural_similarity, temporal_consistency


def test_ranks_of_equal_values_are_shared() -> None:
    # Ranks 0, 1.5, 1.5, 3 and 3, 0, 1.5, 1.5: centred -1.5 0 0 1.5 and 1.5 -1.5 0 0, product -2.25, lengths sqrt(4.5).
    assert spearman(torch.tensor([1.0, 5, 5, 9]), torch.tensor([7.0, 2, 3, 3])).item() == pytest.approx(-2.25 / 4.5)
    assert spearman(torch.tensor([1.0, 2, 3]), torch.tensor([1.0, 10, 1000])).item() == pytest.approx(1)
    assert spearman(torch.tensor([1.0, 2, 3]), torch.zeros(3)).isnan()


@pytest.mark.slow  # SciPy takes its time to import
def test_correlations_are_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    generator = torch.Generator().manual_seed(0)
    values = (torch.rand(4, 3, 60, generator=generator) * 9).round()
    others = values * 0.3 + torch.rand(4, 3, 60, generator=generator)
    for ours, theirs in ((spearman, stats.spearmanr), (pearson, stats.pearsonr)):
        found = ours(values, others)
        for row in range(4):
            for column in range(3):
                expected = theirs(values[row, column].numpy(), others[row, column].numpy()).statistic
                assert found[row, column].item() == pytest.approx(expected, abs=1e-6)


def test_consistency_of_frames_by_hand() -> None:
    left, right = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    corner, flat = torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.full((2, 2), 0.4)
    assert temporal_consistency(torch.stack([left, left * 0.2 + 0.3])).item() == pytest.approx(1), "neither scale nor floor matters"
    assert temporal_consistency(torch.stack([left, right])).item() == pytest.approx(-1)
    # Centred: halves against 3/4, -1/4, -1/4, -1/4, that is 1/2 over sqrt(1 * 3/4).
    to_corner = 0.5 / 0.75**0.5
    assert temporal_consistency(torch.stack([left, corner])).item() == pytest.approx(to_corner)
    assert temporal_consistency(torch.stack([left, left, corner])).item() == pytest.approx((1 + to_corner) / 2)
    # One of two flat is a break, two flat ones say nothing.
    assert temporal_consistency(torch.stack([left, flat, flat, left, left])).item() == pytest.approx(1 / 3)
    assert temporal_consistency(torch.stack([flat, flat])).isnan()
    assert temporal_consistency(left[None]).isnan()


@pytest.mark.parametrize("lead", [(), (2,), (2, 3)])
def test_consistency_of_any_leading_axes_is_that_of_stretched_frames(lead: tuple[int, ...]) -> None:
    maps = torch.rand(*lead, 5, 6, 7, generator=torch.Generator().manual_seed(2))
    found = temporal_consistency(maps)
    assert found.shape == lead
    torch.testing.assert_close(found, temporal_consistency(normalize_frames(maps.double())))


def test_structural_similarity_by_hand() -> None:
    dark, light = torch.full((2, 11, 12), 0.2), torch.full((2, 11, 12), 0.6)
    # Without structure only the light differs; the constant of structure cancels.
    assert structural_similarity(dark, light).tolist() == pytest.approx([(2 * 0.12 + 1e-4) / (0.04 + 0.36 + 1e-4)] * 2)
    noise = torch.rand(3, 2, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(structural_similarity(noise, noise), torch.ones(3, 2))
    assert (structural_similarity(noise, 1 - noise) < 0).all()
    with pytest.raises(ValueError, match="too small for windows of 11 x 11"):
        structural_similarity(noise[..., :10], noise[..., :10])


@pytest.mark.slow  # torchmetrics takes its time to import
def test_structural_similarity_is_that_of_torchmetrics() -> None:
    image = pytest.importorskip("torchmetrics.functional.image")
    frames = torch.rand(5, 1, 20, 33, dtype=torch.float64)
    others = (frames + torch.rand(5, 1, 20, 33, dtype=torch.float64)) / 2
    _, places = image.structural_similarity_index_measure(frames, others, data_range=1.0, reduction="none", return_full_image=True)
    # It counts windows that reach over the edge as well, on mirrored pixels.
    torch.testing.assert_close(structural_similarity(frames, others), places[..., 5:-5, 5:-5].mean((-2, -1)))
