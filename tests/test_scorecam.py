"""Score-CAM: weights and maps worked out by hand, beside pytorch-grad-cam, and each clip of a batch by itself."""

import math
from collections.abc import Callable

import pytest
import torch
from explained import SmallCNN
from torch import Tensor, nn

from objabn.explainers import EachFrame, explain
from objabn.explainers.scorecam import usual_batch

CLIP = torch.tensor([[[[1.0, 2.0, 3.0]]], [[[4.0, 0.0, 2.0]]], [[[5.0, 5.0, 5.0]]]])[None]
"""(1, 3, 1, 1, 3): three channels of three pixels; the last is flat."""


class Summed(nn.Module):
    """Features are the clip; class 0 scores the sum of the first channel and class 1 half that of the second."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Identity()
        self.passes: list[int] = []

    def forward(self, clip: Tensor) -> Tensor:
        self.passes.append(len(clip))
        sums = self.features(clip).sum((2, 3, 4))
        return sums[:, :2] * torch.tensor([1.0, 0.5])


# The masks are (0, 0.5, 1) and (1, 0, 0.5). Behind the first, class 0 scores 2 * 0.5 + 3 = 4 and class 1 0.5 * 2 = 1; behind the
# second, 1 + 3 * 0.5 = 2.5 and 0.5 * (4 + 2 * 0.5) = 2.5.
def test_weights_by_hand() -> None:
    found = explain(Summed(), CLIP, method="scorecam", classes=0, layer="features")
    assert found.logits.tolist() == [[6.0, 3.0]]
    first = math.exp(4) / (math.exp(4) + math.exp(2.5))
    row = [first * own + (1 - first) * other for own, other in zip([1, 2, 3], [4, 0, 2], strict=True)]
    expected = [(value - min(row)) / (max(row) - min(row)) for value in row]
    assert found.maps[0, 0, 0, 0].tolist() == pytest.approx(expected)


def test_weights_of_the_authors_code_by_hand() -> None:
    found = explain(Summed(), CLIP, method="scorecam", classes=0, layer="features", softmax="classes")
    first, second = 1 / (1 + math.exp(1 - 4)), 0.5
    row = [first * own + second * other for own, other in zip([1, 2, 3], [4, 0, 2], strict=True)]
    expected = [(value - min(row)) / (max(row) - min(row)) for value in row]
    assert found.maps[0, 0, 0, 0].tolist() == pytest.approx(expected)


def test_only_channels_that_are_not_flat_cost_a_pass_and_few_may_be_taken() -> None:
    net = Summed()
    explain(net, CLIP, method="scorecam", layer="features", batch_clips=8)
    assert net.passes == [1, 2], "one for the features, one for two masks"
    net.passes.clear()
    # The second channel has the larger standard deviation: it alone makes the map, whatever its weight.
    found = explain(net, CLIP, method="scorecam", classes=0, layer="features", channels=1)
    assert net.passes == [1, 1]
    net.passes.clear()
    explain(net, CLIP.expand(20, -1, -1, -1, -1), method="scorecam", layer="features")
    assert net.passes == [20, 16, 16, 8], "small clips go sixteen at a time"
    assert [usual_batch(torch.empty(1, 3, 16, side, side)) for side in (224, 112, 64)] == [1, 1, 3]
    assert usual_batch(torch.empty(1, 3, 16, 224, 224, device="meta")) == 16
    assert found.maps[0, 0, 0, 0].tolist() == [1.0, 0.0, 0.5]


def test_nothing_but_flat_channels_give_zeros() -> None:
    for softmax in ("channels", "classes"):
        assert explain(Summed(), torch.ones(2, 3, 1, 2, 2), method="scorecam", layer="features", softmax=softmax).maps.abs().max() == 0
    mixed = torch.cat([torch.ones_like(CLIP), CLIP])
    found = explain(Summed(), mixed, method="scorecam", layer="features").maps
    assert found[0].abs().max() == 0
    assert torch.equal(found[1:], explain(Summed(), CLIP, method="scorecam", layer="features").maps)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 0}, "channels=0 is not possible"),
        ({"batch_clips": 0}, "batch_clips=0 is not possible"),
        ({"softmax": "both"}, "softmax='both' is not possible; it must be channels"),
    ],
)
def test_impossible_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        explain(Summed(), CLIP, method="scorecam", layer="features", **options)


@pytest.mark.parametrize("batch_clips", [1, 4, 50])
def test_a_clip_does_not_depend_on_the_others_of_its_batch(batch_clips: int) -> None:
    torch.manual_seed(0)
    net, clips = SmallCNN().eval(), torch.randn(3, 3, 2, 5, 6)
    together = explain(net, clips, method="scorecam", layer="conv", batch_clips=batch_clips)
    for row in range(3):
        alone = explain(net, clips[row : row + 1], method="scorecam", layer="conv", classes=int(together.classes[row]))
        torch.testing.assert_close(together.maps[row : row + 1], alone.maps, rtol=1e-3, atol=1e-5)


class Pictures(nn.Module):
    """For pictures what `SmallCNN` is for clips."""

    def __init__(self, last: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), last())
        self.linear = nn.Linear(8, 3)

    def forward(self, picture: Tensor) -> Tensor:
        return self.linear(self.conv(picture).mean((2, 3)))


@pytest.mark.slow
def test_like_pytorch_grad_cam_on_pictures() -> None:
    """Its ScoreCAM enlarges in 2-D only and refuses clips, so that clips of one frame are compared, on features that are not enlarged."""
    peer = pytest.importorskip("pytorch_grad_cam")
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    torch.manual_seed(0)
    net, pictures = Pictures(nn.Softplus).eval(), torch.randn(2, 3, 6, 7)
    with peer.ScoreCAM(model=net, target_layers=[net.conv]) as cam:
        expected = cam(pictures, targets=[ClassifierOutputTarget(1)] * 2)
    found = explain(EachFrame(net), pictures[:, :, None], method="scorecam", classes=1, layer="net.conv")
    torch.testing.assert_close(found.maps[:, 0, 0], torch.from_numpy(expected), rtol=1e-3, atol=1e-5)
    volumes = torch.randn(1, 4, 2, 6, 7).numpy()
    with peer.ScoreCAM(model=SmallCNN(), target_layers=[nn.Identity()]) as cam, pytest.raises((ValueError, NotImplementedError)):
        cam.get_cam_weights(torch.randn(1, 3, 2, 6, 7), None, [], volumes, None)
