"""Numbers of maps added up by video: how sharp they are, and how well they meet objects."""

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from objabn.metrics.entropy import attention_entropy
from objabn.metrics.frames import flat_frames
from objabn.metrics.overlap import mask_iou
from objabn.metrics.pointing import pointing
from objabn.types import Batch, Output


class MapScores:
    """Adds up what is measured of the maps, by video."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.flat = np.zeros(len(names), np.int64)
        self.grid = (0, 0)
        self.views: dict[str, dict[int, list[NDArray[np.float64]]]] = {"entropy": {}, "mask_iou": {}, "pointing": {}}

    def add(self, batch: Batch, output: Output) -> None:
        """Take the maps of the views that are present."""
        if not batch.present.any():
            return
        maps_BNTYX = output.maps[batch.present]
        coverage_B1TYX, valid_B1T = batch.mask[batch.present][:, None], batch.mask_valid[batch.present][:, None]
        self.grid = (maps_BNTYX.shape[-2], maps_BNTYX.shape[-1])
        if maps_BNTYX.shape[2:] != coverage_B1TYX.shape[2:]:
            raise ValueError(
                f"The maps are {tuple(maps_BNTYX.shape[2:])} frames, rows and columns, the masks {tuple(coverage_B1TYX.shape[2:])}; "
                "build the loader with the data and model settings of the network."
            )
        iou_BN = maps_BNTYX.new_empty(maps_BNTYX.shape[:2])
        for place, name in enumerate(self.names):
            iou_BN[:, place] = mask_iou(maps_BNTYX[:, place], coverage_B1TYX[:, 0], valid_B1T[:, 0], complement=name == "M_b")
        measured = {
            "entropy": attention_entropy(maps_BNTYX).mean(-1),
            "mask_iou": iou_BN,
            "pointing": pointing(maps_BNTYX, coverage_B1TYX.expand_as(maps_BNTYX), valid_B1T.expand(maps_BNTYX.shape[:3])),
        }
        self.flat += flat_frames(maps_BNTYX).sum((0, 2)).cpu().numpy()
        videos = batch.video[batch.present].tolist()
        for quantity, values_BN in measured.items():
            for video, values_N in zip(videos, values_BN.double().cpu().numpy(), strict=True):
                self.views[quantity].setdefault(video, []).append(values_N)

    def of_video(self, quantity: str, video: int) -> NDArray[np.float64]:
        """Return (N,) means over the views that have a value; NaN where none has."""
        return mean_of_finite(np.stack(self.views[quantity][video]))

    def mean(self, quantity: str) -> dict[str, float]:
        """Return the mean over videos by map, for the maps that have one."""
        means_N = mean_of_finite(np.stack([self.of_video(quantity, video) for video in self.views[quantity]]))
        return self.named(means_N)

    def named(self, values_N: NDArray[np.float64]) -> dict[str, float]:
        """Return values by map name without those that are NaN."""
        return {name: float(value) for name, value in zip(self.names, values_N, strict=True) if not np.isnan(value)}


def merged_maps(parts: Iterable[MapScores]) -> MapScores:
    """Return what several ranks measured as one; each video has all its views on one of them."""
    first, *others = parts
    for other in others:
        first.grid = max(first.grid, other.grid)  # one that had no video knows none
        first.flat += other.flat
        for quantity, views in other.views.items():
            first.views[quantity] |= views
    return first


def mean_of_finite(values_MN: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of each column over its entries that are not NaN; NaN where there is none.

    Sums are rounded once, so that neither the order of videos nor neighbouring columns show.
    """
    columns = [column_M[~np.isnan(column_M)] for column_M in values_MN.T]
    return np.array([math.fsum(column) / len(column) if len(column) else np.nan for column in columns])
