"""Every method on every kind of network: ours of all systems, and others; what it leaves behind, and what it must not depend on."""

import weakref
from typing import Any

import pytest
import torch
from explained import CLASSES, FRAMES, PLAIN, SIZE, SmallCNN, state_of
from torch import Tensor
from toys import nano, toy_batch, toy_config

from objabn.explainers import explain
from objabn.models.build import create_model
from objabn.models.network import AttentionNetwork
from objabn.models.systems import SYSTEMS

OPTIONS: dict[str, dict[str, Any]] = {"gradcam": {}, "gradcam++": {}, "layercam": {}, "scorecam": {"channels": 3}}
POOLED = ("abn", "object_abn", "st_abn", "plain")
"""Systems whose answer is one linear layer behind a pool, where nothing gates the last stage."""


def network(system: str, cut: int = 4) -> AttentionNetwork:
    torch.manual_seed(0)
    settings = {"hidden_channels": 8} if system == "saliency_lstm" else {}
    return create_model("x3d_nano", classes=CLASSES, system=system, cut=cut, clip_frames=4, clip_size=SIZE, weights=None, **settings)


def clips(count: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 3, FRAMES, SIZE, SIZE), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.usefixtures("shallow")
def test_our_networks_and_each_clip_of_a_batch_by_itself(system: str) -> None:
    # The map of `gated` and `saliency_lstm` gates the last stage; X3D's own tail has one stage more.
    net, clip = network(system, cut=4 if system in POOLED else 5), clips()
    before = state_of(net.train())
    for method, options in {**OPTIONS, **({"saliency_tubes": {}} if system in POOLED else {})}.items():
        together = explain(net, clip, method=method, classes=[0, 2], **options)
        assert together.maps.shape == (2, 1, FRAMES, SIZE, SIZE), method
        assert (float(together.maps.min()), together.classes.tolist()) == (0, [0, 2])
        assert not together.maps.requires_grad
        assert not together.maps.is_inference()
        alone = explain(net, clip[1:], method=method, classes=2, **options)
        torch.testing.assert_close(together.maps[1:], alone.maps, rtol=1e-2, atol=1e-3)
        as_floats = explain(net, clip.float(), method=method, classes=torch.tensor([0, 2]), **options)
        torch.testing.assert_close(as_floats.maps, together.maps, rtol=1e-3, atol=1e-4)
        assert state_of(net) == before
    assert torch.equal(together.logits, net.eval()(clip).logits.detach())


@pytest.mark.parametrize("name", PLAIN)
def test_other_networks(name: str) -> None:
    torch.manual_seed(0)
    net, clip = PLAIN[name][0](), torch.randn(2, 3, FRAMES, SIZE, SIZE)
    before = state_of(net.train())
    for method, options in OPTIONS.items():
        found = explain(net, clip, method=method, layer=PLAIN[name][1], **options)
        assert found.maps.shape == (2, 1, FRAMES, SIZE, SIZE), method
        assert 0 <= found.maps.min() <= found.maps.max() <= 1
        assert found.logits.shape == (2, CLASSES)
        assert state_of(net) == before
    # The last method needs no sign of the gradient and is never flat.
    assert found.maps.amax((1, 2, 3, 4)).tolist() == [1, 1]


@pytest.mark.parametrize("method", OPTIONS)
def test_classes_have_numbers_and_names(method: str) -> None:
    net, clip, options = nano(toy_config()), toy_batch(0, clips=2).clip, OPTIONS[method]
    net.class_names = ("run", "jump", "swim")
    by_number = explain(net, clip, method=method, classes=[1, 2], **options)
    assert torch.equal(explain(net, clip, method=method, classes=["jump", "swim"], **options).maps, by_number.maps)
    predicted = explain(net, clip, method=method, **options)
    assert predicted.classes.tolist() == predicted.logits.argmax(1).tolist()
    with pytest.raises(ValueError, match="There is no class 'fly'; choose one of run, jump, swim"):
        explain(net, clip, method=method, classes="fly", **options)
    with pytest.raises(ValueError, match="it must be a class from 0 to 2 for each of 2 clips"):
        explain(net, clip, method=method, classes=3, **options)


@pytest.mark.parametrize("context", [torch.inference_mode, torch.no_grad, torch.enable_grad])
@pytest.mark.parametrize("method", [*OPTIONS, "saliency_tubes"])
def test_whatever_the_caller_records(method: str, context: type) -> None:
    torch.manual_seed(0)
    net, clip = SmallCNN(), torch.randn(2, 3, 4, 8, 8)
    expected = explain(net, clip, method=method, layer="conv")
    net.requires_grad_(False)
    with context():
        # A clip that was made here may take part in no gradient; it is copied.
        found = explain(net, clip.clone(), method=method)
        is_recording = torch.is_grad_enabled()
    assert torch.equal(found.maps, expected.maps)
    assert is_recording == (context is torch.enable_grad)
    assert torch.is_grad_enabled()


class Failing(SmallCNN):
    """Fails behind its features."""

    def forward(self, clip: Tensor) -> Tensor:
        super().forward(clip)
        raise RuntimeError("out of memory")


@pytest.mark.parametrize("method", [*OPTIONS, "saliency_tubes"])
def test_nothing_stays_behind_an_error(method: str) -> None:
    net = Failing().train()
    before = state_of(net)
    for layer in (None, "conv"):
        with pytest.raises(RuntimeError, match="out of memory"):
            explain(net, torch.randn(1, 3, 2, 6, 6), method=method, layer=layer)
        assert state_of(net) == before


class Kept:
    """Stands for a tensor that autograd keeps for a backward pass."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


@pytest.mark.parametrize("method", [*OPTIONS, "saliency_tubes"])
def test_no_graph_is_left_and_none_is_drawn_before_the_layer(method: str) -> None:
    net, clip = SmallCNN(), torch.randn(1, 3, 2, 6, 6)
    kept: weakref.WeakSet[Kept] = weakref.WeakSet()
    shapes: list[torch.Size] = []

    def keep(tensor: Tensor) -> Kept:
        shapes.append(tensor.shape)
        kept.add(found := Kept(tensor))
        return found

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda found: found.tensor):
        explain(net, clip, method=method, layer="conv")
    assert not kept
    # Convolutions keep what they read, and here none does: only the linear layer and the mean are behind the features.
    assert not any(len(shape) == 5 and shape[0] == 1 for shape in shapes)
    assert bool(shapes) == (method not in ("scorecam", "saliency_tubes"))


@pytest.mark.slow
@pytest.mark.parametrize("method", OPTIONS)
def test_frames_have_maps_of_their_own(method: str) -> None:
    net, clip = network("object_abn"), clips(1)
    maps_TYX = explain(net, clip, method=method, **OPTIONS[method]).maps[0, 0]
    assert all(not torch.equal(maps_TYX[frame], maps_TYX[frame + 1]) for frame in range(FRAMES - 1))
