"""Small backbones of every family with one pathway, by the names of the large ones, for tests of systems that sit on any of them."""

import pytest
from literal_residual import TINY_RESNET, TINY_RESNEXT

from objabn.models import sizes

FAMILIES = ("x3d_nano", "resnet3d_50", "resnext3d_101", "slow_r50", "resnet18")


def shrink(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the names of `FAMILIES` mean networks of few channels and blocks; timm's resnet18 stays what it is."""
    x3d = sizes.X3DSize(width_factor=1.0, depth_factor=0.2, head_channels=32, clip_frames=4, clip_size=32)
    slow = sizes.VideoResNetSize(clip_frames=4, clip_size=32, channels=8)
    for family, name, size in (
        (sizes.X3D_SIZES, "x3d_nano", x3d),
        (sizes.SLOW_SIZES, "slow_r50", slow),
        (sizes.RESNET3D_SIZES, "resnet3d_50", TINY_RESNET),
        (sizes.RESNEXT3D_SIZES, "resnext3d_101", TINY_RESNEXT),
    ):
        monkeypatch.setitem(family, name, size)
        monkeypatch.setitem(sizes.BACKBONES, name, size)
