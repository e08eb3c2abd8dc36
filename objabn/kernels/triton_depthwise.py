"""Triton kernels of a depthwise convolution: forward, and the input gradient, which runs over the output's gradient.

What bounds them: 27 multiply-adds per output element against four bytes of memory in bfloat16 is about the ratio that an H200
has of both, so neither may be wasted. A program owns a tile of columns x channels of one row and walks through time: an input
tile is loaded and widened to float32 once per tap of the plane and serves all outputs in time, of which a window of sums moves
along. Neighbouring columns and rows come again from the first cache. Sizes that decide how wide a load may be are compiled in.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

# Kernels are no Python: they have no types, and their tuples are only joined by `+`.
# ruff: noqa: ANN001, ANN201, RUF005
# mypy: disable-error-code="no-untyped-def, assignment"


def measured(tiles: list[tuple[int, int, int, int]]) -> Any:
    """Return a decorator that finds the best of some (columns, channels, frames, warps) for a shape; the interpreter takes the first.

    They do not change the order of any sum, so all of them give the same bits.
    """
    configs = [
        triton.Config({"BLOCK_X": columns, "BLOCK_C": channels, "BLOCK_T": frames}, num_warps=warps)
        for columns, channels, frames, warps in tiles
    ]
    key = ["clips", "frames", "height", "WIDTH", "CHANNELS", "STRIDE", "KERNEL_T", "KERNEL_X", "CHANNELS_LAST"]
    return triton.autotune(configs[:1] if triton.knobs.runtime.interpret else configs, key=key)


@triton.jit
def strides(frames, height, width, CHANNELS: tl.constexpr, CHANNELS_LAST: tl.constexpr):
    """Return the elements from one clip, channel, frame, row and column to the next."""
    if CHANNELS_LAST:
        return frames * height * width * CHANNELS, 1, height * width * CHANNELS, width * CHANNELS, CHANNELS
    else:
        return frames * height * width * CHANNELS, frames * height * width, height * width, width, 1


@triton.jit
def is_inside(t, frames, y, height):
    """Say whether a row of a frame exists."""
    return (t >= 0) & (t < frames) & (y >= 0) & (y < height)


@triton.jit
def load_tile(row, x, c, stride_x, stride_c, is_row, WIDTH: tl.constexpr, mask_c):
    """Load columns x channels in float32, with zeros where there are none, or no such row."""
    mask = (x >= tl.where(is_row, 0, WIDTH)) & (x < WIDTH)
    return tl.load(row + x[:, None] * stride_x + c[None, :] * stride_c, mask=mask[:, None] & mask_c[None, :], other=0.0).to(tl.float32)


@triton.jit
def repeated(value, COUNT: tl.constexpr):
    """Return a tuple that holds a value COUNT times."""
    values = ()
    for _ in tl.static_range(COUNT):
        values = values + (value,)
    return values


@triton.jit
def add_in_time(sums, values, weights, mask_c, KERNEL_T: tl.constexpr, PLANE: tl.constexpr, CHANNELS: tl.constexpr):
    """Add an input tile, seen by one tap of the plane, to the outputs it belongs to in time, of which the earliest comes first."""
    added = ()
    for place in tl.static_range(KERNEL_T):
        # The earliest output meets this input at the kernel's last tap.
        weight = tl.load(weights + (KERNEL_T - 1 - place) * PLANE * CHANNELS, mask=mask_c, other=0.0)
        added = added + (tl.fma(values, weight[None, :], sums[place]),)
    return added


@triton.jit
def store_earliest(sums, pointers, mask):
    """Store the earliest output of the window, and move the window on by one."""
    tl.store(pointers, sums[0].to(pointers.dtype.element_ty), mask=mask)
    return sums[1:] + (tl.zeros_like(sums[0]),)


@triton.jit
def add_to_pixel(
    sums, values, weights, mask_c,
    KERNEL_T: tl.constexpr, KERNEL_Y: tl.constexpr, KERNEL_X: tl.constexpr, CHANNELS: tl.constexpr,
    Y_TAP: tl.constexpr, X_TAP: tl.constexpr,
):  # fmt: skip
    """Add a tile to the pixel that sees it by this tap of the plane, if the kernel has it."""
    if Y_TAP >= 0 and Y_TAP < KERNEL_Y and X_TAP >= 0 and X_TAP < KERNEL_X:
        place = weights + (Y_TAP * KERNEL_X + X_TAP) * CHANNELS
        return add_in_time(sums, values, place, mask_c, KERNEL_T, KERNEL_Y * KERNEL_X, CHANNELS)
    else:
        return sums


@measured([(8, 64, 8, 1), (4, 64, 16, 1), (16, 64, 16, 2), (8, 128, 8, 2), (64, 2, 8, 1)])
@triton.jit
def convolve(
    clip, weight, output, clips, frames, height, out_height,
    WIDTH: tl.constexpr, OUT_WIDTH: tl.constexpr, CHANNELS: tl.constexpr, CHANNELS_LAST: tl.constexpr, STRIDE: tl.constexpr,
    KERNEL_T: tl.constexpr, KERNEL_Y: tl.constexpr, KERNEL_X: tl.constexpr,
    BLOCK_X: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_T: tl.constexpr,
):  # fmt: skip
    """Compute BLOCK_T frames of BLOCK_X columns of one row for BLOCK_C channels; `weight` is (taps, channels) in float32."""
    place = tl.program_id(0)
    # Rows change fastest, so that programs that run together share the rows between them in the caches.
    row, place = place % out_height, place // out_height
    tile_x, place = place % tl.cdiv(OUT_WIDTH, BLOCK_X), place // tl.cdiv(OUT_WIDTH, BLOCK_X)
    tile_t, batch = place % tl.cdiv(frames, BLOCK_T), (place // tl.cdiv(frames, BLOCK_T)).to(tl.int64)
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    x = tile_x * BLOCK_X + tl.arange(0, BLOCK_X)
    mask_c = c < CHANNELS
    in_b, in_c, in_t, in_y, in_x = strides(frames, height, WIDTH, CHANNELS, CHANNELS_LAST)
    out_b, out_c, out_t, out_y, out_x = strides(frames, out_height, OUT_WIDTH, CHANNELS, CHANNELS_LAST)
    source = clip + batch * in_b
    target = output + batch * out_b + row * out_y + x[:, None] * out_x + c[None, :] * out_c
    sums = repeated(tl.zeros((BLOCK_X, BLOCK_C), tl.float32), KERNEL_T)
    for step in range(BLOCK_T + KERNEL_T - 1):
        t = tile_t * BLOCK_T + step - KERNEL_T // 2
        for tap in tl.static_range(KERNEL_Y * KERNEL_X):
            y = row * STRIDE + tap // KERNEL_X - KERNEL_Y // 2
            columns = x * STRIDE + tap % KERNEL_X - KERNEL_X // 2
            values = load_tile(source + t * in_t + y * in_y, columns, c, in_x, in_c, is_inside(t, frames, y, height), WIDTH, mask_c)
            sums = add_in_time(sums, values, weight + tap * CHANNELS + c, mask_c, KERNEL_T, KERNEL_Y * KERNEL_X, CHANNELS)
        # The earliest output of the window has now seen all its inputs.
        t_out = t - KERNEL_T // 2
        is_whole = is_inside(t_out - tile_t * BLOCK_T, BLOCK_T, t_out, frames)
        mask = (x < tl.where(is_whole, OUT_WIDTH, 0))[:, None] & mask_c[None, :]
        sums = store_earliest(sums, target + t_out * out_t, mask)


@measured([(4, 64, 8, 1), (8, 64, 16, 2), (8, 32, 8, 1), (4, 128, 8, 2), (32, 2, 8, 1)])
@triton.jit
def convolve_upsampled(
    gradient, weight, output, clips, frames, height, out_height,
    WIDTH: tl.constexpr, OUT_WIDTH: tl.constexpr, CHANNELS: tl.constexpr, CHANNELS_LAST: tl.constexpr, STRIDE: tl.constexpr,
    KERNEL_T: tl.constexpr, KERNEL_Y: tl.constexpr, KERNEL_X: tl.constexpr,
    BLOCK_X: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_T: tl.constexpr,
):  # fmt: skip
    """Compute the input gradient of stride 2: each gradient tile serves the four pixels that it stands for, and their neighbours.

    `weight` is (taps, channels) in float32 with the kernel turned round.
    """
    place = tl.program_id(0)
    row, place = place % height, place // height
    tile_x, place = place % tl.cdiv(WIDTH, BLOCK_X), place // tl.cdiv(WIDTH, BLOCK_X)
    tile_t, batch = place % tl.cdiv(frames, BLOCK_T), (place // tl.cdiv(frames, BLOCK_T)).to(tl.int64)
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    x = tile_x * BLOCK_X + tl.arange(0, BLOCK_X)
    mask_c = c < CHANNELS
    in_b, in_c, in_t, in_y, in_x = strides(frames, height, WIDTH, CHANNELS, CHANNELS_LAST)
    out_b, out_c, out_t, out_y, out_x = strides(frames, out_height, OUT_WIDTH, CHANNELS, CHANNELS_LAST)
    source = gradient + batch * in_b
    target = output + batch * out_b + row * STRIDE * out_y + x[:, None] * STRIDE * out_x + c[None, :] * out_c
    reach_y: tl.constexpr = KERNEL_Y // 2
    reach_x: tl.constexpr = KERNEL_X // 2
    # How many gradient rows and columns a pair of pixels sees.
    rows_seen: tl.constexpr = (reach_y + 1) // 2 + reach_y // 2 + 1
    columns_seen: tl.constexpr = (reach_x + 1) // 2 + reach_x // 2 + 1
    sums = repeated(repeated(tl.zeros((BLOCK_X, BLOCK_C), tl.float32), KERNEL_T), STRIDE * STRIDE)
    for step in range(BLOCK_T + KERNEL_T - 1):
        t = tile_t * BLOCK_T + step - KERNEL_T // 2
        for tile in tl.static_range(rows_seen * columns_seen):
            y, columns = row + tile // columns_seen - reach_y // 2, x + tile % columns_seen - reach_x // 2
            values = load_tile(source + t * in_t + y * in_y, columns, c, in_x, in_c, is_inside(t, frames, y, height), WIDTH, mask_c)
            added = ()
            for pixel in tl.static_range(STRIDE * STRIDE):
                pixel_sums = add_to_pixel(
                    sums[pixel], values, weight + c, mask_c, KERNEL_T, KERNEL_Y, KERNEL_X, CHANNELS,
                    STRIDE * (tile // columns_seen - reach_y // 2) - pixel // STRIDE + reach_y,
                    STRIDE * (tile % columns_seen - reach_x // 2) - pixel % STRIDE + reach_x,
                )  # fmt: skip
                added = added + (pixel_sums,)
            sums = added
        t_out = t - KERNEL_T // 2
        is_whole = is_inside(t_out - tile_t * BLOCK_T, BLOCK_T, t_out, frames)
        moved = ()
        for pixel in tl.static_range(STRIDE * STRIDE):
            y_out, x_out = row * STRIDE + pixel // STRIDE, x * STRIDE + pixel % STRIDE
            mask = (x_out < tl.where(is_whole & (y_out < out_height), OUT_WIDTH, 0))[:, None] & mask_c[None, :]
            pointers = target + t_out * out_t + (pixel // STRIDE) * out_y + (pixel % STRIDE) * out_x
            moved = moved + (store_earliest(sums[pixel], pointers, mask),)
        sums = moved


def triton_forward(clip_BCTYX: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Compute the convolution in the clip's layout; sums are in float32."""
    height, width = clip_BCTYX.shape[3:]
    return launch(convolve, clip_BCTYX, weight, stride, (-(-height // stride), -(-width // stride)))


def triton_input_gradient(gradient_BCTYX: Tensor, weight: Tensor, stride: int, size: tuple[int, int]) -> Tensor:
    """Compute the gradient of a clip of `size` rows and columns; at stride 1 it is a convolution with the kernel turned round."""
    return launch(convolve if stride == 1 else convolve_upsampled, gradient_BCTYX, weight.flip(2, 3, 4), stride, size)


def launch(kernel: Any, clip: Tensor, weight: Tensor, stride: int, out_size: tuple[int, int]) -> Tensor:
    """Run one of the two kernels into a tensor of `out_size` rows and columns."""
    clips, channels, frames, height, width = clip.shape
    is_channels_last = clip.is_contiguous(memory_format=torch.channels_last_3d)
    layout = torch.channels_last_3d if is_channels_last else torch.contiguous_format
    source = clip.contiguous(memory_format=layout)
    output = torch.empty((clips, channels, frames, *out_size), dtype=clip.dtype, device=clip.device, memory_format=layout)
    rows, columns = (height, width) if kernel is convolve_upsampled else out_size

    def grid(sizes: dict[str, int]) -> tuple[int, int]:
        tiles = clips * triton.cdiv(frames, sizes["BLOCK_T"]) * triton.cdiv(columns, sizes["BLOCK_X"]) * rows
        return tiles, triton.cdiv(channels, sizes["BLOCK_C"])

    # Taps x channels, so that a warp reads one tap's weights together; one launch for turning and widening.
    weights = weight.new_empty((weight[0].numel(), channels), dtype=torch.float32).copy_(weight.flatten(1).t())
    kernel[grid](
        source, weights, output, clips, frames, height, out_size[0],
        WIDTH=width, OUT_WIDTH=out_size[1], CHANNELS=channels, CHANNELS_LAST=is_channels_last, STRIDE=stride,
        KERNEL_T=weight.shape[2], KERNEL_Y=weight.shape[3], KERNEL_X=weight.shape[4],
    )  # fmt: skip
    return output
