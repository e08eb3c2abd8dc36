"""Runs measured video by video: the numbers of `objabn evaluate`, whatever was done before, and the same treatment for every map."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from toys import CLASSES, FRAMES, nano, toy_batch, toy_config

from objabn.comparison import Measuring, measuring
from objabn.comparison.measured_run import Blocks, RunMeasurer
from objabn.comparison.passes import passes_of_clip
from objabn.comparison.video_table import ANSWER_ROW, VideoTable, table_name
from objabn.evaluation import Evaluation, evaluate
from objabn.explainers import METHODS, Explanation
from objabn.metrics.map_scores import mean_of_finite
from objabn.models.network import AttentionNetwork
from objabn.types import Batch

PLACE = ("entropy", "mask_iou", "soft_iou", "pointing", "energy_pointing", "temporal_consistency")
VIDEOS, CLIPS, VIEWS = 5, 2, 2


@pytest.fixture(scope="module")
def net() -> AttentionNetwork:
    return nano(toy_config()).eval()


def batches() -> list[Batch]:
    """Two views of each of five videos in batches of two clips, in blocks of two videos; the last batch is filled up."""
    pieces = []
    whole = toy_batch(0, clips=VIDEOS * VIEWS)
    video = torch.arange(VIDEOS).repeat_interleave(VIEWS)
    valid = whole.mask_valid.clone()
    valid[4:6] = False  # nothing is found in video 2
    whole = whole._replace(video=video, label=whole.label[video], view=torch.arange(VIDEOS * VIEWS) % VIEWS, mask_valid=valid)
    for start in range(0, VIDEOS * VIEWS, CLIPS):
        pieces.append(Batch(*(column[start : start + CLIPS] for column in whole)))
    absent = pieces[-1]._replace(present=torch.zeros(CLIPS, dtype=torch.bool))
    return [*pieces, absent]


BLOCKS = Blocks(videos=2, batches=2)


def measure(
    net: AttentionNetwork, settings: Measuring, tables: dict[str, VideoTable] | None = None, stop_after: int | None = None
) -> tuple[dict[str, VideoTable], RunMeasurer]:
    """Fill tables from where they stand, or until so many were kept."""
    tables = tables or {method: VideoTable([f"video {number}" for number in range(VIDEOS)]) for method in settings.methods}
    measurer, kept = RunMeasurer(net, np.arange(VIDEOS), settings, tables), []

    def save(method: str) -> None:
        kept.append(method)
        if len(kept) == stop_after:
            raise KeyboardInterrupt

    try:
        measurer.fill(rest(measurer.first_missing), BLOCKS, save, lambda done: None)
    except KeyboardInterrupt:
        assert stop_after is not None
    return tables, measurer


def rest(first_video: int) -> Iterable[Batch]:
    """The batches from a video on, as a loader of the later rows gives them."""
    return batches()[first_video * VIEWS // CLIPS :]


class Drawing:
    """An explainer that draws the left half, and counts what it is asked."""

    def __init__(self) -> None:
        self.classes: list[list[int]] = []

    def __call__(self, subject: object, clip: torch.Tensor, classes: torch.Tensor | None) -> Explanation:
        asked = torch.zeros(len(clip), dtype=torch.int64) if classes is None else classes
        self.classes.append(asked.tolist())
        maps = torch.zeros(len(clip), 1, *clip.shape[2:])
        maps[..., : clip.shape[-1] // 2] = 1
        return Explanation(maps, ("drawn",), torch.zeros(len(clip), CLASSES), asked)


def means(table: VideoTable, quantity: str) -> dict[str, float]:
    rows = {row: float(mean_of_finite(columns[quantity][:, None])[0]) for row, columns in table.values.items() if quantity in columns}
    return {row: value for row, value in rows.items() if not np.isnan(value)}


def test_points_are_exactly_those_of_evaluate(net: AttentionNetwork) -> None:
    expected: Evaluation = evaluate(net, batches())
    table = measure(net, Measuring(measures=PLACE))[0]["attention"]
    answer = table.values[ANSWER_ROW]
    assert 100 * mean_of_finite(answer["top1"][:, None])[0] == expected.top1
    assert 100 * mean_of_finite(answer["top5"][:, None])[0] == expected.top5
    assert mean_of_finite(answer["nll"][:, None])[0] == expected.nll
    for quantity in ("entropy", "mask_iou", "pointing"):
        assert means(table, quantity) == getattr(expected, quantity), quantity
    assert {name: columns["flat_frames"].sum() for name, columns in table.values.items() if name != ANSWER_ROW} == expected.flat_frames
    assert np.isnan(table.values["M_o"]["mask_iou"][2]), "a video without a detection has no overlap"


def test_what_was_stopped_goes_on_to_the_same_numbers(net: AttentionNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "left", Drawing())
    settings = Measuring(methods=("left",), measures=(*PLACE, "insertion", "average_drop"), steps=1)
    whole = measure(net, settings)[0]
    # The network's own maps have been through two blocks and the explainer through one when it is stopped.
    tables = measure(net, settings, stop_after=3)[0]
    assert {name: table.finished for name, table in tables.items()} == {"attention": 4, "left": 2}
    for name, table in tables.items():
        table.write(tmp_path / name)
    again = {name: VideoTable.read(tmp_path / name, table.videos) for name, table in tables.items()}
    measure(net, settings, again)
    for name, table in again.items():
        assert table.is_finished
        assert without_seconds(table) == without_seconds(whole[name])


def without_seconds(table: VideoTable) -> dict[str, dict[str, list[float | None]]]:
    return {row: {name: column for name, column in columns.items() if name != "seconds"} for row, columns in table.rows().items()}


def test_a_table_that_cannot_be_used_is_begun_anew(tmp_path: Path) -> None:
    table = VideoTable(["a", "b"])
    table.put(0, "M_o", "entropy", 0.5)
    table.finished = 1
    table.write(tmp_path / "t")
    assert VideoTable.read(tmp_path / "t", ["a", "b"]).rows() == {"M_o": {"entropy": [0.5, None]}}
    assert json.loads((tmp_path / "t").read_text())["finished"] == 1
    (tmp_path / "torn").write_text((tmp_path / "t").read_text()[:30])
    (tmp_path / "list").write_text("[]")
    for name, videos in (("t", ["a", "c"]), ("torn", ["a", "b"]), ("list", ["a", "b"]), ("none", ["a", "b"])):
        found = VideoTable.read(tmp_path / name, videos)
        assert (found.finished, found.values, found.videos) == (0, {}, tuple(videos))
    assert table_name("3dcam", {"steps": 2}) != table_name("3dcam", {"steps": 3})


def test_explainers_are_measured_on_the_grid_of_the_network(net: AttentionNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    drawing = Drawing()
    monkeypatch.setitem(METHODS, "left", drawing)
    table = measure(net, Measuring(methods=("left",), measures=PLACE, explained="true"))[0]["left"]
    found = means(table, "mask_iou") | {name: means(table, name)["left"] for name in PLACE}
    # Half of each frame is lit: 1 bit. Objects are 4 x 4 of 8 x 8 cells in the middle: 8 of them lie in the 32 that are lit.
    assert found["entropy"] == 1
    assert found["mask_iou"] == found["soft_iou"] == pytest.approx(8 / 40)
    assert (found["energy_pointing"], found["temporal_consistency"]) == (8 / 32, 1)
    assert found["pointing"] == 0, "of equal cells the first counts, and that is a corner"
    assert [label for part in drawing.classes for label in part] == torch.cat([b.label[b.present] for b in batches()]).tolist()


def test_pointing_may_miss_by_some_cells(net: AttentionNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the corner it is 2 rows and 2 columns to the object."""
    monkeypatch.setitem(METHODS, "left", Drawing())
    for tolerance, share in ((2.8, 0), (2.9, 1)):
        table = measure(net, Measuring(methods=("left",), measures=("pointing",), tolerance=tolerance))[0]["left"]
        assert means(table, "pointing") == {"left": share}


def test_a_method_that_does_not_suit_a_network_is_left_out(net: AttentionNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Explanation:
        raise ValueError("It needs a pooling head.")

    monkeypatch.setitem(METHODS, "choosy", refuse)
    tables, measurer = measure(net, Measuring(methods=("choosy",), measures=("entropy",)))
    assert measurer.refusals == {"choosy": "It needs a pooling head."}
    assert (tables["attention"].is_finished, tables["choosy"].finished, tables["choosy"].values) == (True, 0, {})


def test_a_broken_network_is_not_compared(net: AttentionNetwork) -> None:
    broken = nano(toy_config())
    torch.nn.init.constant_(broken.get_submodule(broken.classifier).weight, torch.nan)
    with pytest.raises(RuntimeError, match="not finite; its training went wrong"):
        measure(broken, Measuring(measures=("entropy",)))


def test_settings_put_names_in_order_and_refuse_unknown_ones() -> None:
    assert Measuring(methods=("3dcam", "attention", "3dcam")).methods == ("attention", "3dcam")
    assert Measuring(measures=("pointing", "entropy")).measures == ("entropy", "pointing")
    assert "insertion" in Measuring().measures
    for given, sentence in (
        ({"methods": ("cam",)}, "There is no method 'cam'"),
        ({"measures": ("iou",)}, "There is no measure 'iou'; choose of entropy"),
        ({"steps": 0}, "steps=0"),
    ):
        with pytest.raises(ValueError, match=sentence):
            Measuring(**given)


def test_passes_that_are_told_are_those_that_happen(net: AttentionNetwork) -> None:
    """Of what asks the network again: one map of a clip, counted at the stem."""
    settings = Measuring(measures=("insertion", "deletion", "average_drop"), steps=4)
    shown, stem = [], net.backbone.stem

    def counting(clip: torch.Tensor) -> object:
        shown.append(len(clip))
        return stem(clip)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(net.backbone, "stem", counting)
        batch = toy_batch(0, clips=3)
        drawn, _ = measuring.draw_own(net, batch, settings)
        measuring.measured(net, batch, drawn, settings)
    assert sum(shown) == 3 * passes_of_clip(net, "attention", settings)
    assert drawn.on_clip.shape == (3, 1, FRAMES, 32, 32)
