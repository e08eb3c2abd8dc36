"""Means over the views of a video and then over videos, the same to the last bit however they arrive."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric

NAME_BYTES = 64


class VideoMeans(Metric):
    """Means by name of what was measured of clips: over the views of each video, then over videos; NaN is left out.

    torchmetrics, because it gathers the states of all ranks, of which some saw fewer clips or none, moves them between devices, and
    resets, merges and pickles them; people's own loops and Lightning know its `update`, `compute`, `reset` and `merge_state`. What it
    has no metric for is this mean of means, for which all values are kept (less than a hundred bytes each).

    Values are sorted by video and view before they are summed in float64. Batches, their order and the number of ranks therefore change
    no bit, and a clip that came twice, as those do that fill the last batch of a rank, counts once.
    """

    full_state_update = False
    names: list[Tensor]
    videos: list[Tensor]
    views: list[Tensor]
    values: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        """Begin empty; `kwargs` are those of torchmetrics.Metric."""
        super().__init__(**kwargs)
        for state in ("names", "videos", "views", "values"):
            self.add_state(state, default=[], dist_reduce_fx="cat")

    def update(self, video_B: Tensor, values: Mapping[str, Tensor], view_B: Tensor | None = None) -> None:
        """Take values (B,) by name of clips of these videos; without `view_B` a video has one view, and counts once."""
        video_B = video_B.to(self.device, torch.int64)
        view_B = torch.zeros_like(video_B) if view_B is None else view_B.to(self.device, torch.int64)
        for name, value_B in values.items():
            if value_B.shape != video_B.shape or view_B.shape != video_B.shape:
                raise ValueError(f"{name} has {tuple(value_B.shape)} values for {tuple(video_B.shape)} videos; give one for each.")
            self.names.append(self.written(name).expand(len(video_B), NAME_BYTES))
            self.videos.append(video_B)
            self.views.append(view_B)
            self.values.append(value_B.detach().to(self.device, torch.float64))

    def written(self, name: str) -> Tensor:
        """Return a name as a tensor, since ranks exchange nothing else."""
        encoded = name.encode()
        if len(encoded) > NAME_BYTES or not encoded:
            raise ValueError(f"A value cannot be called {name!r}; names have 1 to {NAME_BYTES} bytes.")
        return torch.tensor(list(encoded.ljust(NAME_BYTES, b"\0")), dtype=torch.uint8, device=self.device)

    def compute(self) -> dict[str, float]:
        """Return the mean over videos by name; one without any value is absent."""
        return {name: float(np.mean(list(means.values()))) for name, means in self.means_by_video().items()}

    def per_video(self) -> dict[str, dict[int, float]]:
        """Return the mean of each video's views by name and video, of all ranks; a video without a value is absent."""
        with self.sync_context():
            return self.means_by_video()

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Gather the states of all ranks; one that saw nothing takes part with nothing of the right kind."""
        if not self.values:
            self.update(torch.empty(0), {"-": torch.empty(0)})
        super().sync(*args, **kwargs)

    def means_by_video(self) -> dict[str, dict[int, float]]:
        """Return the means of the states as they are."""
        if isinstance(self.values, list) and not self.values:
            return {}
        names, videos, views, values = (joined(state) for state in (self.names, self.videos, self.views, self.values))
        names = names.copy().view(f"S{NAME_BYTES}")[:, 0]
        found = {}
        for name in np.unique(names[~np.isnan(values)]):
            chosen = (names == name) & ~np.isnan(values)
            found[name.decode()] = means_of_views(videos[chosen], views[chosen], values[chosen])
        return found


def joined(state: list[Tensor] | Tensor) -> NDArray[Any]:
    """Return a state, which is one tensor after ranks were joined and a list before."""
    return (torch.cat(state) if isinstance(state, list) else state).cpu().numpy()


def means_of_views(videos: NDArray[Any], views: NDArray[Any], values: NDArray[Any]) -> dict[int, float]:
    """Return the mean over the views of each video; of a view that came twice, the lower value counts."""
    order = np.lexsort((values, views, videos))
    videos, views, values = videos[order], views[order], values[order]
    is_first = np.ones(len(values), bool)
    is_first[1:] = (videos[1:] != videos[:-1]) | (views[1:] != views[:-1])
    videos, values = videos[is_first], values[is_first]
    rows, starts, counts = np.unique(videos, return_index=True, return_counts=True)
    means = np.add.reduceat(values, starts) / counts
    return {int(row): float(mean) for row, mean in zip(rows, means, strict=True)}
