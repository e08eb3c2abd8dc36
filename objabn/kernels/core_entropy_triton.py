"""The Triton kernel of the entropy of maps."""

import triton
import triton.language as tl

# Kernels are no Python and have no types.
# ruff: noqa: ANN001, ANN201
# mypy: disable-error-code="no-untyped-def"


@triton.jit
def entropy_kernel(cells, entropies, count, bits, BINS: tl.constexpr, WIDTH: tl.constexpr):
    """Write the entropy of the histogram of one frame."""
    frame = tl.program_id(0).to(tl.int64)
    cell = tl.arange(0, WIDTH)
    is_cell = cell < count
    values = tl.load(cells + frame * count + cell, mask=is_cell, other=0.0)
    low = tl.min(tl.where(is_cell, values, float("inf")), 0)
    high = tl.max(tl.where(is_cell, values, float("-inf")), 0)
    # A flat frame becomes zeros; the divisor only must not be.
    stretched = (values - low) / tl.where(high > low, high - low, 1.0)
    places = tl.minimum((stretched * BINS).to(tl.int32), BINS - 1)
    total = 0.0
    for place in tl.static_range(BINS):
        share = tl.sum(tl.where(is_cell & (places == place), 1.0, 0.0), 0) / count
        total -= share * tl.log(tl.maximum(share, 1e-30)) * bits
    # A single full bin is 1 log 1 with a minus in front of its zero.
    tl.store(entropies + frame, tl.maximum(total, 0.0))
