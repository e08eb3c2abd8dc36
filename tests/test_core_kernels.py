"""The kernels of the attention-branch core equal its formulas; Triton's run in its interpreter here, which has a process of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from objabn.kernels import core_entropy, core_formulas, core_merge
from objabn.losses import PrototypeConformityLoss, mask_target, multi_head_mask_loss
from objabn.metrics import attention_entropy
from objabn.models.branches import AttentionBranch
from objabn.models.gating import MergingGate

IS_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cuda" if torch.cuda.is_available() and not IS_INTERPRETED else "cpu"
by_triton = pytest.mark.skipif(DEVICE == "cpu" and not IS_INTERPRETED, reason="runs on a GPU, or in the process of the interpreter")


def drawn(channels: int, heads: int, axes: int, dtype: torch.dtype, *, is_channels_last: bool) -> list[Tensor]:
    """Features, maps and weights, all with gradients."""
    torch.manual_seed(0)
    shape = (3, 5, 6)[-axes:]
    layout = (torch.channels_last if axes == 2 else torch.channels_last_3d) if is_channels_last else torch.contiguous_format
    features = torch.randn(2, channels, *shape).to(memory_format=layout)
    maps, weights = torch.rand(2, heads, *shape), torch.randn(heads, channels, channels) / channels**0.5
    return [tensor.to(DEVICE, dtype).requires_grad_() for tensor in (features, maps, weights)]


def with_gradients(function: object, inputs: list[Tensor]) -> list[Tensor]:
    merged = function(*inputs)
    above = torch.linspace(-1, 1, merged.numel(), device=DEVICE).view_as(merged).to(merged.dtype)
    return [merged, *torch.autograd.grad(merged, inputs, above)]


@by_triton
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("is_channels_last", [True, False])
@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize(("channels", "heads"), [(96, 3), (24, 1), (5, 5)])
def test_merge_by_triton_equals_the_formula(channels: int, heads: int, axes: int, is_channels_last: bool, dtype: torch.dtype) -> None:
    inputs = drawn(channels, heads, axes, dtype, is_channels_last=is_channels_last)
    ours = with_gradients(core_merge.gate_and_merge, inputs)
    exact = with_gradients(core_formulas.gate_and_merge, [value.detach().double().requires_grad_() for value in inputs])
    # bf16 has 8 digits of two: what is rounded thrice is right to a hundredth of the whole.
    tolerance = 1e-6 if dtype == torch.float32 else 1e-2
    for mine, wanted in zip(ours, exact, strict=True):
        assert mine.dtype == dtype
        assert torch.linalg.vector_norm(mine.double() - wanted) <= tolerance * torch.linalg.vector_norm(wanted)
    assert ours[0].stride() == inputs[0].stride()


@by_triton
def test_merge_by_triton_takes_features_and_gradients_of_any_layout() -> None:
    inputs = drawn(6, 3, 3, torch.float32, is_channels_last=False)
    odd = [inputs[0].detach().transpose(3, 4).contiguous().transpose(3, 4).requires_grad_(), *inputs[1:]]
    assert not odd[0].is_contiguous()
    for mine, wanted in zip(with_gradients(core_merge.gate_and_merge, odd), with_gradients(core_merge.gate_and_merge, inputs), strict=True):
        torch.testing.assert_close(mine, wanted)


@by_triton
def test_merge_by_triton_over_more_tiles_than_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_merge, "SHARES", 2)
    inputs = drawn(4, 3, 3, torch.float32, is_channels_last=True)
    # 2 * 3 * 5 * 6 positions are three tiles of 64: two programs, of which the second has a tile beyond the end.
    for mine, wanted in zip(
        with_gradients(core_merge.gate_and_merge, inputs), with_gradients(core_formulas.gate_and_merge, inputs), strict=True
    ):
        torch.testing.assert_close(mine, wanted)


@by_triton
def test_entropy_by_triton_equals_the_metric() -> None:
    torch.manual_seed(0)
    maps = torch.rand(2, 3, 4, 5, 7, device=DEVICE)
    maps[0, 0, 0] = 0.5
    found = core_entropy.attention_entropy(maps)
    assert found[0, 0, 0] == 0
    torch.testing.assert_close(found, attention_entropy(maps))


@pytest.mark.slow
@pytest.mark.skipif(DEVICE == "cuda" or IS_INTERPRETED, reason="the kernels are tested on the GPU itself")
def test_the_kernels_are_right_in_tritons_interpreter() -> None:
    pytest.importorskip("triton")
    command = [sys.executable, "-m", "pytest", "-p", "no:xdist", "-k", "by_triton", __file__]
    found = subprocess.run(
        command, env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1]
    )
    assert found.returncode == 0 and re.search(r"(?m)^28 passed, \d+ deselected", found.stdout), found.stdout + found.stderr


@pytest.mark.slow
def test_merge_knows_its_shapes_without_a_gpu() -> None:
    with FakeTensorMode():
        features = torch.empty(2, 6, 4, 3, 3).to(memory_format=torch.channels_last_3d).requires_grad_()
        maps, weights = torch.empty(2, 3, 4, 3, 3, requires_grad=True), torch.empty(3, 6, 6, requires_grad=True)
        merged = core_merge.gate_and_merge(features, maps, weights)
        gradients = torch.autograd.grad(merged, (features, maps, weights), torch.empty_like(merged))
    assert merged.stride() == features.stride()
    assert [value.shape for value in gradients] == [features.shape, maps.shape, weights.shape]


@pytest.mark.parametrize(
    ("channels", "maps_shape", "dtype", "told"),
    [
        (129, (1, 3, 2, 2), torch.float32, "129 channels"),
        (4, (1, 2, 2, 2), torch.float32, "Maps of"),
        (4, (1, 3, 2, 2), torch.bfloat16, "one type"),
    ],
)
def test_merge_refuses_what_it_cannot_do(channels: int, maps_shape: tuple[int, ...], dtype: torch.dtype, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        core_merge.gate_and_merge(torch.zeros(1, channels, 2, 2), torch.zeros(maps_shape, dtype=dtype), torch.zeros(3, channels, channels))


def test_formulas_by_hand() -> None:
    # One position, two channels, W_1 = 1 and W_2 = twice the identity: (0.5 + 2 * 0.25) h.
    features, maps = torch.tensor([2.0, -4.0]).view(1, 2, 1, 1, 1), torch.tensor([0.5, 0.25]).view(1, 2, 1, 1, 1)
    weights = torch.stack([torch.eye(2), 2 * torch.eye(2)])
    assert core_formulas.gate_and_merge(features, maps, weights).flatten().tolist() == [2.0, -4.0]
    # Two cells, one covered: M_o (0.5, 0) misses (1, 0) by a mean of 0.125, M_b (0, 0.5) misses (0, 1) by as much.
    maps = torch.tensor([[0.0, 0.0], [0.5, 0.0], [0.0, 0.5]]).view(1, 3, 1, 1, 2)
    coverage, valid = torch.tensor([0.5, 0.4]).view(1, 1, 1, 2), torch.ones(1, 1, dtype=torch.bool)
    assert core_formulas.multi_head_mask_loss(maps, coverage, valid).item() == 0.25
    # f = (3, 4), w_0 = 0, w_1 = (3, 0): |f - w_0| - push (|f - w_1| + |w_0 - w_1|) = 5 - 0.1 (4 + 3).
    loss = core_formulas.prototype_loss(
        torch.tensor([[3.0, 4.0]])[..., None], torch.tensor([[0.0, 0.0], [3.0, 0.0]]), torch.tensor([0]), push=0.1
    )
    assert loss.item() == pytest.approx(4.3)
    # Two of four cells in the first bin, two in the last: one bit.
    assert core_formulas.entropy(torch.tensor([[0.0, 0.0], [1.0, 1.0]])).item() == pytest.approx(1.0)


def test_what_the_network_uses_equals_the_formulas() -> None:
    torch.manual_seed(0)
    maps, coverage = torch.rand(2, 3, 4, 5, 5, requires_grad=True), torch.rand(2, 4, 5, 5)
    valid, labels = torch.tensor([[True, False, True, True], [False] * 4]), torch.tensor([1, 4])
    features = torch.randn(2, 6, 4, 5, 5, requires_grad=True)
    loss, gate = PrototypeConformityLoss(7, 6), MergingGate(6, 3, merge_init="random")
    weights = gate.merge.weight.flatten(1).unflatten(1, (3, 6)).movedim(1, 0)
    pairs = [
        (gate(features, maps), core_formulas.gate_and_merge(features, maps, weights), (features, maps)),
        (multi_head_mask_loss(maps, coverage, valid), core_formulas.multi_head_mask_loss(maps, coverage, valid), (maps,)),
        (loss(features, labels), core_formulas.prototype_loss(features, loss.prototypes, labels), (features, loss.prototypes)),
    ]
    for mine, formula, inputs in pairs:
        torch.testing.assert_close(mine, formula)
        for found, wanted in zip(torch.autograd.grad(mine.sum(), inputs), torch.autograd.grad(formula.sum(), inputs), strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)
    assert torch.equal(mask_target(coverage, "hard"), core_formulas.mask_target(coverage))
    torch.testing.assert_close(attention_entropy(maps), core_formulas.entropy(maps))


def test_heads_of_the_branch_equal_the_formula() -> None:
    from benchmarks.core import weights_of

    torch.manual_seed(0)
    branch, features = AttentionBranch(torch.nn.Identity(), 6, classes=5, heads=3), torch.randn(2, 6, 3, 4, 4)
    attention, (maps, scores) = branch(features), core_formulas.heads_of_branch(features, weights_of(branch))
    torch.testing.assert_close(attention.maps, maps)
    torch.testing.assert_close(attention.logits, scores)


def test_the_gate_is_by_triton_in_training_on_a_gpu_only() -> None:
    inputs = drawn(6, 3, 3, torch.float32, is_channels_last=True)[:2]
    gate = MergingGate(6, 3, merge_init="random").to(DEVICE)
    expected = gate(*inputs)
    gate.by_triton = True
    names = [gate.train(is_training)(*inputs).grad_fn.name() for is_training in (True, False)]
    torch.testing.assert_close(gate.train()(*inputs), expected)
    assert ["Merge" in name for name in names] == [DEVICE == "cpu", True]


@pytest.mark.slow
def test_the_gate_breaks_no_graph() -> None:
    gate = MergingGate(4, 3, merge_init="random")
    features, maps = torch.randn(1, 4, 2, 3, 3, requires_grad=True), torch.rand(1, 3, 2, 3, 3, requires_grad=True)
    # The graph is traced whole, forward and backward, or an error is raised; what then runs it is PyTorch itself.
    compiled = torch.compile(gate, fullgraph=True, backend="aot_eager")
    expected = torch.autograd.grad(gate(features, maps).sum(), (features, maps))
    for found, wanted in zip(torch.autograd.grad(compiled(features, maps).sum(), (features, maps)), expected, strict=True):
        torch.testing.assert_close(found, wanted)
