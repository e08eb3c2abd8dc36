"""A backbone without attention: it answers as pytorchvideo's does, has no maps to be measured, and is explained afterwards."""

from pathlib import Path

import numpy as np
import pytest
import torch
from toys import CLASSES, FRAMES, SIZE, toy_batch

import objabn
from cli import view
from objabn.comparison import Measuring, RunValues
from objabn.comparison.differences import statistics
from objabn.comparison.measured_run import Blocks, RunMeasurer
from objabn.comparison.video_table import ANSWER_ROW, VideoTable
from objabn.config import LossConfig
from objabn.evaluation import evaluate
from objabn.explainers.intervention import answer_with_maps
from objabn.exporting.graphs import build_graph
from objabn.models.network import AttentionNetwork
from objabn.objective import build_objective

CLIPS, CUT = 3, 2


@pytest.fixture
def net() -> AttentionNetwork:
    torch.manual_seed(0)
    return objabn.create_model("x3d_nano", system="plain", cut=CUT, classes=CLASSES, clip_frames=FRAMES, clip_size=SIZE).eval()


def test_it_answers_as_its_backbone_does_and_has_nothing_beside_it(net: AttentionNetwork) -> None:
    clip = toy_batch(0, clips=CLIPS).clip
    output = net(clip)
    assert torch.equal(output.logits, net.backbone.tail(net.backbone.stem(net.normalize(clip))))
    assert (output.branch_logits, output.features, output.frame_weights) == (None, None, None)
    assert (net.map_names, output.maps.shape) == ((), (CLIPS, 0, FRAMES, net.grid_size, net.grid_size))
    assert {name.partition(".")[0] for name in net.state_dict()} == {"backbone"}


def test_its_loss_is_the_cross_entropy(net: AttentionNetwork) -> None:
    batch = toy_batch(0, clips=CLIPS)
    losses = build_objective(LossConfig(pc=0), net)(net(batch.clip), batch)
    assert losses.total == losses.perception == torch.nn.functional.cross_entropy(net(batch.clip).logits, batch.label)
    with pytest.raises(ValueError, match="which system plain has not"):
        build_objective(LossConfig(pc=1e-4), net)
    with pytest.raises(ValueError, match=r"loss.contrast needs maps, which system plain does not draw"):
        build_objective(LossConfig(pc=0, contrast=1e-4), net)


def test_its_evaluation_has_no_maps(net: AttentionNetwork) -> None:
    found = evaluate(net, [toy_batch(0, clips=CLIPS)])
    assert found.videos > 0
    assert not {"entropy", "mask_iou", "pointing", "flat_frames"} & found.to_dict().keys()


def test_explainers_are_measured_beside_its_answer_and_compare_with_no_map_of_its_own(net: AttentionNetwork) -> None:
    settings = Measuring(methods=("gradcam",), measures=("entropy", "mask_iou", "deletion"), steps=1)
    batch = toy_batch(0, clips=CLIPS)._replace(video=torch.arange(CLIPS))
    tables = {method: VideoTable([str(video) for video in range(CLIPS)]) for method in settings.methods}
    measurer = RunMeasurer(net, np.arange(CLIPS), settings, tables)
    measurer.fill([batch], Blocks(videos=CLIPS, batches=1), lambda method: None, lambda done: None)
    assert {method: list(table.values) for method, table in tables.items()} == {"attention": [ANSWER_ROW], "gradcam": ["gradcam"]}
    values = tables["attention"].values | tables["gradcam"].values
    runs = [RunValues(name=name, grid=(4, 4), map_names=(), values=values) for name in ("first", "second")]
    found = statistics(runs, baseline="first", resamples=20, seed=0)
    assert {each.cell.row for each in found.differences} == {ANSWER_ROW, "gradcam"}
    assert all(each.against.run == "first" for each in found.differences), "not with a map of its own run, which has none"


def test_what_needs_maps_is_refused(net: AttentionNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = toy_batch(0, clips=1).clip
    with pytest.raises(ValueError, match=r"System plain draws no maps of its own; take gradcam"):
        objabn.explain(net, clip, method="attention")
    with pytest.raises(ValueError, match="draws no maps that gate its features"):
        answer_with_maps(net, clip, {})
    monkeypatch.setattr("cli.compose.open_run", lambda *_: (net, None))
    with pytest.raises(ValueError, match=r"is of system plain and draws no maps to paint on; `objabn explain"):
        view.view(tmp_path)


@pytest.mark.usefixtures("shallow")
def test_an_exported_graph_gives_its_answer_alone() -> None:
    torch.manual_seed(0)
    net = objabn.create_model("x3d_nano", system="plain", cut=CUT, classes=CLASSES, clip_frames=FRAMES, clip_size=SIZE).eval()
    _, differences = build_graph(net, "pt2", {})
    assert list(differences) == ["logits"]
