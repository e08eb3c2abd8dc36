"""The backbones by name: what is published of them, and what sets one X3D apart from another, known without torch."""

from dataclasses import dataclass

MODEL_ZOO = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics/"


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """The setting in which a backbone was published."""

    clip_frames: int
    """Frames of a clip."""
    clip_size: int
    """Side of the picture in pixels."""
    kinetics400: str | None = None
    """Address of weights trained on Kinetics-400."""


@dataclass(frozen=True, kw_only=True, slots=True)
class X3DSize(Published):
    """What sets one X3D apart from another."""

    width_factor: float = 2.0
    """Multiplies the channels 12, 12, 24, 48, 96 of stem and stages."""
    depth_factor: float = 2.2
    """Multiplies the 1, 2, 5, 3 residual blocks of the stages, rounding up."""
    head_channels: int = 2048
    """Channels before the classifier."""


X3D_SIZES: dict[str, X3DSize] = {
    "x3d_xs": X3DSize(clip_frames=4, clip_size=160, kinetics400=MODEL_ZOO + "X3D_XS.pyth"),
    "x3d_s": X3DSize(clip_frames=13, clip_size=160, kinetics400=MODEL_ZOO + "X3D_S.pyth"),
    "x3d_m": X3DSize(clip_frames=16, clip_size=224, kinetics400=MODEL_ZOO + "X3D_M.pyth"),
    "x3d_l": X3DSize(depth_factor=5.0, clip_frames=16, clip_size=312, kinetics400=MODEL_ZOO + "X3D_L.pyth"),
    # Not of the paper: small enough to learn within minutes on two CPU cores.
    "x3d_nano": X3DSize(width_factor=1.0, depth_factor=1.0, head_channels=256, clip_frames=8, clip_size=96),
}

BACKBONES: dict[str, Published] = {**X3D_SIZES}


def published(name: str) -> Published:
    """Return the published setting of a backbone; ValueError with the names there are for any other."""
    if name not in BACKBONES:
        raise ValueError(f"There is no backbone {name!r}; choose one of {', '.join(BACKBONES)}.")
    return BACKBONES[name]
