"""Backbones by name."""

from objabn.models.backbone import Backbone
from objabn.models.sizes import BACKBONES, X3D_SIZES
from objabn.models.x3d import build_x3d


def build_backbone(name: str, *, classes: int, cut: int, clip_frames: int, clip_size: int, dropout: float) -> Backbone:
    """Build the backbone of this name with random weights; an unknown name raises ValueError with those there are."""
    if name in X3D_SIZES:
        return build_x3d(name, classes=classes, cut=cut, clip_frames=clip_frames, clip_size=clip_size, dropout=dropout)
    raise ValueError(f"There is no backbone {name!r}; choose one of {', '.join(BACKBONES)}.")
