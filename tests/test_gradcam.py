"""Grad-CAM, Grad-CAM++ and Layer-CAM: worked out by hand, and beside pytorch-grad-cam and captum on toys and a real clip."""

from pathlib import Path

import numpy as np
import pytest
import torch
from explained import SmallCNN, Weighed
from torch import Tensor, nn

from objabn.explainers import captum_method, explain
from objabn.explainers.explanation import class_map
from objabn.models.x3d import create_x3d

CLIP = torch.tensor([[[1.0, 0.0], [2.0, 0.0]], [[0.0, 1.0], [0.0, 3.0]]])[None, :, :, None]
"""(1, 2, 2, 1, 2): two channels of two frames of two pixels, which sum to 3 and 4."""
WEIGHTS = torch.tensor([[[0.5, 0.5], [0.5, 0.5]], [[1.0, 0.5], [-1.0, -2.0]]])[:, :, None]
PEERS = {"gradcam": "GradCAM", "gradcam++": "GradCAMPlusPlus", "layercam": "LayerCAM"}


# The gradients of class 0 are WEIGHTS: means 0.5 and -0.375, in the frames 0.5, 0.5 and 0.75, -1.5.
# Grad-CAM: 0.5 A_0 - 0.375 A_1. Frame by frame: (0.5, 0.75) and (1, -4.5).
# Grad-CAM++: w_0 = 4 * 0.5 / (2 + 0.5 * 3) = 4/7, w_1 = 1 / (2 + 4) + 0.5 / (2 + 2) = 7/24: (4/7, 7/24) and (8/7, 7/8).
# Layer-CAM: (0.5, 0.5) and (1, 0).
@pytest.mark.parametrize(
    ("method", "options", "expected"),
    [
        ("gradcam", {}, [[0.5, 0], [1, 0]]),
        ("gradcam", {"pool": "frame"}, [[0.5, 0.75], [1, 0]]),
        ("gradcam++", {}, [[4 / 7, 7 / 24], [8 / 7, 7 / 8]]),
        ("layercam", {}, [[0.5, 0.5], [1, 0]]),
    ],
)
def test_by_hand(method: str, options: dict, expected: list[list[float]]) -> None:
    found = explain(Weighed(WEIGHTS), CLIP, method=method, classes=0, layer="features", **options)
    rows = torch.tensor(expected)
    torch.testing.assert_close(found.maps[0, 0, :, 0], (rows - rows.min()) / (rows.max() - rows.min()))
    assert (found.names, found.classes.tolist()) == ((method,), [0])
    # 0.5 * 3 from the first channel, and 0.5 * 1 - 2 * 3 from the second.
    assert found.logits.tolist() == [[-4.0, 4.0]]


def test_the_other_class_is_predicted_and_sees_the_opposite() -> None:
    found = explain(Weighed(WEIGHTS), CLIP, method="gradcam", layer="features")
    assert found.classes.tolist() == [1]
    # -0.5 A_0 + 0.375 A_1: (-0.5, 0.375) and (-1, 1.125).
    torch.testing.assert_close(found.maps[0, 0, :, 0], torch.tensor([[0, 1 / 3], [0, 1]]))


def test_where_the_gradient_is_zero_nothing_is_divided_by_zero() -> None:
    for method in PEERS:
        found = explain(Weighed(torch.zeros_like(WEIGHTS)), CLIP, method=method, classes=0, layer="features")
        assert found.maps.abs().max() == 0
    # A gradient of 1e-30, whose square is no float32 any more, weighs like any other.
    found = explain(Weighed(WEIGHTS.relu() * 1e-30), CLIP, method="gradcam++", classes=0, layer="features")
    # a = 1/2 everywhere: w_0 = 1, w_1 = 0.75, so that the map is (1, 0.75) and (2, 2.25).
    torch.testing.assert_close(found.maps[0, 0, :, 0], torch.tensor([[0.25, 0], [1.25, 1.5]]) / 1.5)


class Halved(nn.Module):
    """A network whose features are the means of neighbouring frames."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.AvgPool3d((2, 1, 1))

    def forward(self, clip: Tensor) -> Tensor:
        return self.features(clip).square().sum((2, 3, 4))


def test_frames_by_themselves_are_repeated_and_others_blended() -> None:
    clip = torch.rand(1, 2, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    blended, repeated = (explain(Halved(), clip, method="gradcam", layer="features", pool=pool).maps[0, 0] for pool in ("clip", "frame"))
    assert torch.equal(repeated[0], repeated[1])
    assert torch.equal(repeated[2], repeated[3])
    assert not torch.equal(blended[0], blended[1])
    with pytest.raises(ValueError, match="pool='time' is not possible; it must be clip"):
        explain(Halved(), clip, method="gradcam", layer="features", pool="time")


def theirs(net: nn.Module, layer: str, clip: Tensor, name: str, target: int) -> Tensor:
    """Return pytorch-grad-cam's map (B, T', y, x) before it is scaled and enlarged, and without its second ReLU."""
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    with getattr(pytorch_grad_cam, name)(model=net, target_layers=[net.get_submodule(layer)]) as cam:
        targets = [ClassifierOutputTarget(target)] * len(clip)
        cam(clip, targets=targets)
        seen = cam.activations_and_grads
        features, slopes = seen.activations[0].numpy(), seen.gradients[0].numpy()
        raw = cam.get_cam_image(clip, net.get_submodule(layer), targets, features, slopes, eigen_smooth=False)
    return torch.from_numpy(np.maximum(raw, 0))


def assert_like_theirs(net: nn.Module, layer: str, clip: Tensor, target: int) -> None:
    """Compare with pytorch-grad-cam before it enlarges by cubic splines, and with its constant in Grad-CAM++."""
    for method, name in PEERS.items():
        options = {"eps": 1e-6} if method == "gradcam++" else {}
        found = explain(net, clip, method=method, classes=target, layer=layer, **options)
        expected = class_map(theirs(net, layer, clip, name, target), clip, name=name, logits_BK=found.logits, classes_B=found.classes)
        assert expected.maps.amax() == 1, name
        torch.testing.assert_close(found.maps, expected.maps, rtol=1e-3, atol=1e-4)
    captum = explain(net, clip, method=captum_method("LayerGradCam"), classes=target, layer=layer)
    torch.testing.assert_close(explain(net, clip, method="gradcam", classes=target, layer=layer).maps, captum.maps, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_like_pytorch_grad_cam_and_captum_on_a_toy() -> None:
    pytest.importorskip("pytorch_grad_cam")
    pytest.importorskip("captum")
    torch.manual_seed(0)
    net, clip = SmallCNN().eval(), torch.randn(2, 3, 4, 6, 7)
    for target in range(3):
        assert_like_theirs(net, "conv", clip, target)


def real_x3d(shared_data: Path) -> nn.Module:
    """X3D-M with weights of Kinetics-400, as pytorchvideo builds it."""
    net = create_x3d(input_clip_length=16, input_crop_size=224, model_num_class=400, head_activation=None)
    net.load_state_dict(torch.load(shared_data / "weights/x3d_m_k400_from_xs_int8.pth", weights_only=True)["model_state"])
    return net.eval()


@pytest.mark.slow
def test_like_pytorch_grad_cam_and_captum_on_a_real_clip(shared_data: Path) -> None:
    pytest.importorskip("pytorch_grad_cam")
    pytest.importorskip("captum")
    from objabn.config import DataConfig
    from objabn.explainers.video import read_centre_clip

    video = next((shared_data / "ucf101/UCF-101/Biking").glob("*_g01_c01.avi"))
    data = DataConfig(clip_frames=16, stride_frames=4, crop_size=224, short_side=(224, 224), eval_short_side=224)
    clip = (read_centre_clip(video, data).clip[None].float() / 255 - 0.45) / 0.225
    net = real_x3d(shared_data)
    assert_like_theirs(net, "blocks.4", clip, int(net(clip).argmax()))
