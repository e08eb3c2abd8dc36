"""X3D (Feichtenhofer 2020) as pytorchvideo builds it, cut into stem and tail."""

import warnings
from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from objabn.models.backbone import Backbone, Features
from objabn.models.sizes import X3D_SIZES, X3DSize

with warnings.catch_warnings():
    # fvcore, below pytorchvideo, scripts two functions when it is imported; torch warns of that on every start.
    warnings.simplefilter("ignore", FutureWarning)
    from pytorchvideo.models.weight_init import init_net_weights
    from pytorchvideo.models.x3d import create_x3d, create_x3d_res_block

SQUEEZE_RATIO = 0.0625
BRANCH_BLOCKS = 3


class FullAveragePool(nn.Module):
    """Average over all frames and positions, of any clip; bit-equal to AvgPool3d with a kernel of the full size.

    AdaptiveAvgPool3d(1) sums in another order and differs from it in the last bit.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Average (B, C, T, y, x) to (B, C, 1, 1, 1)."""
        if torch.are_deterministic_algorithms_enabled():
            # On a GPU the gradient of the pool counts as not repeatable, and torch refuses it.
            return features.mean((-3, -2, -1), keepdim=True)
        return functional.avg_pool3d(features, features.shape[-3:])


class X3D(Backbone):
    """An X3D whose first `cut` blocks are the stem; parameters are named as in pytorchvideo's checkpoints.

    Two departures from its defaults: no softmax behind the classifier, and the fused SiLU for its own Swish, which is
    the same function rounded once less.
    """

    mean = (0.45, 0.45, 0.45)
    std = (0.225, 0.225, 0.225)
    frame_stride = 1
    stage_names = tuple(f"blocks.{place}" for place in range(5))
    classifier = "blocks.5.proj"

    def __init__(self, size: X3DSize, *, classes: int, cut: int = 4, clip_frames: int, clip_size: int, dropout: float = 0.5) -> None:
        super().__init__()
        if not 2 <= cut <= 5:
            raise ValueError(f"cut={cut} is not possible; it must be 2, 3, 4 or 5: after the first, second, third or last stage.")
        if clip_size < 32:
            raise ValueError(f"clip_size={clip_size} is not possible; X3D halves the picture five times and needs at least 32 pixels.")
        net = create_x3d(
            input_clip_length=clip_frames,
            input_crop_size=clip_size,
            model_num_class=classes,
            dropout_rate=dropout,
            width_factor=size.width_factor,
            depth_factor=size.depth_factor,
            se_ratio=SQUEEZE_RATIO,
            inner_act=nn.SiLU,
            head_dim_out=size.head_channels,
            head_activation=None,
        )
        net.blocks[-1].pool.pool = FullAveragePool()
        self.blocks: nn.ModuleList = net.blocks
        self.cut = cut
        self.stem_names = tuple(f"blocks.{place}" for place in range(cut))
        widths = [stage_widths(block) for block in self.blocks[1:5]]
        self.stage_channels = (widths[0][0], *(width[-1] for width in widths))

    def stem(self, clip: Tensor) -> Features:
        """Turn a normalised clip (B, 3, T, Y, X) into features (B, C, T, y, x)."""
        features = clip
        for block in self.blocks[: self.cut]:
            features = block(features)
        return (features,)

    def tail(self, features: Features) -> Tensor:
        """Turn features (B, C, T, y, x) into logits (B, K)."""
        (answer,) = features
        for block in self.blocks[self.cut :]:
            answer = block(answer)
        return answer

    def stages(self, features: Features) -> tuple[Tensor, ...]:
        """Return the stem's features and those behind each stage of the tail."""
        found = [features[0]]
        for block in self.blocks[self.cut : 5]:
            found.append(block(found[-1]))
        return tuple(found)

    def remove_head(self) -> None:
        """Take away the pool and the classifier."""
        self.blocks = self.blocks[:5]
        self.classifier = ""

    def branch_blocks(self, shape: Literal["next", "same"], *, pretrained: bool) -> tuple[nn.Module, int]:
        """Return three residual blocks at stride 1, shaped like the stage behind or before the cut, and their channels.

        With `pretrained` each starts as the stage's own block of the same shape; where the stage is too short for
        three, the others start afresh, as identities.
        """
        # Behind the last stage there is none to be like.
        stage: Any = self.blocks[self.cut if shape == "next" and self.cut < 5 else self.cut - 1]
        _, inner_channels, channels = stage_widths(stage)
        widths = [self.channels] + [channels] * (BRANCH_BLOCKS - 1)
        blocks = nn.Sequential(
            *(
                create_x3d_res_block(
                    dim_in=width,
                    dim_inner=inner_channels,
                    dim_out=channels,
                    conv_stride=(1, 1, 1),
                    se_ratio=SQUEEZE_RATIO if place % 2 == 0 else 0.0,
                    inner_act=nn.SiLU,
                )
                for place, width in enumerate(widths)
            )
        )
        init_net_weights(blocks)
        if pretrained:
            start = 0 if shape == "next" else last_aligned(len(stage.res_blocks))
            copy_matching(blocks, stage.res_blocks[start : start + BRANCH_BLOCKS])
        return blocks, channels


def stage_widths(stage: Any) -> tuple[int, int, int]:
    """Return the input, inner and output channels of a residual stage."""
    branch = stage.res_blocks[0].branch2
    return branch.conv_a.in_channels, branch.conv_a.out_channels, branch.conv_c.out_channels


def last_aligned(depth: int) -> int:
    """Return where the last three blocks begin that have squeeze-and-excitation in the first and third, as X3D alternates it."""
    return max(0, (depth - BRANCH_BLOCKS) // 2 * 2)


def copy_matching(blocks: Iterable[nn.Module], sources: Iterable[nn.Module]) -> None:
    """Copy each source block into the block at its place where all names and shapes agree."""
    for block, source in zip(blocks, sources, strict=False):
        state = source.state_dict()
        if {name: value.shape for name, value in state.items()} == {name: value.shape for name, value in block.state_dict().items()}:
            block.load_state_dict(state)


def build_x3d(name: str, *, classes: int, cut: int, clip_frames: int, clip_size: int, dropout: float) -> X3D:
    """Build the X3D of this name with random weights."""
    return X3D(X3D_SIZES[name], classes=classes, cut=cut, clip_frames=clip_frames, clip_size=clip_size, dropout=dropout)
