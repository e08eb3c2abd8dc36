"""Networks for pictures on clips: frames are folded into the batch, and put back in their places behind."""

from typing import Any

from torch import Tensor, nn


def fold_frames(clip_BCTYX: Tensor) -> Tensor:
    """Turn (B, C, T, y, x) into pictures (B * T, C, y, x)."""
    return clip_BCTYX.movedim(2, 1).flatten(0, 1)


def unfold_frames(pictures: Tensor, clips: int, frames: int) -> Tensor:
    """Turn pictures (B * T, C, y, x) back into (B, C, T, y, x)."""
    if frames == 1:
        # Split off by `unflatten`, a single frame has a stride with which the backward pass of PyTorch 2.15's batch norm goes wrong.
        return pictures.unsqueeze(2)
    return pictures.unflatten(0, (clips, frames)).movedim(1, 2)


class PerFrame(nn.Sequential):
    """Modules for pictures one after the other, on every frame of a clip."""

    def forward(self, clip_BCTYX: Any) -> Any:
        """Turn (B, C, T, y, x) into (B, C out, T, y', x')."""
        clips, _, frames = clip_BCTYX.shape[:3]
        return unfold_frames(super().forward(fold_frames(clip_BCTYX)), clips, frames)
