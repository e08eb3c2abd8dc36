"""X3D (Feichtenhofer 2020) as pytorchvideo builds it, cut into stem and tail."""

from collections.abc import Iterable
from typing import Any, Literal

from torch import nn

from objabn.models.blocks import BlockBackbone, FullAveragePool, check_clip_size
from objabn.models.branch_blocks import BRANCH_BLOCKS
from objabn.models.pytorchvideo_builders import create_x3d, create_x3d_res_block, init_net_weights
from objabn.models.sizes import X3D_SIZES, X3DSize

SQUEEZE_RATIO = 0.0625


class X3D(BlockBackbone):
    """An X3D whose first `cut` blocks are the stem; parameters are named as in pytorchvideo's checkpoints.

    Two departures from its defaults: no softmax behind the classifier, and the fused SiLU for its own Swish, which is
    the same function rounded once less.
    """

    frame_stride = 1

    def __init__(self, size: X3DSize, *, classes: int, cut: int = 4, clip_frames: int, clip_size: int, dropout: float = 0.5) -> None:
        check_clip_size(clip_size, "X3D")
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
        # One value of each class is left by then, and torch.compile fails on a CPU at the gradient of a pool over it (pytorch#196570).
        net.blocks[-1].output_pool = nn.Identity()
        super().__init__(net.blocks, cut=cut)
        widths = [stage_widths(block) for block in self.blocks[1:5]]
        self.stage_channels = (widths[0][0], *(width[-1] for width in widths))

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
