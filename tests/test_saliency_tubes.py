"""Saliency Tubes: by hand, on every kind of network that answers from pooled features, and refused elsewhere."""

import pytest
import torch
from explained import CLASSES, FRAMES, PLAIN, SIZE
from torch import Tensor, nn

from objabn.explainers import explain, subject_of
from objabn.explainers.explanation import enlarge, stretched
from objabn.explainers.saliency_tubes import find_classifier, projected
from objabn.models.build import create_model
from objabn.models.x3d import create_x3d


class Pooled(nn.Module):
    """Two channels, averaged; class 0 is the first less twice the second, class 1 the second; both with a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Identity()
        self.linear = nn.Linear(2, 2)
        self.linear.weight.data = torch.tensor([[1.0, -2.0], [0.0, 1.0]])
        self.linear.bias.data = torch.tensor([0.5, 7.0])

    def forward(self, clip: Tensor) -> Tensor:
        return self.linear(self.features(clip).mean((2, 3, 4)))


def test_by_hand() -> None:
    clip = torch.tensor([[[1.0, 2.0]], [[3.0, 0.0]]])[None, :, None]
    found = explain(Pooled(), clip, method="saliency_tubes", classes=0, layer="features")
    # 1 - 2 * 3 = -5 and 2 - 0 = 2: what speaks against the class is not cut off, but the least becomes 0.
    assert found.maps.tolist() == [[[[[0.0, 1.0]]]]]
    assert found.logits.tolist() == [[(-5 + 2) / 2 + 0.5, 1.5 + 7]]
    assert explain(Pooled(), clip, method="saliency_tubes", classes=1, layer="features").maps.tolist() == [[[[[1.0, 0.0]]]]]


@pytest.mark.parametrize("name", ["r3d", "slow", "resnet", "swin3d", "mapping", "softmax"])
def test_networks_that_pool_and_classify(name: str) -> None:
    torch.manual_seed(0)
    make, layer = PLAIN[name]
    net, clip = make().eval(), torch.randn(2, 3, FRAMES, SIZE, SIZE)
    found = explain(net, clip, method="saliency_tubes", classes=[0, 2])
    assert torch.equal(found.maps, explain(net, clip, method="saliency_tubes", classes=[0, 2], layer=layer).maps)
    assert (found.maps.shape, float(found.maps.amin()), float(found.maps.amax())) == ((2, 1, FRAMES, SIZE, SIZE), 0, 1)


@pytest.mark.parametrize("name", ["vit", "mvit", "convnext", "vit_mean"])
def test_networks_with_something_between_are_refused(name: str) -> None:
    torch.manual_seed(0)
    with pytest.raises(ValueError, match=r"by one linear layer, and .* does something between; take gradcam"):
        explain(PLAIN[name][0](), torch.randn(1, 3, FRAMES, SIZE, SIZE), method="saliency_tubes")


@pytest.mark.parametrize(("backbone", "system"), [("resnet18", "abn"), ("slow_r50", "st_abn"), ("r2plus1d_50", "object_abn")])
@pytest.mark.usefixtures("narrow")
def test_our_networks_on_several_backbones(backbone: str, system: str) -> None:
    torch.manual_seed(0)
    net = create_model(backbone, classes=CLASSES, system=system, cut=4, clip_frames=FRAMES, clip_size=SIZE, weights=None)
    found = explain(net, torch.randint(0, 256, (1, 3, FRAMES, SIZE, SIZE), dtype=torch.uint8), method="saliency_tubes")
    assert found.maps.shape == (1, 1, FRAMES, SIZE, SIZE)


@pytest.mark.parametrize(("system", "message"), [("gated", "and it reads"), ("saliency_lstm", "and it reads")])
@pytest.mark.usefixtures("shallow")
def test_systems_with_another_answer_are_refused(system: str, message: str) -> None:
    settings = {"hidden_channels": 8} if system == "saliency_lstm" else {}
    net = create_model("x3d_nano", classes=CLASSES, system=system, cut=5, clip_frames=FRAMES, clip_size=SIZE, weights=None, **settings)
    with pytest.raises(ValueError, match=message):
        explain(net, torch.zeros(1, 3, FRAMES, SIZE, SIZE, dtype=torch.uint8), method="saliency_tubes")


def tiny_x3d() -> nn.Module:
    torch.manual_seed(0)
    return create_x3d(
        input_clip_length=FRAMES, input_crop_size=64, model_num_class=CLASSES, depth_factor=0.2, head_dim_out=16, head_activation=None
    ).eval()


def test_x3d_without_its_pool() -> None:
    net, clip = tiny_x3d(), torch.randn(2, 3, FRAMES, 64, 64)
    head, features = net.blocks[5], clip
    for block in net.blocks[:5]:
        features = block(features)
    dense = head.pool.pre_act(head.pool.pre_norm(head.pool.pre_conv(features)))
    dense = head.pool.post_act(head.pool.post_conv(dense))
    cam = torch.stack([(head.proj.weight[number][:, None, None, None] * dense[row]).sum(0) for row, number in enumerate((2, 1))])
    expected = stretched(enlarge(cam[:, None].detach(), size_TYX=(FRAMES, 64, 64))[:, 0])
    found = explain(net, clip, method="saliency_tubes", classes=[2, 1])
    torch.testing.assert_close(found.maps[:, 0], expected, rtol=1e-3, atol=1e-5)


def test_x3d_adds_up_to_the_logit_but_for_the_last_relu() -> None:
    net, clip = tiny_x3d(), torch.randn(2, 3, FRAMES, 64, 64)
    for is_exact in (False, True):
        if is_exact:
            net.blocks[5].pool.post_act = nn.Identity()
        seen = projected(subject_of(net), "blocks.5.pool", clip, None)
        rows, bias = find_classifier(net, CLASSES, channels=16)
        error = (seen.features.mean((2, 3, 4)) @ rows.T + bias - seen.scores).abs().max() / seen.scores.abs().max()
        assert (error < 1e-4) == is_exact


def test_a_network_without_a_linear_layer_is_refused() -> None:
    class Averaged(nn.Module):
        def forward(self, clip: Tensor) -> Tensor:
            return self.features(clip).mean((2, 3, 4))

        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Identity()

    with pytest.raises(ValueError, match="looked at in Averaged, and there is none; take gradcam"):
        explain(Averaged(), torch.rand(1, 2, 1, 2, 2), method="saliency_tubes", layer="features")
