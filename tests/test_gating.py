"""Gating by several maps without a concatenation equals the concatenation followed by its convolution."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from objabn.models.gating import MergingGate, SingleGate


def literal(gate: MergingGate, features: Tensor, maps: Tensor) -> Tensor:
    """Object-ABN eq. 4-6 as printed."""
    copies = [features * maps[:, head : head + 1] for head in range(maps.shape[1])]
    return functional.conv3d(torch.cat(copies, 1), gate.merge.weight)


def gradients(function: object, *inputs: Tensor) -> list[Tensor]:
    output = function(*inputs[:2])
    weights = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)
    return [output.detach(), *torch.autograd.grad((output * weights).sum(), inputs)]


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize("heads", [3, 5])
def test_merge_equals_concatenation_forward_and_backward(heads: int, memory_format: torch.memory_format) -> None:
    torch.manual_seed(0)
    gate = MergingGate(6, heads, merge_init="random").double()
    features = torch.randn(2, 6, 3, 4, 5, dtype=torch.float64).to(memory_format=memory_format).requires_grad_()
    maps = torch.rand(2, heads, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    ours = gradients(gate, features, maps, gate.merge.weight)
    theirs = gradients(lambda f, m: literal(gate, f, m), features, maps, gate.merge.weight)
    for mine, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, expected)


def test_merge_passes_gradcheck() -> None:
    torch.manual_seed(0)
    gate = MergingGate(2, 3, merge_init="random").double()
    features = torch.randn(1, 2, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    maps = torch.rand(1, 3, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(gate, (features, maps))


def test_mean_start_is_the_mean_of_the_gated_copies() -> None:
    features = torch.tensor([2.0, -4.0]).view(1, 2, 1, 1, 1)
    maps = torch.tensor([0.0, 0.5, 1.0]).view(1, 3, 1, 1, 1)
    # (0 + 0.5 + 1) / 3 = 0.5 of each channel.
    assert MergingGate(2, 3)(features, maps).flatten().tolist() == pytest.approx([1.0, -2.0])


def test_nothing_of_the_size_of_the_concatenation_is_kept_for_the_backward_pass() -> None:
    gate = MergingGate(8, 3, merge_init="random")
    features, maps = torch.randn(2, 8, 4, 6, 6, requires_grad=True), torch.rand(2, 3, 4, 6, 6, requires_grad=True)
    kept: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor.numel()) or tensor, lambda tensor: tensor):
        gate(features, maps)
    assert sum(kept) == features.numel() + maps.numel() + gate.merge.weight.numel()


def test_gate_stays_in_the_type_of_the_features() -> None:
    gate = MergingGate(4, 3, merge_init="random")
    features, maps = torch.randn(1, 4, 2, 3, 3, requires_grad=True), torch.rand(1, 3, 2, 3, 3, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        merged = gate(features.bfloat16(), maps)
    merged.float().sum().backward()
    assert merged.dtype == torch.bfloat16
    assert maps.grad is not None
    assert maps.grad.dtype == torch.float32
    torch.testing.assert_close(merged.float(), literal(gate, features, maps), rtol=0.05, atol=0.05)


def test_single_features_under_autocast_are_merged_and_differentiated_in_half() -> None:
    torch.manual_seed(0)
    gate = MergingGate(4, 3, merge_init="random")
    features, maps = torch.randn(1, 4, 2, 3, 3, requires_grad=True), torch.rand(1, 3, 2, 3, 3, requires_grad=True)
    inputs = (features, maps, gate.merge.weight)
    with torch.autocast("cpu", torch.bfloat16):
        merged = gate(features, maps)
    assert merged.dtype == torch.bfloat16
    expected = literal(gate, features, maps)
    torch.testing.assert_close(merged.float(), expected, rtol=0.05, atol=0.05)
    ours, theirs = (torch.autograd.grad(value.float().sum(), inputs) for value in (merged, expected))
    for mine, reference in zip(ours, theirs, strict=True):
        assert mine.dtype == torch.float32
        torch.testing.assert_close(mine, reference, rtol=0.05, atol=0.05)


@pytest.mark.parametrize(("apply", "expected"), [("product", [0.0, 1.0, 3.0]), ("residual", [1.0, 3.0, 6.0])])
def test_single_map_gates_by_product_or_residual(apply: str, expected: list[float]) -> None:
    features = torch.tensor([1.0, 2.0, 3.0]).view(1, 1, 3, 1, 1)
    maps = torch.tensor([0.0, 0.5, 1.0]).view(1, 1, 3, 1, 1)
    assert SingleGate(apply)(features, maps).flatten().tolist() == expected


def test_gate_traces_into_an_exported_program() -> None:
    gate = MergingGate(4, 3, merge_init="random").eval()
    inputs = (torch.randn(1, 4, 2, 3, 3), torch.rand(1, 3, 2, 3, 3))
    exported = torch.export.export(gate, inputs).module()
    torch.testing.assert_close(exported(*inputs), literal(gate, *inputs))
