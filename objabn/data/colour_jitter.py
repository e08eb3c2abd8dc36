"""Random colours of whole clips: one affine change of RGB for each, so that every frame of a clip gets the same."""

import numpy as np
from numpy.typing import NDArray

LUMINANCE = np.array([0.299, 0.587, 0.114])
"""Weights of red, green and blue in grey (ITU-R BT.601)."""
MIDDLE_GREY = 128.0
"""The value that a change of contrast leaves alone. Image libraries take each picture's own mean; this one is known before decoding."""
PRINCIPAL_AXES = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])
"""Columns: the principal axes of ImageNet's colours (Krizhevsky et al. 2012), as everybody uses them."""
PRINCIPAL_VALUES = 255 * np.array([0.2175, 0.0188, 0.0045])
"""Their eigenvalues, on a scale of 0 to 255."""


def unchanged(count: int) -> NDArray[np.float32]:
    """Return (M, 3, 4) changes that change nothing; all are one and the same in memory."""
    return np.broadcast_to(np.eye(3, 4, dtype=np.float32), (count, 3, 4))


def random_colours(count: int, *, jitter: float, noise: float, generator: np.random.Generator) -> NDArray[np.float32]:
    """Return (M, 3, 4) random changes: a matrix for RGB, and what is added to it on a scale of 0 to 255.

    Brightness, contrast and saturation are multiplied by factors drawn evenly from 1 - `jitter` to 1 + `jitter`, in this order;
    then colours are moved along their principal axes, normally distributed with a deviation of `noise` eigenvalues.
    """
    if not (jitter or noise):
        return unchanged(count)
    brightness, contrast, saturation = generator.uniform(1 - jitter, 1 + jitter, (3, count, 1, 1))
    grey = np.broadcast_to(LUMINANCE, (3, 3))
    matrix = (saturation * np.eye(3) + (1 - saturation) * grey) * brightness * contrast
    # A constant grey passes the change of saturation as it is.
    offset = MIDDLE_GREY * (1 - contrast) * np.ones((3, 1))
    shift = PRINCIPAL_AXES @ (generator.normal(0.0, noise, (count, 3, 1)) * PRINCIPAL_VALUES[:, None])
    return np.concatenate([matrix, offset + shift], 2).astype(np.float32)
