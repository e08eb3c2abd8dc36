"""What a network answers when somebody else draws its maps: an edited map shows what it goes by (Mitsuhara et al. 2019)."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from objabn.models.branch_network import BranchNetwork
from objabn.models.gated_network import GatedNetwork
from objabn.models.network import AttentionNetwork, evaluating
from objabn.models.spatio_temporal import SpatioTemporalGate
from objabn.types import Output

Maps = Tensor | Mapping[str, Tensor]
"""All maps of clips, (B, N, T, y, x) as `Output.maps` has them, or some by name, (B, T, y, x); the others stay the network's own."""


def answer_with_maps(net: nn.Module, clip: Tensor, maps: Maps) -> Output:
    """Return what a network answers to clips (B, 3, T, Y, X) with these maps in the place of its own: see `Intervention`."""
    return Intervention(net, clip).answer(maps)


class Intervention:
    """Clips as far as a network sees them before its maps gate anything; an answer to other maps costs only what lies behind.

    `own` is the answer to its own maps, to the bit what `net(clip)` is. What does not hang on maps stays: weights of frames that
    a branch gives, its class scores and its features. Maps are in [0, 1]; others are taken as they are. Gradients reach the maps
    that are given and the weights behind them, not those before. The network evaluates, and gets its modes back.
    """

    def __init__(self, net: nn.Module, clip: Tensor) -> None:
        if not isinstance(net, BranchNetwork | GatedNetwork) or not net.map_names:
            raise ValueError(f"{type(net).__name__} draws no maps that gate its features, so none can be put in their place.")
        self.net: AttentionNetwork = net
        self.perceive: Callable[[Sequence[Tensor]], Output]
        frames = clip.shape[2]
        with torch.no_grad(), evaluating(net):
            features = net.backbone.stem(net.normalize(clip.to(net.pixel_mean.device)))
            if isinstance(net, GatedNetwork):
                stages = net.backbone.stages(features)
                self.drawn = net.draw(stages)
                self.perceive = partial(net.answer_by, stages, frames=frames)
            else:
                attention = net.branch(features[0])
                self.drawn = list(attention.maps.split(1, 1))
                self.perceive = lambda maps: net.answer_by(features, attention._replace(maps=torch.cat(list(maps), 1)), frames=frames)
            self.own: Output = self.perceive(self.drawn)

    @property
    def drawn_frames(self) -> tuple[int, ...]:
        """Frames that each map has before it is given to those of the clip; fewer where a backbone merges frames."""
        return tuple(drawn.shape[2] for drawn in self.drawn)

    @property
    def open_value(self) -> float:
        """The value at which a map lets features pass as they are: 1 in a product h * M, 0 in a residual h * (1 + M)."""
        gate = self.net.gating if isinstance(self.net, GatedNetwork) else self.net.gate
        return 0.0 if isinstance(gate, SpatioTemporalGate) or getattr(gate, "is_residual", False) else 1.0

    def answer(self, maps: Maps) -> Output:
        """Answer by these maps; ValueError for unknown names and other shapes than those of `own.maps`.

        Where one drawn frame stands for several of the clip, it takes the mean of theirs. A stage of a gated network whose grid is
        coarser takes the map that, enlarged, is nearest to the one given (by least squares), kept in [0, 1].
        """
        given = self.by_place(maps)
        with evaluating(self.net):
            return self.perceive([self.as_drawn(place, given[place]) if place in given else own for place, own in enumerate(self.drawn)])

    def by_place(self, maps: Maps) -> dict[int, Tensor]:
        """Return the given maps by their place among all, each (B, 1, T, y, x)."""
        names, (clips, _, *shape_Tyx) = self.net.map_names, self.own.maps.shape
        if isinstance(maps, Tensor):
            expected: list[int] = list(self.own.maps.shape)
            refuse_other_shape(maps, expected, "All maps together")
            return dict(enumerate(maps.split(1, 1)))
        for name, values in maps.items():
            if name not in names:
                raise ValueError(f"There is no map {name!r}; this network draws {', '.join(names)}.")
            refuse_other_shape(values, [clips, *shape_Tyx], f"A map such as {name}")
        return {names.index(name): values[:, None] for name, values in maps.items()}

    def as_drawn(self, place: int, given_B1Tyx: Tensor) -> Tensor:
        """Return a map (B, 1, T, y, x) with the frames and on the grid that the network draws it with."""
        drawn, shown = self.drawn[place], self.own.maps[:, place : place + 1]
        given_B1Tyx = given_B1Tyx.to(drawn)
        if drawn.shape[3:] == shown.shape[3:]:
            return for_each_drawn_frame(given_B1Tyx, drawn.shape[2])
        # Only what was changed goes through the rounding of both ways.
        change = for_each_drawn_frame(given_B1Tyx - shown, drawn.shape[2])
        return (drawn + reduced(change, drawn.shape[3:])).clamp(0, 1)


def refuse_other_shape(values: Tensor, expected: Sequence[int], what: str) -> None:
    """Raise ValueError unless values have a shape."""
    if list(values.shape) != list(expected):
        raise ValueError(f"{what} must be {tuple(expected)} for these clips, as in the network's output, not {tuple(values.shape)}.")


def for_each_drawn_frame(values_B1Tyx: Tensor, count: int) -> Tensor:
    """Give each of `count` frames the mean of the clip's frames that it stands for: what `for_each_frame` does, the other way."""
    frames = values_B1Tyx.shape[2]
    if count == frames:
        return values_B1Tyx
    groups = [values_B1Tyx[:, :, group] for group in frame_groups(frames, count)]
    # As the first and the mean distance from it: equal frames then give their own value to the bit.
    return torch.cat([group[:, :, :1] + (group - group[:, :, :1]).mean(2, keepdim=True) for group in groups], 2)


def frame_groups(frames: int, count: int) -> list[list[int]]:
    """Return which of the clip's frames each of `count` drawn frames stands for."""
    groups: list[list[int]] = [[] for _ in range(count)]
    for frame in range(frames):
        groups[frame * count // frames].append(frame)
    return groups


def reduced(values: Tensor, size_yx: Sequence[int]) -> Tensor:
    """Return the (..., y', x') values which, enlarged bilinearly, are nearest to the given (..., y, x) by least squares."""
    rows, columns = (enlargement(small, large).to(values) for small, large in zip(size_yx, values.shape[-2:], strict=True))
    return torch.linalg.pinv(rows) @ values @ torch.linalg.pinv(columns).mT


def enlargement(small: int, large: int) -> Tensor:
    """Return the matrix (large, small) of linear enlargement along one axis, in double precision."""
    ends = torch.eye(small, dtype=torch.float64)[None]
    return functional.interpolate(ends, large, mode="linear", align_corners=False)[0].mT
