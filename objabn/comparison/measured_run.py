"""One run measured over a subset: block after block of videos, each kept once it is done, so that what was killed goes on."""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from objabn.comparison.measuring import OWN, Drawn, Measuring, draw, draw_own, measured, without_padding
from objabn.comparison.video_table import ANSWER_ROW, VideoTable, ViewValues
from objabn.config import Config
from objabn.models.network import AttentionNetwork
from objabn.training.scores import VideoScores
from objabn.types import Batch

Rows = NDArray[np.int64]


class Blocks(NamedTuple):
    """How many videos are kept at a time, and how many batches show all views of them."""

    videos: int
    batches: int


def blocks_of(config: Config) -> Blocks:
    """Return blocks whose batches are those of `objabn.evaluate`, however many were done before: another cut would round otherwise."""
    return Blocks(config.optim.batch // config.optim.accumulate, math.prod(config.data.views))


class RunMeasurer:
    """Fills the tables of one run, one a method, with what is still missing in them."""

    def __init__(self, net: AttentionNetwork, rows: Rows, settings: Measuring, tables: dict[str, VideoTable]) -> None:
        self.net, self.rows, self.settings, self.tables = net, rows, settings, tables
        self.place = {row: place for place, row in enumerate(rows.tolist())}
        self.refusals: dict[str, str] = {}
        """Why a method does not explain this network."""

    @property
    def first_missing(self) -> int:
        """Place of the first video that some method has not seen."""
        return min(table.finished for table in self.tables.values())

    def fill(self, batches: Iterable[Batch], blocks: Blocks, save: Callable[[str], None], on_progress: Callable[[int], None]) -> None:
        """Measure the videos from `first_missing` on, which is what the batches show.

        `save` is to keep the table of a method, and `on_progress` is told how many blocks of videos a method has seen.
        """
        source, place, done = next(self.net.parameters()).device, self.first_missing, 0
        stream = (batch.to(source) for batch in batches)
        while block := list(itertools.islice(stream, blocks.batches)):
            end = min(place + blocks.videos, len(self.rows))
            for method in [name for name in self.unfinished() if self.tables[name].finished < end]:
                self.measure_block(method, block)
                if method not in self.refusals:
                    self.tables[method].finished = end
                    save(method)
                done += 1
                on_progress(done)
            place = end
            if not self.unfinished():
                return

    def unfinished(self) -> list[str]:
        """Return the methods that have videos to see."""
        return [name for name, table in self.tables.items() if not table.is_finished and name not in self.refusals]

    def measure_block(self, method: str, block: Sequence[Batch]) -> None:
        """Measure all views of the videos of a block with one method."""
        views, scores = ViewValues(), VideoScores()
        for batch in block:
            clips = without_padding(batch)
            if not len(clips.clip):
                continue
            if method == OWN:
                drawn, output = draw_own(self.net, batch, self.settings)
                scores.add(batch, output)
            else:
                try:
                    drawn = draw(self.net, clips, method, self.settings)
                except ValueError as error:
                    self.refusals[method] = str(error)
                    return
            if drawn.names:
                self.add_views(views, clips, drawn)
        self.put(self.tables[method], views, scores)

    def add_views(self, views: ViewValues, clips: Batch, drawn: Drawn) -> None:
        """Take what is measured of single views."""
        videos = clips.video.tolist()
        for quantity, values_BN in measured(self.net, clips, drawn, self.settings).items():
            for name, values_B in zip(drawn.names, values_BN.double().cpu().numpy().T, strict=True):
                views.add(videos, name, quantity, values_B.tolist())

    def put(self, table: VideoTable, views: ViewValues, scores: VideoScores) -> None:
        """Enter what the videos of a block have."""
        for (video, row, quantity), value in views.of_videos().items():
            table.put(self.place[video], row, quantity, value)
        for video, score in scores.videos.items():
            if not np.isfinite(score.probabilities).all():
                raise RuntimeError(
                    "The network answers with numbers that are not finite; its training went wrong, and nothing can be compared."
                )
            rank, place = score.rank(), self.place[video]
            table.put(place, ANSWER_ROW, "top1", float(rank == 0))
            table.put(place, ANSWER_ROW, "top5", float(rank < min(5, len(score.probabilities))))
            table.put(place, ANSWER_ROW, "nll", -math.log(max(score.probability(), np.finfo(np.float64).tiny)))
