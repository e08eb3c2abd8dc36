"""Triton kernels of gate and merge: a tile of features is read once, gated by every map, and multiplied by that map's weights.

A tile is `BLOCK` positions (any of B, T, y, x) times all channels, these rounded up to `WIDTH`, a power of two. Features, gradients
and results are addressed by the strides of clip, channel and position; maps are (B, N, S) and weights (N, C out, C in), both dense.
"""

import triton
import triton.language as tl

# Kernels are no Python: they have no types, and take every size and stride by itself.
# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def"


@triton.jit
def product(left, right, PRECISION: tl.constexpr, IS_WIDE: tl.constexpr):
    """Multiply two tiles in float32."""
    # Triton's interpreter multiplies the bits of bf16 as integers; widened to float32 the products are the same numbers.
    if IS_WIDE:
        left, right = left.to(tl.float32), right.to(tl.float32)
    return tl.dot(left, right, input_precision=PRECISION)


@triton.jit
def places(tile, positions, clip_positions, BLOCK: tl.constexpr):
    """Return clip and position within it of each place of a tile, and whether there is such a place."""
    place = tile * BLOCK + tl.arange(0, BLOCK)
    return (place // clip_positions).to(tl.int64), place % clip_positions, place < positions


@triton.jit
def addresses(clip, position, channel, clip_stride, channel_stride, position_stride):
    """Return where places x channels lie."""
    return (clip * clip_stride + position * position_stride)[:, None] + (channel * channel_stride)[None, :]


@triton.jit
def forward_kernel(
    features,
    maps,
    weights,
    merged,
    positions,
    clip_positions,
    channels,
    clip_stride,
    channel_stride,
    position_stride,
    HEADS: tl.constexpr,
    WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
    PRECISION: tl.constexpr,
    IS_WIDE: tl.constexpr,
):
    """Write the merged features of one tile."""
    channel = tl.arange(0, WIDTH)
    is_channel = channel < channels
    clip, position, is_place = places(tl.program_id(0), positions, clip_positions, BLOCK)
    offsets = addresses(clip, position, channel, clip_stride, channel_stride, position_stride)
    is_value = is_place[:, None] & is_channel[None, :]
    tile = tl.load(features + offsets, mask=is_value, other=0.0)
    total = tl.zeros([BLOCK, WIDTH], dtype=tl.float32)
    for head in tl.static_range(HEADS):
        gate = tl.load(maps + (clip * HEADS + head) * clip_positions + position, mask=is_place, other=0.0).to(tl.float32)
        # Transposed as it is read: rows are channels in, columns channels out.
        spots = head * channels * channels + channel[None, :] * channels + channel[:, None]
        weight = tl.load(weights + spots, mask=is_channel[None, :] & is_channel[:, None], other=0.0)
        total += product((tile.to(tl.float32) * gate[:, None]).to(tile.dtype), weight, PRECISION, IS_WIDE)
    tl.store(merged + offsets, total.to(tile.dtype), mask=is_value)


@triton.jit
def inputs_gradient_kernel(
    gradient,
    features,
    maps,
    weights,
    features_gradient,
    maps_gradient,
    positions,
    clip_positions,
    channels,
    clip_stride,
    channel_stride,
    position_stride,
    HEADS: tl.constexpr,
    WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
    PRECISION: tl.constexpr,
    IS_WIDE: tl.constexpr,
):
    """Write the gradients of the features and maps of one tile: each map's is the sum over channels of (W_n^T g) h."""
    channel = tl.arange(0, WIDTH)
    is_channel = channel < channels
    clip, position, is_place = places(tl.program_id(0), positions, clip_positions, BLOCK)
    offsets = addresses(clip, position, channel, clip_stride, channel_stride, position_stride)
    is_value = is_place[:, None] & is_channel[None, :]
    above = tl.load(gradient + offsets, mask=is_value, other=0.0)
    tile = tl.load(features + offsets, mask=is_value, other=0.0)
    total = tl.zeros([BLOCK, WIDTH], dtype=tl.float32)
    for head in tl.static_range(HEADS):
        cells = (clip * HEADS + head) * clip_positions + position
        gate = tl.load(maps + cells, mask=is_place, other=0.0).to(tl.float32)
        spots = head * channels * channels + channel[:, None] * channels + channel[None, :]
        weight = tl.load(weights + spots, mask=is_channel[None, :] & is_channel[:, None], other=0.0)
        copy_gradient = product(above, weight, PRECISION, IS_WIDE)
        total += copy_gradient * gate[:, None]
        tl.store(maps_gradient + cells, tl.sum(copy_gradient * tile.to(tl.float32), 1).to(tile.dtype), mask=is_place)
    tl.store(features_gradient + offsets, total.to(tile.dtype), mask=is_value)


@triton.jit
def weights_gradient_kernel(
    gradient,
    features,
    maps,
    partial,
    positions,
    clip_positions,
    channels,
    clip_stride,
    channel_stride,
    position_stride,
    blocks,
    HEADS: tl.constexpr,
    WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
    PRECISION: tl.constexpr,
    IS_WIDE: tl.constexpr,
):
    """Write the share of one program in the gradient of one map's weights: the sum over its tiles of g (h M_n)^T."""
    # Programs of one share of the positions are neighbours, so that the second head finds features and gradients in the cache.
    head, share = tl.program_id(0), tl.program_id(1)
    channel = tl.arange(0, WIDTH)
    is_channel = channel < channels
    total = tl.zeros([WIDTH, WIDTH], dtype=tl.float32)
    for block in range(blocks):
        clip, position, is_place = places(share * blocks + block, positions, clip_positions, BLOCK)
        offsets = addresses(clip, position, channel, clip_stride, channel_stride, position_stride)
        is_value = is_place[:, None] & is_channel[None, :]
        above = tl.load(gradient + offsets, mask=is_value, other=0.0)
        tile = tl.load(features + offsets, mask=is_value, other=0.0)
        gate = tl.load(maps + (clip * HEADS + head) * clip_positions + position, mask=is_place, other=0.0).to(tl.float32)
        total += product(tl.trans(above), (tile.to(tl.float32) * gate[:, None]).to(tile.dtype), PRECISION, IS_WIDE)
    spots = (share * HEADS + head) * channels * channels + channel[:, None] * channels + channel[None, :]
    tl.store(partial + spots, total, mask=is_channel[:, None] & is_channel[None, :])
