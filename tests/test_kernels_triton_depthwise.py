"""The Triton kernels, run by Triton's interpreter in a process of their own, compute the definition."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")
ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow

PARITY = """
import sys, torch
from objabn.kernels.depthwise import Ways, depthwise, depthwise_definition

size, kernel, stride, is_channels_last, dtype, tolerance = {case}
dtype = getattr(torch, dtype)
generator = torch.Generator().manual_seed(0)
clip, weight = torch.randn(size, generator=generator).to(dtype), torch.randn(size[1], 1, *kernel, generator=generator).to(dtype)
if is_channels_last:
    clip = clip.to(memory_format=torch.channels_last_3d)
gradient = torch.randn(*size[:3], *((side - 1) // stride + 1 for side in size[3:]), generator=generator).to(dtype)
results = []
for function, inputs, of_result in (
    (depthwise_definition, [clip.double(), weight.double()], gradient.double()),
    (lambda *values: depthwise(*values, Ways("triton", "triton", "triton")), [clip, weight], gradient),
):
    inputs = [value.requires_grad_() for value in inputs]
    result = function(*inputs, stride)
    results.append([result, *torch.autograd.grad(result, inputs, of_result)])
for name, expected, found in zip(("forward", "input gradient", "weight gradient"), *results):
    error = ((found.double() - expected).abs().max() / expected.abs().max()).item()
    assert found.dtype == dtype and error <= tolerance, (name, error)
assert found.shape == weight.shape
print("agree")
"""

CASES = [
    ((2, 5, 3, 4, 5), (3, 3, 3), 1, True, "float32", 1e-5),
    ((2, 5, 3, 4, 5), (3, 3, 3), 1, False, "float32", 1e-5),
    ((1, 66, 2, 5, 4), (3, 3, 3), 2, True, "float32", 1e-5),
    ((2, 3, 4, 3, 6), (3, 3, 3), 2, False, "float32", 1e-5),
    ((1, 6, 9, 2, 3), (5, 1, 1), 1, True, "float32", 1e-5),
    ((1, 2, 3, 3, 2), (5, 1, 1), 2, True, "float32", 1e-5),
    ((1, 3, 2, 5, 9), (1, 3, 3), 1, True, "float32", 1e-5),
    ((1, 5, 10, 2, 9), (3, 3, 3), 1, True, "bfloat16", 8e-3),
    ((1, 5, 3, 3, 9), (3, 3, 3), 2, True, "float16", 1e-3),
    ((1, 1, 1, 1, 1), (3, 3, 3), 1, True, "float32", 1e-5),
]


def run_python(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | variables
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_interpreted_kernels_compute_the_definition(case: tuple[object, ...]) -> None:
    done = run_python(PARITY.format(case=repr(case)), TRITON_INTERPRET="1")
    assert done.stdout.strip() == "agree", done.stderr[-2000:]


COMPILES = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from objabn.kernels.triton_depthwise import convolve, convolve_upsampled
from objabn.kernels.triton_depthwise_weights import sum_products

channels = 216
sizes = dict(WIDTH=14, OUT_WIDTH=14, CHANNELS=channels, CHANNELS_LAST=True, STRIDE=1, KERNEL_T=3, KERNEL_Y=3, KERNEL_X=3)
tile = dict(BLOCK_X=8, BLOCK_C=64, BLOCK_T=8)
weights = {name: value for name, value in sizes.items() if name != "CHANNELS_LAST"} | dict(ROWS=4, BLOCK_C=64)
for kernel, constants, warps in [
    (convolve.fn, sizes | tile, 1),
    (convolve_upsampled.fn, sizes | tile | dict(STRIDE=2, OUT_WIDTH=28, BLOCK_X=4), 1),
    (sum_products, weights, 4),
]:
    names = kernel.arg_names
    pointers = dict(clip="*bf16", gradient="*bf16", output="*bf16", weight="*fp32", partial="*fp32")
    signature = {name: "constexpr" if name in constants else pointers.get(name, "i32") for name in names}
    aligned = {(names.index(name),): [["tt.divisibility", 16]] for name in names if name in pointers}
    source = ASTSource(fn=kernel, signature=signature, constexprs={(names.index(n),): v for n, v in constants.items()}, attrs=aligned)
    text = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": warps}).asm["ptx"]
    # Half a cache line of channels by each warp and instruction, or the kernels crawl.
    print(kernel.__name__, "fma.rn.f32" in text, any(width in text for width in ("ld.global.v4.b32", "ld.global.v2.b32", "ld.global.b32")))
"""


def test_kernels_compile_for_an_h200_without_one() -> None:
    done = run_python(COMPILES)
    assert [line.split()[1:] for line in done.stdout.splitlines()] == [["True", "True"]] * 3, done.stderr[-2000:]
