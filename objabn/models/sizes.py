"""The backbones by name: what is published of them, and what sets those of a family apart, known without torch."""

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
    imagenet: str | None = None
    """Name in timm of a 2-D network whose weights it can take."""


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


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoResNetSize(Published):
    """What sets one residual network of pytorchvideo apart from another of its family."""

    depth: int = 50
    """Convolutions of the 2-D network it goes back to."""
    channels: int = 64
    """Channels of the first convolution; the stages have 4, 8, 16 and 32 times as many."""


# Frames and files as in pytorchvideo's model zoo; the 8x8 of SlowFast are the frames of its slow pathway.
SLOW_SIZES: dict[str, VideoResNetSize] = {
    "slow_r50": VideoResNetSize(clip_frames=8, clip_size=224, kinetics400=MODEL_ZOO + "SLOW_8x8_R50.pyth")
}
R2PLUS1D_SIZES: dict[str, VideoResNetSize] = {
    "r2plus1d_50": VideoResNetSize(clip_frames=16, clip_size=224, kinetics400=MODEL_ZOO + "R2PLUS1D_16x4_R50.pyth")
}
CSN_SIZES: dict[str, VideoResNetSize] = {
    "csn_101": VideoResNetSize(depth=101, clip_frames=32, clip_size=224, kinetics400=MODEL_ZOO + "CSN_32x2_R101.pyth")
}
SLOWFAST_SIZES: dict[str, VideoResNetSize] = {
    "slowfast_r50": VideoResNetSize(clip_frames=32, clip_size=224, kinetics400=MODEL_ZOO + "SLOWFAST_8x8_R50.pyth")
}


@dataclass(frozen=True, kw_only=True, slots=True)
class MViTSize(Published):
    """What sets one multiscale vision transformer apart from another."""

    channels: int = 96
    """Channels of the first scale; each further one has twice as many, and twice as many heads."""
    heads: int = 1
    """Attention heads of the first scale."""
    scales: tuple[int, int, int] = (1, 3, 14)
    """Blocks, counted from 0, that halve the picture."""
    depth: int = 16
    """Blocks in all."""


MVIT_SIZES: dict[str, MViTSize] = {"mvit_b": MViTSize(clip_frames=16, clip_size=224, kinetics400=MODEL_ZOO + "MVIT_B_16x4.pyth")}


@dataclass(frozen=True, kw_only=True, slots=True)
class ResidualSize(Published):
    """What sets one 3-D network of bottlenecks apart from another of its family."""

    blocks: tuple[int, int, int, int]
    """Residual blocks of the stages."""
    stem_channels: int = 64
    """Channels of the first convolution."""
    inner_channels: int = 64
    """Channels within the blocks of the first stage; each further stage has twice as many."""
    expansion: int = 4
    """Channels that a block gives, for each within it."""
    groups: int = 1
    """Groups of the convolution in the middle of each block."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    """Mean of red, green and blue on a scale of 0 to 1; by default ImageNet's."""
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    """Their standard deviation."""


# The clip of ST-ABN (Mitsuhara et al. 2021).
RESNET3D_SIZES: dict[str, ResidualSize] = {
    "resnet3d_50": ResidualSize(clip_frames=32, clip_size=224, blocks=(3, 4, 6, 3), imagenet="resnet50"),
    "resnet3d_101": ResidualSize(clip_frames=32, clip_size=224, blocks=(3, 4, 23, 3), imagenet="resnet101"),
}

RESNEXT3D_SIZES: dict[str, ResidualSize] = {
    "resnext3d_101": ResidualSize(
        clip_frames=16,
        clip_size=112,
        blocks=(3, 4, 23, 3),
        stem_channels=128,
        inner_channels=128,
        expansion=2,
        groups=32,
        mean=(0.4345, 0.4051, 0.3775),
        std=(0.2768, 0.2713, 0.2737),
    ),
    # The weights published with the paper (Hara et al. 2018): a narrower stem, and pixels of 0 to 255 less ActivityNet's mean.
    "resnext3d_101_cvpr2018": ResidualSize(
        clip_frames=16,
        clip_size=112,
        blocks=(3, 4, 23, 3),
        inner_channels=128,
        expansion=2,
        groups=32,
        mean=(114.7748 / 255, 107.7354 / 255, 99.4750 / 255),
        std=(1 / 255, 1 / 255, 1 / 255),
    ),
}

BACKBONES: dict[str, Published] = {
    **X3D_SIZES,
    **SLOW_SIZES,
    **SLOWFAST_SIZES,
    **R2PLUS1D_SIZES,
    **CSN_SIZES,
    **MVIT_SIZES,
    **RESNET3D_SIZES,
    **RESNEXT3D_SIZES,
}


def published(name: str) -> Published:
    """Return the published setting of a backbone, one of `BACKBONES` or of timm; ValueError with the nearest names for any other."""
    if name in BACKBONES:
        return BACKBONES[name]
    from objabn.models.timm_names import timm_setting  # noqa: PLC0415  (timm is slow to import, and used here only)

    return timm_setting(name)
