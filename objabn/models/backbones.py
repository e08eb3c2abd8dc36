"""Backbones by name."""

from collections.abc import Callable

from objabn.models.backbone import Backbone
from objabn.models.mvit import build_mvit
from objabn.models.resnet3d import build_resnet3d
from objabn.models.resnext3d import build_resnext3d
from objabn.models.sizes import (
    CSN_SIZES,
    MVIT_SIZES,
    R2PLUS1D_SIZES,
    RESNET3D_SIZES,
    RESNEXT3D_SIZES,
    SLOW_SIZES,
    SLOWFAST_SIZES,
    X3D_SIZES,
)
from objabn.models.slowfast import build_slowfast
from objabn.models.video_resnet import build_csn, build_r2plus1d, build_slow
from objabn.models.x3d import build_x3d

BUILDERS: dict[str, Callable[..., Backbone]] = {
    **dict.fromkeys(X3D_SIZES, build_x3d),
    **dict.fromkeys(SLOW_SIZES, build_slow),
    **dict.fromkeys(SLOWFAST_SIZES, build_slowfast),
    **dict.fromkeys(R2PLUS1D_SIZES, build_r2plus1d),
    **dict.fromkeys(CSN_SIZES, build_csn),
    **dict.fromkeys(MVIT_SIZES, build_mvit),
    **dict.fromkeys(RESNET3D_SIZES, build_resnet3d),
    **dict.fromkeys(RESNEXT3D_SIZES, build_resnext3d),
}
"""Each takes a name and what `build_backbone` does."""


def build_backbone(name: str, *, classes: int, cut: int, clip_frames: int, clip_size: int, dropout: float) -> Backbone:
    """Build the backbone of this name with random weights: one of `sizes.BACKBONES`, or a network of timm by its name there.

    ValueError for any other name, with the nearest ones.
    """
    if name in BUILDERS:
        build = BUILDERS[name]
    else:
        from objabn.models.timm_networks import build_timm  # noqa: PLC0415  (timm is slow to import, and used here only)

        build = build_timm
    return build(name, classes=classes, cut=cut, clip_frames=clip_frames, clip_size=clip_size, dropout=dropout)
