"""Gate and merge as one operation of PyTorch with Triton kernels: nothing of the size of the concatenation is ever written.

It is not what networks use unless a table on the GPU at hand says that it is faster there: `objabn bench core` prints that.
"""

from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op

MAXIMUM_CHANNELS = 128
"""A tile holds all channels of its positions; of more, the weights' gradient would not fit into the memory of a processor."""
BLOCK = 64
"""Positions of a tile."""
SHARES = 128
"""Programs of each head that the positions are shared out to for the weights' gradient: about one for each processor of an H200."""
CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}
"""By the number of axes."""


def gate_and_merge(features: Tensor, maps: Tensor, weight_NCC: Tensor) -> Tensor:
    """Return the sum over n of W_n (h M_n) for features (B, C, ...), maps (B, N, ...) and weights (N, C out, C in), all of one type.

    Positions may have two axes or three. ValueError for more than 128 channels, or for other shapes or types.
    """
    heads, channels = weight_NCC.shape[0], features.shape[1]
    weights = weight_NCC.reshape(heads, channels, -1)
    if channels > MAXIMUM_CHANNELS:
        raise ValueError(f"{channels} channels were given, and a tile holds at most {MAXIMUM_CHANNELS}; merge by objabn.models.gating.")
    expected = (features.shape[0], heads, *features.shape[2:])
    if tuple(maps.shape) != expected or weights.shape[2] != channels:
        raise ValueError(
            f"Maps of {tuple(maps.shape)} and weights of {tuple(weight_NCC.shape)} were given for features of {tuple(features.shape)}; "
            f"they must be {expected} and ({heads}, {channels}, {channels})."
        )
    if not features.dtype == maps.dtype == weights.dtype:
        raise ValueError(f"{features.dtype}, {maps.dtype} and {weights.dtype} were given; features, maps and weights must be of one type.")
    merged: Tensor = merge(features, maps, weights)
    return merged


@custom_op("objabn::gate_and_merge", mutates_args=())
def merge(features: Tensor, maps: Tensor, weights: Tensor) -> Tensor:
    """Merge; see `gate_and_merge`."""
    from objabn.kernels import core_merge_triton  # noqa: PLC0415  (Triton is there with a GPU only)

    features = dense(features)
    merged = torch.empty_like(features)
    launch(core_merge_triton.forward_kernel, features, (features, maps.contiguous(), weights.contiguous(), merged), heads=len(weights))
    return merged


@merge.register_fake
def _(features: Tensor, maps: Tensor, weights: Tensor) -> Tensor:
    del maps, weights
    return torch.empty_like(dense(features))


@custom_op("objabn::gate_and_merge_backward", mutates_args=())
def merge_backward(gradient: Tensor, features: Tensor, maps: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of features, maps and weights."""
    from objabn.kernels import core_merge_triton  # noqa: PLC0415

    features, maps, weights, heads = dense(features), maps.contiguous(), weights.contiguous(), len(weights)
    gradient = like(gradient, features)
    features_gradient, maps_gradient = torch.empty_like(features), torch.empty_like(maps)
    tensors = (gradient, features, maps, weights, features_gradient, maps_gradient)
    launch(core_merge_triton.inputs_gradient_kernel, features, tensors, heads=heads)
    channels, positions = features.shape[1], features.numel() // features.shape[1]
    blocks = -(-positions // (BLOCK * SHARES))
    shares = -(-positions // (BLOCK * blocks))
    partial = features.new_empty(shares, heads, channels, channels, dtype=torch.float32)
    summed = (gradient, features, maps, partial)
    launch(core_merge_triton.weights_gradient_kernel, features, summed, heads=heads, grid=(heads, shares), further=(blocks,))
    # Added up by PyTorch, in the same order each time.
    return features_gradient, maps_gradient, partial.sum(0).to(weights.dtype)


@merge_backward.register_fake
def _(gradient: Tensor, features: Tensor, maps: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    del gradient
    return torch.empty_like(dense(features)), torch.empty_like(maps.contiguous()), torch.empty_like(weights.contiguous())


def keep(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
    """Keep features, maps and weights for the backward pass."""
    del output
    ctx.save_for_backward(*inputs)


def differentiate(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of the three inputs."""
    found: tuple[Tensor, Tensor, Tensor] = merge_backward(gradient, *ctx.saved_tensors)
    return found


merge.register_autograd(differentiate, setup_context=keep)


def launch(
    kernel: Any, features: Tensor, tensors: tuple[Tensor, ...], *, heads: int, grid: tuple[int, ...] = (), further: tuple[int, ...] = ()
) -> None:
    """Start a kernel on the tiles of dense features."""
    import triton  # noqa: PLC0415

    channels = features.shape[1]
    positions = features.numel() // channels
    width = max(16, 1 << (channels - 1).bit_length())
    kernel[grid or (-(-positions // BLOCK),)](
        *tensors,
        positions,
        positions // features.shape[0],
        channels,
        *strides(features),
        *further,
        HEADS=heads,
        WIDTH=width,
        BLOCK=BLOCK,
        # TF32 would keep three digits only.
        PRECISION="ieee" if features.dtype == torch.float32 else "tf32",
        IS_WIDE=triton.knobs.runtime.interpret,
        num_warps=8 if width > 64 else 4,
    )


def dense(features: Tensor) -> Tensor:
    """Return features in a layout whose positions have one stride: as they are where that is so, else contiguous."""
    return features if is_channels_last(features) else features.contiguous()


def strides(features: Tensor) -> tuple[int, int, int]:
    """Return the strides of clip, channel and position of dense features; those of axes of length 1 may be anything."""
    clips, channels = features.shape[:2]
    positions = features.numel() // (clips * channels)
    return (channels * positions, *((1, channels) if is_channels_last(features) else (positions, 1)))


def is_channels_last(features: Tensor) -> bool:
    """Say whether channels lie beside each other."""
    layout = CHANNELS_LAST.get(features.ndim)
    return layout is not None and features.is_contiguous(memory_format=layout)


def like(gradient: Tensor, features: Tensor) -> Tensor:
    """Return a gradient in the layout of the features."""
    return gradient if gradient.stride() == features.stride() else torch.empty_like(features).copy_(gradient)
