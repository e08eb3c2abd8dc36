"""Triton kernel of a depthwise convolution's weight gradient: two stages, so that the sums have one order and the same bits each time.

Each program walks along some rows of the output with all taps' sums in registers. A step to the right loads one gradient tile
and only the new columns of the clip, for the others are still there from the step before; the rows that neighbouring programs
share come from the caches. In time it goes from frame to frame of the same rows, as these need two of the last frame's three.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from objabn.kernels.triton_depthwise import repeated, strides

# ruff: noqa: ANN001, ANN201, RUF005
# mypy: disable-error-code="no-untyped-def, assignment"

# Four programs for each multiprocessor of an H200; a fixed number, so that every machine sums in the same order.
PROGRAMS = 528
ROWS, BLOCK_CHANNELS = 4, 64


@triton.jit
def load_row_taps(
    frames_of_clip, t, y, c, column, frames, height, stride_t, stride_y, stride_x, mask_c, WIDTH: tl.constexpr,
    KERNEL_T: tl.constexpr, KERNEL_Y: tl.constexpr,
):  # fmt: skip
    """Load one column as all taps in time and rows see it, each as rows x channels."""
    tiles = ()
    for tap in tl.static_range(KERNEL_T * KERNEL_Y):
        t_in, y_in = t + tap // KERNEL_Y - KERNEL_T // 2, y + tap % KERNEL_Y - KERNEL_Y // 2
        # A row that is not there is put where none is, as the interpreter joins no flag of a frame with those of rows.
        y_in = tl.where((t_in >= 0) & (t_in < frames) & (column >= 0) & (column < WIDTH), y_in, -1)
        mask = ((y_in >= 0) & (y_in < height))[:, None] & mask_c[None, :]
        pointers = frames_of_clip + t_in * stride_t + column * stride_x + y_in[:, None] * stride_y + c[None, :]
        tiles = tiles + (tl.load(pointers, mask=mask, other=0.0).to(tl.float32),)
    return tiles


@triton.jit
def add_products(sums, tiles, values, COUNT: tl.constexpr):
    """Add values x tile to each sum."""
    added = ()
    for place in tl.static_range(COUNT):
        added = added + (tl.fma(tiles[place], values, sums[place]),)
    return added


@triton.jit
def sum_products(
    clip, gradient, partial, units, units_each, row_groups, frames, height, out_height,
    WIDTH: tl.constexpr, OUT_WIDTH: tl.constexpr, CHANNELS: tl.constexpr, STRIDE: tl.constexpr,
    KERNEL_T: tl.constexpr, KERNEL_Y: tl.constexpr, KERNEL_X: tl.constexpr,
    ROWS: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """Sum clip x gradient for every tap over some units, each ROWS rows of one frame; `partial` is (programs, taps, channels)."""
    program = tl.program_id(0)
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    mask_c = c < CHANNELS
    in_b, _, in_t, in_y, in_x = strides(frames, height, WIDTH, CHANNELS, True)
    out_b, _, out_t, out_y, out_x = strides(frames, out_height, OUT_WIDTH, CHANNELS, True)
    row_taps: tl.constexpr = KERNEL_T * KERNEL_Y
    # Columns of the clip that the next step sees again.
    kept: tl.constexpr = KERNEL_X - STRIDE if KERNEL_X > STRIDE else 0
    zeros = tl.zeros((ROWS, BLOCK_C), tl.float32)
    sums = repeated(repeated(zeros, row_taps), KERNEL_X)
    for unit in range(program * units_each, tl.minimum(program * units_each + units_each, units)):
        t, batch = unit % frames, (unit // frames // row_groups).to(tl.int64)
        y = (unit // frames % row_groups) * ROWS + tl.arange(0, ROWS)
        source = clip + batch * in_b
        target = gradient + batch * out_b + t * out_t + y[:, None] * out_y + c[None, :]
        mask_out = (y < out_height)[:, None] & mask_c[None, :]
        window = ()
        for tap in tl.static_range(kept):
            window = window + (
                load_row_taps(
                    source, t, y * STRIDE, c, tap - KERNEL_X // 2, frames, height, in_t, in_y, in_x, mask_c, WIDTH, KERNEL_T, KERNEL_Y
                ),
            )
        for x in range(OUT_WIDTH):
            values = tl.load(target + x * out_x, mask=mask_out, other=0.0).to(tl.float32)
            for tap in tl.static_range(kept, KERNEL_X):
                column = x * STRIDE + tap - KERNEL_X // 2
                window = window + (
                    load_row_taps(source, t, y * STRIDE, c, column, frames, height, in_t, in_y, in_x, mask_c, WIDTH, KERNEL_T, KERNEL_Y),
                )
            added = ()
            for tap in tl.static_range(KERNEL_X):
                added = added + (add_products(sums[tap], window[tap], values, row_taps),)
            sums = added
            window = window[KERNEL_X - kept :]
    for x_tap in tl.static_range(KERNEL_X):
        for row_tap in tl.static_range(row_taps):
            place = partial + (program * row_taps * KERNEL_X + row_tap * KERNEL_X + x_tap) * CHANNELS + c
            tl.store(place, tl.sum(sums[x_tap][row_tap], axis=0), mask=mask_c)


def triton_weight_gradient(gradient_BCTYX: Tensor, clip_BCTYX: Tensor, kernel: tuple[int, int, int], stride: int) -> Tensor:
    """Compute the gradient of the weights (C, 1, *kernel), summed in float32; contiguous clips are copied into channels-last first."""
    clips, channels, frames, height, width = clip_BCTYX.shape
    out_height, out_width = gradient_BCTYX.shape[3:]
    row_groups, channel_tiles = triton.cdiv(out_height, ROWS), triton.cdiv(channels, BLOCK_CHANNELS)
    units = clips * row_groups * frames
    units_each = triton.cdiv(units, max(1, PROGRAMS // channel_tiles))
    programs = triton.cdiv(units, units_each)
    taps = kernel[0] * kernel[1] * kernel[2]
    partial = torch.empty((programs, taps, channels), dtype=torch.float32, device=clip_BCTYX.device)
    layout = torch.channels_last_3d
    sum_products[(programs, channel_tiles)](
        clip_BCTYX.contiguous(memory_format=layout), gradient_BCTYX.contiguous(memory_format=layout), partial,
        units, units_each, row_groups, frames, height, out_height,
        WIDTH=width, OUT_WIDTH=out_width, CHANNELS=channels, STRIDE=stride,
        KERNEL_T=kernel[0], KERNEL_Y=kernel[1], KERNEL_X=kernel[2], ROWS=ROWS, BLOCK_C=BLOCK_CHANNELS, num_warps=4,
    )  # fmt: skip
    return clip_BCTYX.new_empty((channels, taps)).copy_(partial.sum(0).t()).view(channels, 1, *kernel)
