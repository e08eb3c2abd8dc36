"""SlowFast (Feichtenhofer et al. 2019) as pytorchvideo builds it, cut into stem and tail."""

from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from objabn.models.backbone import Features
from objabn.models.blocks import STAGES, BlockBackbone, FullAveragePool, check_clip_size
from objabn.models.branch_blocks import plain_blocks
from objabn.models.pytorchvideo_builders import create_slowfast
from objabn.models.sizes import SLOWFAST_SIZES, VideoResNetSize
from objabn.models.video_resnet import residual_copies

FRAME_STRIDE = 4
"""The slow pathway sees one frame of so many, and what it is given of the fast pathway is convolved with this stride."""
CHANNEL_RATIO = 8
"""The slow pathway has so many times the channels of the fast one."""
FUSION_RATIO = 2
"""Of the fast pathway the slow one is given so many times its channels, beside its own."""


class PooledPathways(nn.Module):
    """Average each pathway over all frames and positions, and put them beside each other."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = FullAveragePool()

    def forward(self, pathways: Iterable[Tensor]) -> Tensor:
        """Turn (B, C, T', y, x) of each pathway into (B, C of all, 1, 1, 1)."""
        return torch.cat([self.pool(pathway) for pathway in pathways], 1)


class SlowFast(BlockBackbone):
    """Features are those of the slow pathway with what it was given of the fast one, and beside them those of the fast one.

    The slow pathway takes frames 0, 4, 8, ..., so that its convolutions over the fast one are centred on its own frames.
    pytorchvideo's demonstrations spread its frames evenly from the first to the last of the clip instead.
    """

    frame_stride = FRAME_STRIDE

    def __init__(self, size: VideoResNetSize, *, classes: int, cut: int = 4, dropout: float = 0.5) -> None:
        net = create_slowfast(
            model_depth=size.depth,
            model_num_class=classes,
            dropout_rate=dropout,
            stem_dim_outs=(size.channels, size.channels // CHANNEL_RATIO),
            slowfast_fusion_conv_kernel_size=(7, 1, 1),
            head_activation=None,
        )
        net.blocks[STAGES] = PooledPathways()
        for stage in net.blocks[:STAGES]:
            stage.inplace = False  # a list that is changed later is no output that a hook could keep
        super().__init__(net.blocks, cut=cut)
        slow = (size.channels, *(size.channels * 2**stage for stage in range(2, STAGES + 1)))
        # Behind the last stage the pathways meet in the pool.
        fused = tuple(channels + channels * FUSION_RATIO // CHANNEL_RATIO for channels in slow[:-1])
        self.stage_channels = (*fused, slow[-1])
        self.slow_channels = slow
        self.side_channels = (slow[cut - 1] // CHANNEL_RATIO,)

    def stem(self, clip: Tensor) -> Features:
        """Turn a normalised clip (B, 3, T, Y, X) into slow features (B, C, T / 4, y, x) and fast ones (B, D, T, y, x)."""
        return self.run([clip[:, :, ::FRAME_STRIDE], clip], 0, self.cut)[-1]

    def tail(self, features: Features) -> Tensor:
        """Turn slow and fast features into logits (B, K)."""
        for block in self.blocks[self.cut : STAGES]:
            features = block(list(features))
        pool, head = self.blocks[STAGES:]
        logits: Tensor = head(pool(features))
        return logits

    def stages(self, features: Features) -> tuple[Tensor, ...]:
        """Return the stem's slow features and those behind each stage of the tail."""
        return (features[0], *(slow for slow, *_ in self.run(list(features), self.cut, STAGES)))

    def run(self, pathways: list[Tensor], start: int, end: int) -> list[Features]:
        """Run the stages from `start` to before `end`, and return the pathways behind each."""
        found = []
        for block in self.blocks[start:end]:
            pathways = block(pathways)
            found.append(tuple(pathway for pathway in pathways if pathway is not None))
        return found

    def remove_head(self) -> None:
        """Take away the pool and the classifier, and of the fast pathway the last stage, which nothing else sees."""
        super().remove_head()
        last: Any = self.blocks[-1]
        last.multipathway_blocks[1] = None
        self.side_channels = self.side_channels if self.cut < STAGES else ()

    def branch_blocks(self, shape: Literal["next", "same"], *, pretrained: bool) -> tuple[nn.Module, int]:
        """Return three residual blocks at stride 1, copies of the slow pathway's behind the cut, and their channels.

        No stage gives the fused channels that it takes, so blocks of the `same` shape are plain bottlenecks; behind the last
        stage, where nothing is fused, they are copies of the stage's own.
        """
        if shape == "same" and self.cut < STAGES:
            return plain_blocks(self.channels, self.channels, (1, 3, 3)), self.channels
        place = min(self.cut, STAGES - 1)
        stage: Any = self.blocks[place]
        slow = stage.multipathway_blocks[0].res_blocks
        return residual_copies(slow, is_next=self.cut < STAGES, pretrained=pretrained), self.slow_channels[place]

    def volume(self, output: Any, clips: int) -> Tensor:
        """Return the slow pathway of what a stage gave."""
        del clips
        slow: Tensor = output[0]
        return slow


def build_slowfast(name: str, *, classes: int, cut: int, clip_frames: int, clip_size: int, dropout: float) -> SlowFast:
    """Build the SlowFast of this name with random weights."""
    del clip_frames  # any number will do
    check_clip_size(clip_size, name)
    return SlowFast(SLOWFAST_SIZES[name], classes=classes, cut=cut, dropout=dropout)
