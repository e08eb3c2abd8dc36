"""Maps against boxes while a network is evaluated: frame by frame in space, clip by clip in time."""

from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from objabn.config import Config
from objabn.data.boxes import Boxes, Tube, boxes_in_crop, boxes_of_frames
from objabn.data.dataset import PackedDataset
from objabn.data.sampling import evaluation_plan, frame_size
from objabn.explainers import METHODS, explain
from objabn.localisation.overlap import box_iou, highest_points, is_within
from objabn.localisation.protocols import find_protocol
from objabn.localisation.regions import boxes_around, enlarged_maps, found_pixels
from objabn.localisation.scores import ClipTruth, Localisation, MapScores, TruthCounts
from objabn.models.network import AttentionNetwork
from objabn.types import Batch, Output

EXPLAINERS = tuple(name for name in METHODS if name != "attention")
"""Methods of `objabn.explain` that may stand for a map, each explaining the predicted class."""


class Localiser:
    """Compares maps with boxes by one protocol; `add` is the `on_batch` of `objabn.evaluate`, `result` gives the numbers so far.

    `maps` are names of the network's own or of `EXPLAINERS`; none means all its own. `config` and `subset` are those of the loader. Raises
    ValueError for an unknown protocol or map, and where no video of the subset has boxes.
    """

    def __init__(
        self,
        net: AttentionNetwork,
        dataset: PackedDataset,
        config: Config,
        boxes: Boxes,
        *,
        subset: str = "test",
        protocol: str = "objabn",
        maps: Sequence[str] = (),
    ) -> None:
        self.net, self.index = net, dataset.index
        self.name, self.protocol = protocol, find_protocol(protocol)
        for name in maps:
            if name not in (*net.map_names, *EXPLAINERS):
                raise ValueError(f"There is no map {name!r}; choose of {', '.join((*net.map_names, *EXPLAINERS))}.")
        if not (maps or net.map_names):
            raise ValueError(f"System {net.config.system} draws no maps of its own; choose of {', '.join(EXPLAINERS)}.")
        self.scores = {name: MapScores() for name in maps or net.map_names}
        self.counts = TruthCounts()
        rows = self.index.rows(subset, fold=config.data.fold, val_fraction=config.data.val_fraction)
        self.tubes = self.find_tubes(rows, boxes)
        plan = evaluation_plan(self.index, rows, config.data)
        self.roi = dict(zip(zip(plan.video.tolist(), plan.view.tolist(), strict=True), plan.roi, strict=True))
        self.canvas_size = self.protocol.canvas_size or (config.data.crop_size, config.data.crop_size)

    def find_tubes(self, rows: NDArray[np.int64], boxes: Boxes) -> dict[int, tuple[Tube, ...]]:
        """Return the tubes to compare with, by row of the index."""
        count = 1 if self.protocol.tubes == "first" else None
        names = {row: str(PurePosixPath(self.index.name(row)).with_suffix("")) for row in rows.tolist()}
        found = {row: boxes[name][:count] for row, name in names.items() if boxes.get(name)}
        if not found:
            raise ValueError(
                f"None of {len(names)} videos has boxes; they have names like {next(iter(names.values()))}, those with boxes "
                f"like {next(iter(boxes), 'none at all')}."
            )
        return found

    def add(self, batch: Batch, output: Output) -> None:
        """Take the clips that are present and whose videos have boxes."""
        videos, views = batch.video.tolist(), batch.view.tolist()
        present = batch.present.nonzero()[:, 0].tolist()
        rows = [row for row in present if videos[row] in self.tubes]
        self.counts.videos_without_boxes.update(videos[row] for row in present if videos[row] not in self.tubes)
        if not rows:
            return
        is_right_B = (output.logits.argmax(1) == batch.label).tolist()
        truths = [self.truth(videos[row], views[row], batch.frames[row].cpu().numpy()) for row in rows]
        for row, truth in zip(rows, truths, strict=True):
            self.counts.add(videos[row], truth)
        for name, scores in self.scores.items():
            maps_BTYX, weights_BT = self.maps_of(name, batch.clip[rows], output, rows)
            for row, truth, maps_TYX, weights_T in zip(rows, truths, maps_BTYX, weights_BT.double().cpu().numpy(), strict=True):
                self.compare(scores, maps_TYX, truth, is_right=is_right_B[row])
                is_chosen = weights_T > self.protocol.weight_factor * weights_T.mean()
                limit = self.protocol.recall_to_hit
                scores.add_clip(is_chosen, truth.is_annotated, is_right=is_right_B[row], recall_to_hit=limit)

    def truth(self, video: int, view: int, frames: NDArray[np.int64]) -> ClipTruth:
        """Return the boxes of one clip on the canvas of the protocol."""
        boxes = boxes_of_frames(self.tubes[video], frames)
        height, width = frame_size(self.index, np.array([video]))[0].tolist()
        inside = boxes_in_crop(boxes, self.roi[video, view], (height, width))
        is_box, is_inside = ~np.isnan(boxes[..., 0]), ~np.isnan(inside[..., 0])
        return ClipTruth(inside * np.tile(self.canvas_size[::-1], 2), np.any(is_box, axis=0), int((is_box & ~is_inside).sum()))

    def maps_of(self, name: str, clip_BCTYX: Tensor, output: Output, rows: list[int]) -> tuple[Tensor, Tensor]:
        """Return a map (B, T, y, x) of these clips and the weights (B, T) of their frames: the network's own, else each frame's mean."""
        if name in EXPLAINERS:
            maps_BTYX = explain(self.net, clip_BCTYX, method=name).maps[:, 0]
            return maps_BTYX, maps_BTYX.mean((2, 3))
        maps_BTYX = output.maps[rows, self.net.map_names.index(name)]
        return maps_BTYX, maps_BTYX.mean((2, 3)) if output.frame_weights is None else output.frame_weights[rows]

    def compare(self, scores: MapScores, maps_TYX: Tensor, truth: ClipTruth, *, is_right: bool) -> None:
        """Compare the frames of a clip that have a box."""
        used = np.flatnonzero(truth.is_used)
        if not len(used):
            return
        canvas_TYX = enlarged_maps(maps_TYX[used.tolist()], self.protocol, self.canvas_size)
        found_T4 = boxes_around(found_pixels(canvas_TYX, self.protocol).cpu().numpy(), self.protocol.regions)
        boxes_KT4 = truth.boxes[:, used]
        iou_KT = box_iou(found_T4, boxes_KT4, added_pixels=self.protocol.added_pixels)
        points_T2 = highest_points(canvas_TYX.cpu().numpy())
        # Where nothing is found the overlap with every actor is NaN, and where an actor is not in the frame with it alone.
        best_T, is_pointing_T = np.fmax.reduce(iou_KT, 0), np.any(is_within(points_T2, boxes_KT4), axis=0)
        scores.add_frames(best_T, is_pointing_T, is_counted=is_right or not self.protocol.needs_right_class)

    def result(self) -> Localisation:
        """Return the numbers over all clips so far; a ValueError where none had a box in its crop."""
        counts = self.counts
        if not counts.frames:
            raise ValueError(f"No frame of {counts.clips} clips has a box in its crop; there is nothing to compare maps with.")
        return Localisation(
            protocol=self.name,
            note=self.protocol.note,
            videos=len(counts.videos),
            videos_without_boxes=len(counts.videos_without_boxes),
            clips=counts.clips,
            frames=counts.frames,
            frames_without_box=counts.frames_without_box,
            frames_outside_crop=counts.frames_outside_crop,
            boxes_outside_crop=counts.boxes_outside_crop,
            maps={name: scores.result() for name, scores in self.scores.items()},
        )
