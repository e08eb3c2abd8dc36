"""The ways in which each direction of a depthwise convolution can be computed, by name.

On a CPU oneDNN has a fast forward for channels-last clips, and fast gradients of two-dimensional depthwise convolutions, but none
of three-dimensional ones, where PyTorch falls back to something 10 to 30 times slower. On a GPU the layout chooses between
PyTorch's native kernel (contiguous) and cuDNN's (channels-last); Triton's are ours. None is best for all shapes.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Direction = Literal["forward", "input_gradient", "weight_gradient"]
Kernel = tuple[int, int, int]
Size = tuple[int, int]
CHANNELS_LAST = torch.channels_last_3d


def stock_forward(clip: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Convolve as PyTorch does."""
    padding = [taps // 2 for taps in weight.shape[2:]]
    return functional.conv3d(clip, weight, stride=(1, stride, stride), padding=padding, groups=clip.shape[1])


def stock_gradient(gradient: Tensor, clip: Tensor, weight: Tensor, stride: Sequence[int], *, of_clip: bool) -> Tensor:
    """Return PyTorch's own gradient of the clip, or else of the weight; two- or three-dimensional."""
    dimensions = len(stride)
    padding = [taps // 2 for taps in weight.shape[2:]]
    ones, zeros = [1] * dimensions, [0] * dimensions
    found: tuple[Tensor, ...] = torch.ops.aten.convolution_backward(
        gradient, clip, weight, None, stride, padding, ones, False, zeros, clip.shape[1], [of_clip, not of_clip, False]
    )
    return found[0 if of_clip else 1]


def stock_input_gradient(gradient: Tensor, weight: Tensor, stride: int, size: Size) -> Tensor:
    """Return PyTorch's own gradient of a clip of `size` rows and columns."""
    layout = CHANNELS_LAST if gradient.is_contiguous(memory_format=CHANNELS_LAST) else torch.contiguous_format
    clip = torch.empty((*gradient.shape[:3], *size), dtype=gradient.dtype, device=gradient.device, memory_format=layout)
    return stock_gradient(gradient, clip, weight, (1, stride, stride), of_clip=True)


def stock_weight_gradient(gradient: Tensor, clip: Tensor, kernel: Kernel, stride: int) -> Tensor:
    """Return PyTorch's own gradient of the weight."""
    return stock_gradient(gradient, clip, clip.new_empty((clip.shape[1], 1, *kernel)), (1, stride, stride), of_clip=False)


def flipped(gradient: Tensor, weight: Tensor, stride: int, size: Size) -> Tensor:
    """Compute the input gradient by a forward convolution with the kernel turned round; stride 2 spreads the gradient over zeros."""
    turned = weight.flip(2, 3, 4)
    return stock_forward(gradient if stride == 1 else spread(gradient, stride, size), turned, 1)


def spread(gradient: Tensor, stride: int, size: Size) -> Tensor:
    """Put each pixel on the place it was computed from, with zeros between."""
    layout = CHANNELS_LAST if gradient.is_contiguous(memory_format=CHANNELS_LAST) else torch.contiguous_format
    shape = (*gradient.shape[:3], *size)
    places = torch.empty(shape, dtype=gradient.dtype, device=gradient.device, memory_format=layout).zero_()
    places[..., ::stride, ::stride] = gradient
    return places


def planes_forward(clip: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Convolve in time alone as a plane of (frames, pixels), which is the same memory."""
    found = functional.conv2d(clip.flatten(3), weight.flatten(3), padding=(weight.shape[2] // 2, 0), groups=clip.shape[1])
    return found.view_as(clip)


def planes_input_gradient(gradient: Tensor, weight: Tensor, stride: int, size: Size) -> Tensor:
    """Return the input gradient of a convolution in time alone, seen as a plane of (frames, pixels)."""
    plane = gradient.flatten(3)
    return stock_gradient(plane, plane, weight.flatten(3), (1, 1), of_clip=True).view_as(gradient)


def planes_weight_gradient(gradient: Tensor, clip: Tensor, kernel: Kernel, stride: int) -> Tensor:
    """Return the weight gradient tap by tap in time, each of a two-dimensional convolution of all frames of one clip."""
    channels, frames = clip.shape[1:3]
    if is_temporal(kernel, stride):
        weight = clip.new_empty((channels, 1, kernel[0], 1))
        return stock_gradient(gradient.flatten(3), clip.flatten(3), weight, (1, 1), of_clip=False).view(channels, 1, *kernel)
    weight = clip.new_empty((channels, 1, *kernel[1:]))
    total = torch.zeros((kernel[0], *weight.shape), device=clip.device)
    for clip_CTYX, gradient_CTYX in zip(clip, gradient, strict=True):
        frames_of_clip, frames_of_gradient = clip_CTYX.transpose(0, 1), gradient_CTYX.transpose(0, 1)
        for tap in range(kernel[0]):
            shift = tap - kernel[0] // 2
            first, last = max(0, -shift), min(frames, frames - shift)
            if first < last:
                seen = frames_of_clip[first + shift : last + shift]
                total[tap] += stock_gradient(frames_of_gradient[first:last], seen, weight, (stride, stride), of_clip=False)
    return total.permute(1, 2, 0, 3, 4).to(clip.dtype)


def is_temporal(kernel: Kernel, stride: int) -> bool:
    """Say whether a convolution sees one pixel at all times, and no other pixel."""
    return kernel[1:] == (1, 1) and stride == 1


def triton_forward(clip: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Convolve by our kernel, which is imported only here, for Triton is not on every machine."""
    from objabn.kernels import triton_depthwise  # noqa: PLC0415

    return triton_depthwise.triton_forward(clip, weight, stride)


def triton_input_gradient(gradient: Tensor, weight: Tensor, stride: int, size: Size) -> Tensor:
    """Return the input gradient by our kernel."""
    from objabn.kernels import triton_depthwise  # noqa: PLC0415

    return triton_depthwise.triton_input_gradient(gradient, weight, stride, size)


def triton_weight_gradient(gradient: Tensor, clip: Tensor, kernel: Kernel, stride: int) -> Tensor:
    """Return the weight gradient by our kernel."""
    from objabn.kernels import triton_depthwise_weights  # noqa: PLC0415

    return triton_depthwise_weights.triton_weight_gradient(gradient, clip, kernel, stride)


def in_layout(way: Callable[..., Tensor], layout: torch.memory_format) -> Callable[..., Tensor]:
    """Return a way that first brings clips and gradients into a layout."""

    def converted(*values: object) -> Tensor:
        return way(*(value.contiguous(memory_format=layout) if isinstance(value, Tensor) else value for value in values))

    return converted


FORWARD: dict[str, Callable[[Tensor, Tensor, int], Tensor]] = {
    "stock": stock_forward,
    "contiguous": in_layout(stock_forward, torch.contiguous_format),
    "channels_last": in_layout(stock_forward, CHANNELS_LAST),
    "planes": planes_forward,
    "triton": triton_forward,
}
INPUT_GRADIENT: dict[str, Callable[[Tensor, Tensor, int, Size], Tensor]] = {
    "stock": stock_input_gradient,
    "contiguous": in_layout(stock_input_gradient, torch.contiguous_format),
    "channels_last": in_layout(stock_input_gradient, CHANNELS_LAST),
    "flipped": flipped,
    "planes": planes_input_gradient,
    "triton": triton_input_gradient,
}
WEIGHT_GRADIENT: dict[str, Callable[[Tensor, Tensor, Kernel, int], Tensor]] = {
    "stock": stock_weight_gradient,
    "contiguous": in_layout(stock_weight_gradient, torch.contiguous_format),
    "channels_last": in_layout(stock_weight_gradient, CHANNELS_LAST),
    "planes": planes_weight_gradient,
    "triton": triton_weight_gradient,
}


def possible_ways(direction: Direction, *, device: str, is_channels_last: bool, kernel: Kernel, stride: int) -> list[str]:
    """Return the names of the ways worth a trial; `stock` comes first."""
    other_layout = "contiguous" if is_channels_last else "channels_last"
    if device == "cuda":
        return ["stock", other_layout, "triton", *(["flipped"] if direction == "input_gradient" else [])]
    names = ["stock"]
    if direction == "input_gradient":
        names += ["flipped"]
    if is_channels_last and (direction == "weight_gradient" or is_temporal(kernel, stride)):
        names += ["planes"]
    return names
