"""Vision transformers of timm (Dosovitskiy et al. 2021) as backbones for clips: tokens are put on the grid of their patches."""

from typing import Any, Literal

from timm.layers import resample_abs_pos_embed
from torch import Tensor, cat, nn

from objabn.models.backbone import Backbone, Features
from objabn.models.branch_blocks import plain_blocks
from objabn.models.per_frame import fold_frames, unfold_frames

QUARTERS = 4


class TimmTransformer(Backbone):
    """A vision transformer, each frame by itself, cut behind a quarter, half, three quarters or all of its blocks.

    Patches keep their size from the first block to the last, so one cut alone has the grid that it promises: 4 for patches of 16
    pixels, behind three quarters of the blocks. Class and register tokens go by the maps: features are (B, C, T, y, x) and, beside
    them, (B * T, tokens, C). `embedding` and `network` are timm's network twice; of each only one part is kept.
    """

    frame_stride = 1

    def __init__(self, embedding: Any, network: Any, name: str, *, cut: int, clip_size: int) -> None:
        super().__init__()
        self.grid: tuple[int, int] = tuple(network.patch_embed.grid_size)
        refuse_other_grid(self.grid, name, cut=cut, clip_size=clip_size)
        self.embedding = keep_embedding(embedding)
        self.network = keep_blocks(network)
        self.cut, self.clip_size = cut, clip_size
        self.mean, self.std = network.pretrained_cfg["mean"], network.pretrained_cfg["std"]
        self.ends = tuple(-(-len(network.blocks) * quarter // QUARTERS) for quarter in range(QUARTERS + 1))
        self.stage_names = ("embedding.norm_pre", *(f"network.blocks.{end - 1}" for end in self.ends[1:]))
        self.stage_channels = (network.embed_dim,) * (QUARTERS + 1)
        self.stem_names = ("embedding", *(f"network.blocks.{place}" for place in range(self.ends[cut - 1])))
        self.classifier = "network.head"

    @property
    def explained_name(self) -> str:
        """Name of the block before the last: behind the last attention the answer may depend on the class token alone."""
        return f"network.blocks.{self.ends[-1] - 2}"

    def stem(self, clip: Tensor) -> Features:
        """Turn a normalised clip (B, 3, T, Y, X) into features (B, C, T, y, x) and tokens of no place (B * T, P, C)."""
        if tuple(clip.shape[-2:]) != (self.clip_size, self.clip_size):
            rows, columns = clip.shape[-2:]
            raise ValueError(
                f"Pictures of {rows} x {columns} pixels cannot be read; this transformer was built for {self.clip_size} x {self.clip_size}."
            )
        tokens = self.run(self.embedding.forward_features(fold_frames(clip)), 0, self.cut - 1)
        return self.volume(tokens, clip.shape[0]), tokens[:, : self.places_start(tokens)]

    def tail(self, features: Features) -> Tensor:
        """Turn features into logits (B, K), the mean of those of the frames."""
        clips, _, frames = features[0].shape[:3]
        tokens = self.run(self.tokens(features), self.cut - 1, QUARTERS)
        logits: Tensor = self.network.forward_head(self.network.norm(tokens)).unflatten(0, (clips, frames)).mean(1)
        return logits

    def stages(self, features: Features) -> tuple[Tensor, ...]:
        """Return the stem's features and those behind each quarter of the blocks from there on."""
        tokens, found = self.tokens(features), [features[0]]
        for quarter in range(self.cut - 1, QUARTERS):
            tokens = self.run(tokens, quarter, quarter + 1)
            found.append(self.volume(tokens, features[0].shape[0]))
        return tuple(found)

    def run(self, tokens: Tensor, start: int, end: int) -> Tensor:
        """Run the blocks from one quarter to another."""
        for block in self.network.blocks[self.ends[start] : self.ends[end]]:
            tokens = block(tokens)
        return tokens

    def tokens(self, features: Features) -> Tensor:
        """Put features back into a row of tokens (B * T, P + y * x, C)."""
        return cat((features[1], fold_frames(features[0]).flatten(2).transpose(1, 2)), dim=1)

    def places_start(self, tokens: Tensor) -> int:
        """Return how many tokens stand before those of the patches."""
        return tokens.shape[1] - self.grid[0] * self.grid[1]

    def volume(self, output: Any, clips: int) -> Tensor:
        """Return the tokens of the patches as (B, C, T, y, x)."""
        # A copy: with the strides of a view of one picture the backward pass of PyTorch 2.15's batch norm goes wrong.
        pictures = output[:, self.places_start(output) :].transpose(1, 2).unflatten(2, self.grid).contiguous()
        return unfold_frames(pictures, clips, pictures.shape[0] // clips)

    def remove_head(self) -> None:
        """Put nothing in the place of what is behind the last block."""
        self.network.norm = self.network.fc_norm = self.network.head = nn.Identity()
        self.network.attn_pool = None
        self.classifier = ""

    def adapt_weights(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Put timm's tensors below the part that holds them, and stretch what it learnt of places over another grid."""
        of_embedding = self.embedding.state_dict()
        found = dict(state)
        own = of_embedding.get("pos_embed")
        if own is not None and "pos_embed" in found and found["pos_embed"].shape != own.shape:
            prefix = 0 if self.network.no_embed_class else self.network.num_prefix_tokens
            found["pos_embed"] = resample_abs_pos_embed(found["pos_embed"], new_size=list(self.grid), num_prefix_tokens=prefix)
        return {f"{'embedding' if name in of_embedding else 'network'}.{name}": value for name, value in found.items()}

    def branch_blocks(self, shape: Literal["next", "same"], *, pretrained: bool) -> tuple[nn.Module, int]:
        """Return three plain bottlenecks, as a transformer has no residual blocks of convolutions, and their channels."""
        del shape, pretrained
        return plain_blocks(self.channels, self.channels, (1, 3, 3)), self.channels


def refuse_other_grid(grid: tuple[int, int], name: str, *, cut: int, clip_size: int) -> None:
    """Raise ValueError where the patches are not the picture halved `cut` times, with the cut for which they are, if there is one."""
    sides = {other: -(-clip_size // 2**other) for other in range(2, 6)}
    if grid != (sides[cut], sides[cut]):
        fitting = [f"cut={other}" for other, side in sides.items() if grid == (side, side)]
        raise ValueError(
            f"{name} has {grid[0]} x {grid[1]} patches in pictures of {clip_size} pixels, where cut={cut} means "
            f"{sides[cut]} x {sides[cut]}; choose {' or '.join(fitting) or 'another backbone'}."
        )


def keep_embedding(transformer: Any) -> Any:
    """Leave of a transformer what makes tokens of pictures, so that its `forward_features` ends before the first block."""
    transformer.blocks = nn.Sequential()
    transformer.norm = transformer.fc_norm = transformer.head = nn.Identity()
    transformer.attn_pool = None
    return transformer


def keep_blocks(transformer: Any) -> Any:
    """Leave of a transformer its blocks and its head."""
    transformer.patch_embed = transformer.norm_pre = nn.Identity()
    transformer.cls_token = transformer.reg_token = transformer.pos_embed = None
    return transformer
