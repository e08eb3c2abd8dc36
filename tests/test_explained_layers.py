"""What explainers stand on: the layer that is found in any network, features on their grid, scores in any answer."""

import pytest
import torch
from explained import CLASSES, FRAMES, PLAIN, SIZE, Described, SmallCNN, small_vit, state_of
from torch import Tensor, nn

from objabn.explainers import EachFrame, Explanation, Subject, explain, subject_of
from objabn.explainers.evidence import evidence
from objabn.explainers.explanation import class_map
from objabn.explainers.grids import volume_of
from objabn.explainers.hooks import captured, gradients
from objabn.explainers.layers import find_layer, patch_grid
from objabn.explainers.subject import is_softmax, scores_of
from objabn.models.build import create_model

GRIDS = {"r3d": 4, "mvit": 8, "swin3d": 8, "vit": 4, "vit_mean": 4, "mapping": SIZE, "tuple": SIZE, "softmax": SIZE}
"""Rows of the layer's features, where they are not 2."""
CLIP = torch.randn(1, 3, FRAMES, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", PLAIN)
def test_the_last_layer_with_places_is_found(name: str) -> None:
    torch.manual_seed(0)
    net, expected = PLAIN[name][0](), PLAIN[name][1]
    net.requires_grad_(False)
    before = state_of(net.train())
    with torch.no_grad():
        layer = find_layer(subject_of(net), CLIP)
    assert layer.name == expected
    assert state_of(net)[:4] == before[:4]
    features = evidence(subject_of(net), CLIP).features
    assert (len(features), features.ndim) == (1, 5)
    assert tuple(features.shape[-2:]) == (GRIDS.get(name, 2),) * 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "layer", "frames", "size"), [("r3d_18", "layer4", 8, 64), ("swin3d_t", "norm", 8, 64), ("mvit_v2_s", "blocks.14", 16, 224)]
)
def test_networks_of_torchvision(name: str, layer: str, frames: int, size: int) -> None:
    from torchvision.models import video

    torch.manual_seed(0)
    net = getattr(video, name)(num_classes=CLASSES)
    found = explain(net, torch.randn(1, 3, frames, size, size), method="gradcam")
    assert find_layer(subject_of(net), torch.randn(1, 3, frames, size, size)).name == layer
    assert found.maps.shape == (1, 1, frames, size, size)


@pytest.mark.parametrize(("backbone", "stage"), [("slowfast_r50", "blocks.4"), ("x3d_nano", "blocks.4")])
@pytest.mark.usefixtures("narrow", "shallow")
def test_our_networks_know_their_layers(backbone: str, stage: str) -> None:
    net = create_model(backbone, classes=CLASSES, system="abn", cut=4, clip_frames=8, clip_size=SIZE, weights=None)
    clip = torch.randint(0, 256, (1, 3, 8, SIZE, SIZE), dtype=torch.uint8)
    assert find_layer(subject_of(net), clip).name == f"backbone.{stage}"
    assert find_layer(subject_of(net, layer="attended"), clip).name == f"backbone.{stage.replace('4', '3')}"
    assert evidence(subject_of(net, layer="attended"), clip).features.shape[-2:] == (4, 4)
    assert explain(net, clip, method="layercam").maps.shape == (1, 1, 8, SIZE, SIZE)


def test_layers_by_name_and_networks_without_any() -> None:
    net = SmallCNN()
    assert evidence(subject_of(net, layer="conv.1"), CLIP).features.shape == (1, 5, FRAMES, SIZE, SIZE)
    with pytest.raises(ValueError, match=r"There is no layer 'conv.9'; here are conv.0, conv.1, conv.2, conv.3"):
        explain(net, CLIP, method="gradcam", layer="conv.9")
    with pytest.raises(ValueError, match="What linear gives has no frames, rows and columns that could be recognised"):
        explain(net, CLIP, method="gradcam", layer="linear")

    def in_a_column(output: Tensor, clips: int) -> Tensor:
        return output.reshape(clips, CLASSES, 1, 1, 1)

    assert evidence(subject_of(net, layer="linear", volume=in_a_column), CLIP).features.shape == (1, CLASSES, 1, 1, 1)
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * FRAMES * SIZE * SIZE, 2))
    with pytest.raises(ValueError, match="No layer of Sequential has rows and columns"):
        explain(flat, CLIP, method="gradcam")


class Reader(nn.Module):
    """Reads uint8 and turns it into floats by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.net = SmallCNN()

    def forward(self, clip: Tensor) -> Tensor:
        return self.net(clip.float() / 255 - 0.5)


def test_a_frozen_network_of_bytes_is_searched_alike() -> None:
    net, clip = Reader().requires_grad_(False), torch.randint(0, 256, (1, 3, 2, 8, 8), dtype=torch.uint8)
    assert find_layer(subject_of(net), clip).name == "net.conv"


def test_features_on_their_grid_by_hand() -> None:
    size = (2, 8, 12)
    pictures = torch.arange(4 * 9 * 2 * 3).reshape(4, 9, 2, 3).float()
    folded = volume_of(pictures, 2, size_TYX=size)
    assert folded.shape == (2, 9, 2, 2, 3)
    assert torch.equal(folded[1, :, 0], pictures[2]), "frames of a clip follow each other"
    assert torch.equal(volume_of(pictures.movedim(1, -1), 2, size_TYX=size), folded), "channels behind rows and columns"
    tokens = torch.arange(2 * 7 * 5).reshape(2, 7, 5).float()
    volume = volume_of((tokens, [1, 2, 3]), 2, size_TYX=size)
    assert torch.equal(volume[1, :, 0, 1, 2], tokens[1, 6]), "the last token is the last place, behind a class token"
    assert torch.equal(volume_of(tokens, 1, size_TYX=size, patches_TYX=(1, 2, 3))[0, :, 1, 0, 0], tokens[1, 1])
    assert volume_of(tokens, 2, size_TYX=size) is None
    assert volume_of(tokens, 2, size_TYX=size, patches_TYX=(1, 4, 4)) is None, "more places than tokens"
    assert volume_of(pictures, 3, size_TYX=size) is None, "four pictures of three clips"
    assert volume_of({"features": pictures}, 2, size_TYX=size) is None


def test_the_grid_of_tokens_is_that_of_the_first_convolution() -> None:
    net = small_vit()
    assert patch_grid(subject_of(net), CLIP) == (1, 4, 4)
    assert patch_grid(subject_of(nn.Sequential(nn.Flatten(), nn.Linear(3 * FRAMES * SIZE * SIZE, 2))), CLIP) is None
    assert all(not module._forward_hooks for module in net.modules())


def test_what_is_captured_may_be_changed_in_place_and_counts_with_its_last_call() -> None:
    shared = nn.Linear(2, 2, bias=False)
    shared.weight.data = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    net = nn.Sequential(shared, nn.ReLU(inplace=True), shared, nn.ReLU(inplace=True))
    with captured(net, ["0"]) as outputs:
        score = net(torch.tensor([[-1.0, 3.0]])).sum()
    assert outputs["0"].tolist() == [[0.0, 3.0]], "swapped twice, and -1 cut off between"
    slope, size, nothing = gradients(score, [outputs["0"], 5, None])
    assert (slope.tolist(), size, nothing) == ([[0.0, 1.0]], 5, None), "0 is not above 0"


def test_scores_are_found_in_any_answer() -> None:
    logits = torch.tensor([[1.0, 3.0]])
    for answer in (logits, {"aux": 0, "logits": logits}, {"out": logits}, (logits, None), [logits]):
        assert torch.equal(scores_of(answer, clips=1), logits)
    torch.testing.assert_close(scores_of(logits.softmax(1), clips=1), logits.log_softmax(1))
    assert not is_softmax(torch.tensor([[0.5, 0.6]]))
    assert not is_softmax(torch.tensor([[1.0]])), "a single score is no distribution"
    with pytest.raises(ValueError, match=r"answers 2 clips with \(1, 2\) cannot be explained; it must give scores"):
        scores_of(logits, clips=2)


def test_a_sure_answer_behind_a_softmax_is_explained() -> None:
    torch.manual_seed(0)
    net = Described(lambda logits: logits.softmax(1)).eval()
    net.net.linear.bias.data = torch.tensor([40.0, 0.0, 0.0])
    assert net(CLIP)[0, 0] == 1, "the gradient of this probability is 0"
    logits = net.net(CLIP)
    for method in ("gradcam", "saliency_tubes"):
        found = explain(net, CLIP, method=method, classes=1, layer="net.conv")
        assert found.maps.amax() == 1
        torch.testing.assert_close(found.logits, logits.log_softmax(1), rtol=1e-4, atol=1e-4)
    expected = explain(net.net, CLIP, method=lambda *given: difference_map(net.net, *given))
    torch.testing.assert_close(explain(net, CLIP, method="gradcam", classes=1, layer="net.conv").maps, expected.maps, rtol=1e-3, atol=1e-4)


def difference_map(net: SmallCNN, _subject: Subject, clip: Tensor, _classes: None) -> Explanation:
    """Return Grad-CAM of class 1 less class 0, the sure one: what the logarithm of the probability of class 1 is here."""
    weights = (net.linear.weight[1] - net.linear.weight[0]).detach()
    cam = torch.einsum("c,bctyx->btyx", weights, net.conv(clip).detach()).relu()
    return class_map(cam, clip, name="", logits_BK=net(clip), classes_B=torch.ones(1))


def test_each_frame_answers_by_the_mean() -> None:
    frames = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    clip = torch.arange(12.0).reshape(1, 3, 4, 1, 1)
    assert EachFrame(frames)(clip).tolist() == [[1.5, 5.5, 9.5]]


@pytest.mark.parametrize("shape", [(3, 4, 8, 8), (0, 3, 4, 8, 8)])
def test_what_is_no_batch_of_clips_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"cannot be explained; they must be \(B, C, T, Y, X\)"):
        explain(SmallCNN(), torch.zeros(shape), method="gradcam")
