"""What is counted and averaged when maps are compared with boxes; a frame counts as often as a clip shows it."""

import dataclasses
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from objabn.localisation.protocols import IOU_THRESHOLDS

Flags = NDArray[np.bool_]


class ClipTruth(NamedTuple):
    """The boxes of one clip."""

    boxes: NDArray[np.float64]
    """(actors, T, 4) in pixels of the canvas, cut at the crop; NaN where there is none or it lies outside."""
    is_annotated: Flags
    """(T,) the frame has a box, inside the crop or not."""
    boxes_outside: int
    """Boxes of which nothing is in the crop."""

    @property
    def is_used(self) -> Flags:
        """Return (T,) which frames have a box in the crop."""
        return np.any(~np.isnan(self.boxes[..., 0]), axis=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class MapLocalisation:
    """How well one map meets the boxes: shares from 0 to 1."""

    mean_iou: float
    """Over the frames with a box, 0 where nothing is found."""
    hits: dict[str, float]
    """Share of these frames with at least this overlap."""
    pointing: float
    """Share of these frames whose highest pixel is in a box."""
    empty_frames: int
    """Frames with a box in which nothing is found."""
    temporal_recall: float
    """Share of a clip's annotated frames that are chosen, mean over the clips that have such frames."""
    temporal_precision: float | None
    """Share of a clip's chosen frames that are annotated, mean over those of the same clips in which any is chosen; None if in none."""
    temporal_hits: float | None
    """Share of the clips that are hits in time, where the protocol knows such."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Localisation:
    """The numbers of a `Localiser`."""

    protocol: str
    note: str
    """What this protocol does differently."""
    videos: int
    """Videos with boxes."""
    videos_without_boxes: int
    clips: int
    """Views of these videos."""
    frames: int
    """Frames of these clips with a box in the crop: those that count in space."""
    frames_without_box: int
    frames_outside_crop: int
    """Frames all of whose boxes lie outside the crop; they count in time only."""
    boxes_outside_crop: int
    maps: dict[str, MapLocalisation]

    def to_dict(self) -> dict[str, Any]:
        """Return what evaluation.json holds, without what is absent."""
        values = dataclasses.asdict(self)
        values["maps"] = {name: {key: v for key, v in found.items() if v is not None} for name, found in values["maps"].items()}
        return values


class TruthCounts:
    """Counts the clips and frames that were compared and those that could not be."""

    def __init__(self) -> None:
        self.videos: set[int] = set()
        self.videos_without_boxes: set[int] = set()
        self.clips = self.frames = self.frames_without_box = self.frames_outside_crop = self.boxes_outside_crop = 0

    def add(self, video: int, truth: ClipTruth) -> None:
        """Take one clip."""
        self.videos.add(video)
        self.clips += 1
        self.frames += int(truth.is_used.sum())
        self.frames_without_box += int((~truth.is_annotated).sum())
        self.frames_outside_crop += int((truth.is_annotated & ~truth.is_used).sum())
        self.boxes_outside_crop += truth.boxes_outside


class MapScores:
    """Adds up what one map does, frame by frame and clip by clip."""

    def __init__(self) -> None:
        self.iou: list[NDArray[np.float64]] = []
        self.is_counted: list[Flags] = []
        self.is_pointing: list[Flags] = []
        self.empty_frames = 0
        self.recall: list[float] = []
        self.precision: list[float] = []
        self.is_temporal_hit: list[bool] = []

    def add_frames(self, iou: NDArray[np.float64], is_pointing: Flags, *, is_counted: bool) -> None:
        """Take the frames of a clip that have a box; an overlap is NaN where nothing was found, and a miss where it is not counted."""
        self.empty_frames += int(np.isnan(iou).sum())
        self.iou.append(np.nan_to_num(iou))
        self.is_counted.append(np.full(len(iou), is_counted))
        self.is_pointing.append(is_pointing)

    def add_clip(self, is_chosen: Flags, is_annotated: Flags, *, is_right: bool, recall_to_hit: float | None) -> None:
        """Take the frames that a clip's weights choose; a clip without annotated frames says nothing."""
        if not is_annotated.any():
            return
        both = int((is_chosen & is_annotated).sum())
        self.recall.append(both / int(is_annotated.sum()))
        if is_chosen.any():
            self.precision.append(both / int(is_chosen.sum()))
        if recall_to_hit is not None:
            self.is_temporal_hit.append(is_right and self.recall[-1] > recall_to_hit)

    def result(self) -> MapLocalisation:
        """Return the means; there must have been a frame with a box."""
        iou, is_counted = np.concatenate(self.iou), np.concatenate(self.is_counted)
        return MapLocalisation(
            mean_iou=float(iou.mean()),
            hits={str(threshold): float(((iou >= threshold) & is_counted).mean()) for threshold in IOU_THRESHOLDS},
            pointing=float(np.concatenate(self.is_pointing).mean()),
            empty_frames=self.empty_frames,
            temporal_recall=float(np.mean(self.recall)),
            temporal_precision=float(np.mean(self.precision)) if self.precision else None,
            temporal_hits=float(np.mean(self.is_temporal_hit)) if self.is_temporal_hit else None,
        )
