"""Multiscale vision transformers (Fan et al. 2021) as pytorchvideo builds them: tokens are put on the grid of their places."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from objabn.models.backbone import Backbone, Features, check_cut
from objabn.models.blocks import BlockBackbone, check_clip_size
from objabn.models.branch_blocks import plain_blocks
from objabn.models.pytorchvideo_builders import create_multiscale_vision_transformers
from objabn.models.sizes import MVIT_SIZES, MViTSize

PATCH_STRIDE_TYX = (2, 4, 4)
KEY_STRIDE_YX = 8
"""Keys and values of the first scale are so many times coarser than its queries; each further scale halves that."""


class MViT(Backbone):
    """A multiscale vision transformer, cut before the block where a new scale begins, or behind the last one.

    The class token goes by the maps: features are (B, C, T / 2, y, x) and, beside them, (B, 1, C). What it learnt of places is for
    one size of clip, so it reads no other. Parameters are named as in pytorchvideo's checkpoints.
    """

    mean, std = BlockBackbone.mean, BlockBackbone.std
    frame_stride = PATCH_STRIDE_TYX[0]
    classifier = "head.proj"

    def __init__(self, size: MViTSize, *, classes: int, cut: int = 4, clip_frames: int, clip_size: int, dropout: float = 0.5) -> None:
        super().__init__()
        check_cut(cut)
        self.cut = cut
        self.clip_TYX = (clip_frames, clip_size, clip_size)
        # Patches overlap the edge, so that their number is rounded up; pytorchvideo, which rounds down, is told of whole ones.
        self.grid_TYX = tuple(-(-side // stride) for side, stride in zip(self.clip_TYX, PATCH_STRIDE_TYX, strict=True))
        net = create(size, self.grid_TYX, classes=classes, dropout=dropout)
        self.patch_embed = net.patch_embed
        self.cls_positional_encoding = net.cls_positional_encoding
        self.blocks: Any = net.blocks
        self.norm_embed = net.norm_embed
        self.head = net.head
        self.ends = (0, *size.scales, size.depth)
        self.stage_names = ("patch_embed", *(f"blocks.{end - 1}" for end in self.ends[1:]))
        self.stage_channels = (size.channels, *(self.blocks[end - 1].dim_out for end in self.ends[1:]))
        self.stem_names = ("patch_embed", "cls_positional_encoding", *(f"blocks.{place}" for place in range(self.ends[cut - 1])))

    @property
    def explained_name(self) -> str:
        """Name of the block before the last: behind the last attention the answer depends on the class token alone."""
        return f"blocks.{len(self.blocks) - 2}"

    def stem(self, clip: Tensor) -> Features:
        """Turn a normalised clip (B, 3, T, Y, X) into features (B, C, T / 2, y, x) and the class token (B, 1, C)."""
        if tuple(clip.shape[2:]) != self.clip_TYX:
            given, built = (" x ".join(map(str, sides)) for sides in (clip.shape[2:], self.clip_TYX))
            raise ValueError(f"A clip of {given} cannot be read; this transformer was built for {built} (frames, rows, columns).")
        tokens = self.cls_positional_encoding(self.patch_embed(clip))
        return on_grid(*self.run(tokens, list(self.grid_TYX), 0, self.ends[self.cut - 1]))

    def tail(self, features: Features) -> Tensor:
        """Turn features and class token into logits (B, K)."""
        tokens, _ = self.run(*in_row(features), self.ends[self.cut - 1], len(self.blocks))
        logits: Tensor = self.head(self.norm_embed(tokens))
        return logits

    def stages(self, features: Features) -> tuple[Tensor, ...]:
        """Return the stem's features and those behind each scale from there on."""
        (tokens, grid_TYX), found = in_row(features), [features[0]]
        for start, end in zip(self.ends[self.cut - 1 : -1], self.ends[self.cut :], strict=True):
            tokens, grid_TYX = self.run(tokens, grid_TYX, start, end)
            found.append(on_grid(tokens, grid_TYX)[0])
        return tuple(found)

    def run(self, tokens: Tensor, grid_TYX: list[int], start: int, end: int) -> tuple[Tensor, list[int]]:
        """Run the blocks from `start` to before `end`; return the tokens and the grid of their places."""
        for block in self.blocks[start:end]:
            tokens, grid_TYX = block(tokens, grid_TYX)
        return tokens, grid_TYX

    def volume(self, output: Any, clips: int) -> Tensor:
        """Return the tokens that a block or the first convolution gave as (B, C, T', y, x)."""
        del clips
        if isinstance(output, Tensor):
            return output.transpose(1, 2).unflatten(2, self.grid_TYX)
        return on_grid(*output)[0]

    def remove_head(self) -> None:
        """Take away the last norm and the classifier."""
        del self.norm_embed, self.head
        self.classifier = ""

    def branch_blocks(self, shape: Literal["next", "same"], *, pretrained: bool) -> tuple[nn.Module, int]:
        """Return three plain bottlenecks, as a transformer has no residual blocks of convolutions, and their channels."""
        del pretrained
        channels = self.stage_channels[self.cut] if shape == "next" and self.cut < len(self.ends) else self.channels
        return plain_blocks(self.channels, channels, (3, 3, 3)), channels


def on_grid(tokens: Tensor, grid_TYX: list[int]) -> Features:
    """Put tokens (B, 1 + T * y * x, C) on their grid (B, C, T, y, x), and the class token (B, 1, C) beside it."""
    # A copy: with the strides of a view of one clip the backward pass of PyTorch 2.15's batch norm goes wrong.
    return tokens[:, 1:].transpose(1, 2).unflatten(2, grid_TYX).contiguous(), tokens[:, :1]


def in_row(features: Features) -> tuple[Tensor, list[int]]:
    """Put features back into a row of tokens behind the class token; return them and the grid of their places."""
    grid, class_token = features
    return torch.cat((class_token, grid.flatten(2).transpose(1, 2)), dim=1), list(grid.shape[2:])


def create(size: MViTSize, grid_TYX: tuple[int, ...], *, classes: int, dropout: float) -> Any:
    """Have pytorchvideo build the network for this grid of patches."""
    frames, side, _ = (count * stride for count, stride in zip(grid_TYX, PATCH_STRIDE_TYX, strict=True))
    place = torch.get_default_device()
    # It reckons with tensors, which must have values even where the weights need none.
    with torch.device("cpu"):
        net = create_multiscale_vision_transformers(
            spatial_size=side,
            temporal_size=frames,
            depth=size.depth,
            patch_embed_dim=size.channels,
            num_heads=size.heads,
            embed_dim_mul=[[scale, 2.0] for scale in size.scales],
            atten_head_mul=[[scale, 2.0] for scale in size.scales],
            pool_q_stride_size=[[scale, 1, 2, 2] for scale in size.scales],
            pool_kv_stride_adaptive=[1, KEY_STRIDE_YX, KEY_STRIDE_YX],
            pool_kvq_kernel=[3, 3, 3],
            head_dropout_rate=dropout,
            head_activation=None,
            head_num_classes=classes,
        )
    return net.to(place)


def build_mvit(name: str, *, classes: int, cut: int, clip_frames: int, clip_size: int, dropout: float) -> MViT:
    """Build the MViT of this name with random weights."""
    check_clip_size(clip_size, name)
    return MViT(MVIT_SIZES[name], classes=classes, cut=cut, clip_frames=clip_frames, clip_size=clip_size, dropout=dropout)
