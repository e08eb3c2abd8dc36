"""The vocabulary: what a loader yields, what a network returns, and how axes are named.

Shape letters used as name suffixes everywhere: B batch, C channels, T frames, Y rows, X columns, K classes, N attention
maps, D feature channels. Lower-case y, x are rows and columns of the attention grid. `clip_BCTYX` is a clip batch in
this order of axes.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Batch(NamedTuple):
    """Clips with everything that belongs to them, as one loader step yields it."""

    clip: Tensor
    """(B, 3, T, Y, X) uint8 RGB; with `run.cache_features` what the stem made of it, (B, C, T', y, x)."""
    mask: Tensor
    """(B, T, y, x) float32: which part of each attention-grid cell is covered by an object, in [0, 1]."""
    mask_valid: Tensor
    """(B, T) bool: the segmenter found something in that frame."""
    label: Tensor
    """(B,) int64 class number."""
    video: Tensor
    """(B,) int64 row of the dataset's index."""
    frames: Tensor
    """(B, T) int64 frame numbers in the packed video."""
    view: Tensor
    """(B,) int64 number of the clip x crop view within its video; 0 in training."""
    present: Tensor
    """(B,) bool: False marks padding of the last evaluation batch."""

    def to(self, device: torch.device | str, *, non_blocking: bool = True) -> "Batch":
        """Return the same batch with every tensor on `device`."""
        return Batch(*(tensor.to(device, non_blocking=non_blocking) for tensor in self))


class Output(NamedTuple):
    """What every network here returns, whatever its system."""

    logits: Tensor
    """(B, K) of the perception branch: the network's answer."""
    branch_logits: Tensor | None
    """(B, K) of the attention branch, where the system has such a head."""
    maps: Tensor
    """(B, N, T, y, x) attention maps in [0, 1]; the network's `map_names` name the N axis. A backbone that merges frames draws
    one map for several of them, and each has it here."""
    features: Tensor | None
    """(B, D, T', y, x) features behind the maps, from which the PC loss pools; T' may be less than T."""
    frame_weights: Tensor | None
    """(B, T) weights of frames, where the system has temporal attention."""
