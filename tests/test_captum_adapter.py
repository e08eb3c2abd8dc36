"""Attributions of captum as methods: beside captum called by hand, with their options, and refused where they would be misread."""

import sys

import pytest
import torch
from explained import FRAMES, PLAIN, SIZE, SmallCNN, Weighed, state_of
from toys import nano, toy_batch, toy_config

from objabn.explainers import captum_method, explain
from objabn.explainers.explanation import stretched

captum = pytest.importorskip("captum.attr")
CLIP = torch.tensor([[[1.0, -2.0]], [[3.0, 0.5]]])[None, :, :, None]
"""(1, 2, 1, 1, 2)."""
WEIGHTS = torch.tensor([[[1.0, 1.0]], [[-1.0, 2.0]]])[:, :, None]


# Of a linear network integrated gradients are weights times what is above the baseline 0: (1, -2) and (-3, 1), together (-2, -1).
@pytest.mark.parametrize(
    ("sign", "expected"),
    [
        ("signed", [0.0, 1.0]),
        ("absolute", [1.0, 0.0]),  # 1 + 3 and 2 + 1
        ("positive", [0.0, 0.0]),
    ],
)
def test_signs_by_hand(sign: str, expected: list[float]) -> None:
    found = explain(Weighed(WEIGHTS), CLIP, method=captum_method(captum.IntegratedGradients, sign=sign, n_steps=4), classes=0)
    assert found.maps.flatten().tolist() == pytest.approx(expected)
    assert found.names == ("IntegratedGradients",)
    assert found.logits.tolist() == [[-3.0, 3.0]]


def test_our_network_and_captum_by_hand() -> None:
    net, clip = nano(toy_config()), toy_batch(0, clips=2).clip
    found = explain(net, clip, method=captum_method("IntegratedGradients", sign="absolute", n_steps=5), classes=[1, 2])
    expected = captum.IntegratedGradients(lambda given: net.eval()(given).logits).attribute(
        clip.float(), target=torch.tensor([1, 2]), baselines=net.pixel_mean.expand_as(clip), n_steps=5
    )
    torch.testing.assert_close(found.maps[:, 0], stretched(expected.abs().sum(1).float()), rtol=1e-3, atol=1e-4)
    # 0.9 of the baseline is another one, which may be given in its stead; so may the number of steps, at the call.
    method = captum_method("IntegratedGradients", baselines=0.9 * net.pixel_mean.expand(1, 3, FRAMES, *clip.shape[3:]))
    assert not torch.equal(explain(net, clip, method=method, n_steps=2).maps, found.maps)


@pytest.mark.parametrize("name", ["Saliency", "InputXGradient", "DeepLift", "GuidedGradCam", "LayerActivation", "LayerGradientXActivation"])
def test_other_attributions_leave_nothing_behind(name: str) -> None:
    torch.manual_seed(0)
    net, clip = SmallCNN().train(), torch.randn(2, 3, 2, 6, 6)
    net.conv[1].inplace = net.conv[3].inplace = False  # DeepLift calls it unsafe
    net.requires_grad_(False)
    before = state_of(net)
    with torch.inference_mode():
        found = explain(net, clip.clone(), method=captum_method(name, sign="absolute"), layer="conv.2" if "Layer" in name else "conv")
    assert found.maps.shape == (2, 1, 2, 6, 6)
    assert found.maps.amax((1, 2, 3, 4)).tolist() == [1, 1]
    assert state_of(net) == before


def test_a_name_is_enough_and_no_pass_is_larger_than_the_batch() -> None:
    net, clip, sizes = Weighed(WEIGHTS), CLIP.expand(3, -1, -1, -1, -1), []
    net.register_forward_pre_hook(lambda _module, inputs: sizes.append(len(inputs[0])))
    found = explain(net, clip, method="captum:IntegratedGradients", classes=0)
    assert max(sizes) == 3, "the fifty steps of the integral come one after the other"
    assert torch.equal(found.maps, explain(net, clip, method=captum_method("IntegratedGradients"), classes=0).maps)
    with pytest.raises(ValueError, match=r"captum\.attr has no attribution 'Magic'"):
        explain(net, clip, method="captum:Magic")


def test_occlusion_has_options_of_its_own() -> None:
    method = captum_method("Occlusion", sliding_window_shapes=(2, 1, 1, 1))
    # Without the first pixel the score of class 0 falls by 1 - 3, without the second by -2 + 1.
    assert explain(Weighed(WEIGHTS), CLIP, method=method, classes=1).maps.flatten().tolist() == [1.0, 0.0]


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match=r"captum.attr has no attribution 'Magic'; take IntegratedGradients"):
        captum_method("Magic")
    with pytest.raises(ValueError, match=r"Saliency has no option 'steps' here; it has abs"):
        captum_method(captum.Saliency, steps=3)
    with pytest.raises(ValueError, match="sign='both' is not possible; it must be positive, absolute or signed"):
        captum_method(captum.Saliency, sign="both")
    with pytest.raises(ValueError, match="IntegratedGradients has no option 'multiply_by_inputs' here"):
        explain(Weighed(WEIGHTS), CLIP, method=captum_method("IntegratedGradients"), multiply_by_inputs=False)


def test_without_captum_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(RuntimeError, match="captum is not installed; `pip install captum` brings it"):
        captum_method("IntegratedGradients")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("swin3d", "captum takes the second axis of norm for channels, and they are elsewhere; take gradcam"),
        ("mvit", "captum explains layers that give one tensor, and blocks.1 gives several; take gradcam"),
    ],
)
def test_layers_that_captum_would_misread_are_refused(name: str, message: str) -> None:
    torch.manual_seed(0)
    with pytest.raises(ValueError, match=message):
        explain(PLAIN[name][0](), torch.randn(1, 3, FRAMES, SIZE, SIZE), method=captum_method("LayerGradCam"))
