"""Depthwise convolution of clips: one operation with a gradient, each of whose three directions is computed in a way of its own.

The definition, for odd kernels (K, U, V) without bias, 'same' padding, stride 1 in time and s in space:
y[b,c,t,i,j] = sum over k,u,v of w[c,k,u,v] · x[b, c, t + k - K//2, s·i + u - U//2, s·j + v - V//2], zero beyond the edges.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from objabn.kernels.depthwise_ways import FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT


class Ways(NamedTuple):
    """How each direction is computed; `stock` is PyTorch's own convolution in the layout it is given."""

    forward: str = "stock"
    input_gradient: str = "stock"
    weight_gradient: str = "stock"


def depthwise(clip_BCTYX: Tensor, weight: Tensor, stride: int, ways: Ways) -> Tensor:
    """Convolve each channel with its own kernel; weights are (C, 1, K, U, V), results have the clip's layout. Compiles without a break."""
    convolved: Tensor = torch.ops.objabn.depthwise(clip_BCTYX, weight, stride, *ways)
    return convolved


def layout_of(tensor: Tensor) -> torch.memory_format:
    """Return the layout that results have: channels-last where the tensor has it, else contiguous."""
    return torch.channels_last_3d if tensor.is_contiguous(memory_format=torch.channels_last_3d) else torch.contiguous_format


# Defined one by one, as `torch.library.custom_op` would import the compiler, which takes seconds, also where nothing is compiled.
torch.library.define(
    "objabn::depthwise",
    "(Tensor clip, Tensor weight, int stride, str forward, str input_gradient, str weight_gradient) -> Tensor",
)
torch.library.define(
    "objabn::depthwise_input_gradient",
    "(Tensor gradient, Tensor weight, int stride, SymInt height, SymInt width, bool is_channels_last, str way) -> Tensor",
)
torch.library.define(
    "objabn::depthwise_weight_gradient",
    "(Tensor gradient, Tensor clip, int[] kernel, int stride, str way) -> Tensor",
)


@torch.library.impl("objabn::depthwise", "default")
def compute_forward(clip: Tensor, weight: Tensor, stride: int, forward: str, input_gradient: str, weight_gradient: str) -> Tensor:
    """Convolve in the way `forward`; the gradients will be computed in the two others."""
    return FORWARD[forward](clip, weight, stride).contiguous(memory_format=layout_of(clip))


@torch.library.impl("objabn::depthwise_input_gradient", "default")
def compute_input_gradient(
    gradient: Tensor, weight: Tensor, stride: int, height: int, width: int, is_channels_last: bool, way: str
) -> Tensor:
    """Return the gradient of a clip of this height, width and layout."""
    layout = torch.channels_last_3d if is_channels_last else torch.contiguous_format
    aligned = gradient.contiguous(memory_format=layout)
    return INPUT_GRADIENT[way](aligned, weight, stride, (height, width)).contiguous(memory_format=layout)


@torch.library.impl("objabn::depthwise_weight_gradient", "default")
def compute_weight_gradient(gradient: Tensor, clip: Tensor, kernel: list[int], stride: int, way: str) -> Tensor:
    """Return the gradient of weights (C, 1, *kernel)."""
    aligned = gradient.contiguous(memory_format=layout_of(clip))
    return WEIGHT_GRADIENT[way](aligned, clip, (kernel[0], kernel[1], kernel[2]), stride).contiguous()


@torch.library.register_fake("objabn::depthwise")
def shape_forward(clip: Tensor, weight: Tensor, stride: int, forward: str, input_gradient: str, weight_gradient: str) -> Tensor:
    """Return what has the shape and layout of the result, for the compiler."""
    height, width = ((size - 1) // stride + 1 for size in clip.shape[3:])
    return torch.empty((*clip.shape[:3], height, width), dtype=clip.dtype, device=clip.device, memory_format=layout_of(clip))


@torch.library.register_fake("objabn::depthwise_input_gradient")
def shape_input_gradient(
    gradient: Tensor, weight: Tensor, stride: int, height: int, width: int, is_channels_last: bool, way: str
) -> Tensor:
    """Return what has the shape and layout of the clip."""
    layout = torch.channels_last_3d if is_channels_last else torch.contiguous_format
    return torch.empty((*gradient.shape[:3], height, width), dtype=gradient.dtype, device=gradient.device, memory_format=layout)


@torch.library.register_fake("objabn::depthwise_weight_gradient")
def shape_weight_gradient(gradient: Tensor, clip: Tensor, kernel: list[int], stride: int, way: str) -> Tensor:
    """Return what has the shape of the weights."""
    return torch.empty((clip.shape[1], 1, *kernel), dtype=clip.dtype, device=clip.device)


def keep_for_gradients(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    """Keep the clip only where the weights learn, and the weights only where the clip's gradient is wanted."""
    clip, weight, ctx.stride, _, ctx.input_gradient, ctx.weight_gradient = inputs
    ctx.size, ctx.kernel = clip.shape[3:], list(weight.shape[2:])
    ctx.is_channels_last = layout_of(clip) == torch.channels_last_3d
    wants_input, wants_weight = ctx.needs_input_grad[:2]
    ctx.save_for_backward(clip if wants_weight else None, weight if wants_input else None)


def gradients(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    """Return the gradients of clip and weight, each in its way."""
    clip, weight = ctx.saved_tensors
    of_clip = of_weight = None
    if weight is not None:
        setting = (ctx.stride, *ctx.size, ctx.is_channels_last, ctx.input_gradient)
        of_clip = torch.ops.objabn.depthwise_input_gradient(gradient, weight, *setting)
    if clip is not None:
        of_weight = torch.ops.objabn.depthwise_weight_gradient(gradient, clip, ctx.kernel, ctx.stride, ctx.weight_gradient)
    return of_clip, of_weight, None, None, None, None


torch.library.register_autograd("objabn::depthwise", gradients, setup_context=keep_for_gradients)


def depthwise_definition(clip_BCTYX: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Compute the definition tap by tap, differentiably: what every way is tested against."""
    height, width = ((size - 1) // stride + 1 for size in clip_BCTYX.shape[3:])
    frames, (taps_t, taps_y, taps_x) = clip_BCTYX.shape[2], weight.shape[2:]
    padded = functional.pad(clip_BCTYX, [reach for taps in (taps_x, taps_y, taps_t) for reach in (taps // 2, taps // 2)])
    convolved = torch.zeros_like(padded[:, :, :frames, :height, :width])
    for t in range(taps_t):
        for y in range(taps_y):
            for x in range(taps_x):
                seen = padded[:, :, t : t + frames, y : y + stride * height : stride, x : x + stride * width : stride]
                convolved = convolved + weight[:, 0, t, y, x].view(1, -1, 1, 1, 1) * seen[..., :height, :width]
    return convolved
