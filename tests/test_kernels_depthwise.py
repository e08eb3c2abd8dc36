"""Every way of a depthwise convolution computes the definition, forward and backward, and nothing that was not asked for."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from objabn.kernels import depthwise_ways
from objabn.kernels.depthwise import Ways, depthwise, depthwise_definition
from objabn.kernels.depthwise_ways import FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT, possible_ways

KERNELS = [(3, 3, 3), (5, 1, 1), (1, 3, 3), (3, 5, 3)]
WAYS = [
    *(Ways(forward=name) for name in FORWARD if name not in ("planes", "triton")),
    *(Ways(input_gradient=name) for name in INPUT_GRADIENT if name not in ("planes", "triton")),
    *(Ways(weight_gradient=name) for name in WEIGHT_GRADIENT if name not in ("planes", "triton")),
]


def random_case(
    size: tuple[int, ...], kernel: tuple[int, int, int], stride: int, *, is_channels_last: bool, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    clip = torch.randn(size, generator=generator)
    clip = clip.to(dtype, memory_format=torch.channels_last_3d) if is_channels_last else clip.to(dtype)
    weight = torch.randn(size[1], 1, *kernel, generator=generator).to(dtype)
    height, width = ((side - 1) // stride + 1 for side in size[3:])
    gradient = torch.randn(*size[:3], height, width, generator=generator).to(dtype)
    return clip.requires_grad_(), weight.requires_grad_(), gradient


def results(convolved: Tensor, clip: Tensor, weight: Tensor, gradient: Tensor) -> list[Tensor]:
    # Of a scalar, as gradients that are given would have PyTorch import its compiler.
    return [convolved, *torch.autograd.grad((convolved * gradient).sum(), (clip, weight))]


def assert_defined(clip: Tensor, weight: Tensor, gradient: Tensor, stride: int, ways: Ways, tolerance: float = 1e-5) -> None:
    """Compare with the definition in float64, relative to the largest value."""
    exact = [value.detach().double().requires_grad_() for value in (clip, weight)]
    expected = results(depthwise_definition(*exact, stride), *exact, gradient.double())
    found = results(depthwise(clip, weight, stride, ways), clip, weight, gradient)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        assert (one.double() - other).abs().max() <= tolerance * other.abs().max() + 1e-30, ways


def test_definition_on_numbers_worked_out_by_hand() -> None:
    # One channel, one frame, two rows of three columns; only the plane of the middle frame's taps meets anything.
    clip = torch.arange(1.0, 7.0).view(1, 1, 1, 2, 3)
    weight = torch.zeros(1, 1, 3, 3, 3)
    weight[0, 0, 1, 1] = torch.tensor([1.0, 10.0, 100.0])
    expected = torch.tensor([[10 + 200, 1 + 20 + 300, 2 + 30], [40 + 500, 4 + 50 + 600, 5 + 60]], dtype=torch.float32)
    assert depthwise_definition(clip, weight, 1)[0, 0, 0].equal(expected)
    assert depthwise_definition(clip, weight, 2)[0, 0, 0].equal(expected[:1, ::2])
    later = torch.zeros(1, 1, 3, 1, 1)
    later[0, 0, 2] = 1
    moving = torch.arange(3.0).view(1, 1, 3, 1, 1) + 1
    assert depthwise_definition(moving, later, 1).flatten().tolist() == [2, 3, 0]


@pytest.mark.parametrize("ways", WAYS, ids=str)
@pytest.mark.parametrize("is_channels_last", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
def test_ways_compute_the_definition(ways: Ways, is_channels_last: bool, stride: int) -> None:
    clip, weight, gradient = random_case((2, 3, 4, 5, 6), (3, 3, 3), stride, is_channels_last=is_channels_last)
    assert_defined(clip, weight, gradient, stride, ways)
    memory = torch.channels_last_3d if is_channels_last else torch.contiguous_format
    assert depthwise(clip, weight, stride, ways).is_contiguous(memory_format=memory)


@pytest.mark.parametrize("direction", ["forward", "input_gradient", "weight_gradient"])
@settings(max_examples=12, deadline=None)
@given(
    clips=st.integers(1, 3),
    channels=st.sampled_from([2, 5, 54]),
    frames=st.integers(1, 6),
    height=st.integers(1, 7),
    width=st.integers(1, 7),
    kernel=st.sampled_from(KERNELS),
    stride=st.sampled_from([1, 2]),
    is_channels_last=st.booleans(),
)
def test_all_that_a_trial_may_choose_computes_the_definition(direction: str, is_channels_last: bool, **sizes: int) -> None:
    kernel, stride = sizes["kernel"], sizes["stride"]
    size = (sizes["clips"], sizes["channels"], sizes["frames"], sizes["height"], sizes["width"])
    case = random_case(size, kernel, stride, is_channels_last=is_channels_last)
    # What looks like both layouts is treated as channels-last.
    is_channels_last = case[0].is_contiguous(memory_format=torch.channels_last_3d)
    for name in possible_ways(direction, device="cpu", is_channels_last=is_channels_last, kernel=kernel, stride=stride):
        assert_defined(*case, stride, Ways(**{direction: name}))


def test_bfloat16_sums_of_clips_in_float32() -> None:
    # One clip of 256 ones and four with a single one: 260 is exact in bfloat16, but added to 256 in it each one is lost.
    clip = torch.zeros(5, 2, 1, 16, 16, dtype=torch.bfloat16).contiguous(memory_format=torch.channels_last_3d)
    clip[0] = 1
    clip[1:, :, :, 8, 8] = 1
    found = depthwise_ways.planes_weight_gradient(torch.ones_like(clip), clip, (3, 3, 3), 1)
    assert found.dtype == torch.bfloat16
    assert found[0, 0, :, 1, 1].tolist() == [0, 260, 0]


@pytest.mark.slow  # imports the compiler
def test_operation_obeys_the_rules_of_torch() -> None:
    clip, weight, _ = random_case((2, 3, 3, 4, 5), (3, 3, 3), 2, is_channels_last=True)
    tests = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(torch.ops.objabn.depthwise.default, (clip, weight, 2, "stock", "flipped", "planes"), test_utils=tests)


def test_what_stands_still_gets_no_gradient() -> None:
    clip, weight, gradient = random_case((1, 2, 2, 3, 3), (3, 3, 3), 1, is_channels_last=True)
    # A way that there is none of would be noticed if it were called.
    frozen = depthwise(clip, weight.detach(), 1, Ways(weight_gradient="none"))
    assert torch.autograd.grad((frozen * gradient).sum(), clip)[0].shape == clip.shape
    first = depthwise(clip.detach(), weight, 1, Ways(input_gradient="none"))
    assert torch.autograd.grad((first * gradient).sum(), weight)[0].shape == weight.shape


def test_trial_tries_triton_and_other_layouts_on_a_gpu_only() -> None:
    setting = {"is_channels_last": True, "kernel": (3, 3, 3)}
    assert possible_ways("forward", device="cpu", stride=1, **setting) == ["stock"]
    assert possible_ways("input_gradient", device="cpu", stride=2, **setting) == ["stock", "flipped"]
    assert possible_ways("weight_gradient", device="cpu", stride=1, **setting) == ["stock", "planes"]
    assert possible_ways("forward", device="cuda", stride=1, **setting) == ["stock", "contiguous", "triton"]


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("is_channels_last", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [(3, 3, 3), (5, 1, 1)])
@pytest.mark.parametrize("size", [(2, 54, 5, 9, 20), (1, 216, 16, 7, 7), (3, 432, 3, 1, 2)])
def test_triton_on_a_gpu(
    dtype: torch.dtype, is_channels_last: bool, stride: int, kernel: tuple[int, int, int], size: tuple[int, ...]
) -> None:
    case = [
        value.detach().cuda(memory_format=torch.preserve_format).requires_grad_()
        for value in random_case(size, kernel, stride, is_channels_last=is_channels_last, dtype=dtype)
    ]
    # Results in half precision are rounded once; float32 must not be multiplied in TF32.
    tolerance = {torch.float32: 1e-5, torch.float16: 1e-3, torch.bfloat16: 8e-3}[dtype]
    assert_defined(*case, stride, Ways("triton", "triton", "triton"), tolerance)
    again = [results(depthwise(*case[:2], stride, Ways("triton", "triton", "triton")), *case) for _ in range(2)]
    assert all(one.equal(other) for one, other in zip(*again, strict=True))
