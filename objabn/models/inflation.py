"""Weights of 2-D networks for their 3-D counterparts."""

from torch import Tensor


def inflate(state: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a 2-D network's weights for the 3-D network whose are `own`: kernels repeated over time and divided by its frames.

    A clip of equal frames then gives what the picture gave, but for the frames at its ends, where convolutions over time
    meet padding (Carreira and Zisserman 2017, section 2.4). What has no 5-D counterpart stays as it is.
    """
    return {name: inflated(value, own[name]) if is_flat(value, own.get(name)) else value for name, value in state.items()}


def is_flat(value: Tensor, own: Tensor | None) -> bool:
    """Say whether a tensor is a 2-D convolution's where the network has a 3-D one."""
    return own is not None and value.ndim == 4 and own.ndim == 5


def inflated(kernel: Tensor, own: Tensor) -> Tensor:
    """Repeat a kernel (C out, C in, y, x) over the frames of `own` (C out, C in, T, y, x), and divide it by them."""
    frames = own.shape[2]
    return (kernel / frames).unsqueeze(2).repeat(1, 1, frames, 1, 1)
