"""What reports are made of, worked out by hand: predictions, classes, choice of videos, curves, settings, clips, the page's text."""

import base64
import dataclasses
import io
import json
import math
import re
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from reports import HOSTILE, log_records, prediction, predictions, toy_clip, toy_run
from toys import FRAMES, SIZE, Toy, toy_batch, toy_config

from objabn.explainers import Explanation
from objabn.explainers.overlay import heat_colours
from objabn.recipes import recipe
from objabn.reporting import assembly, choose_videos, read_predictions, refuse_different, report_data, report_page, write_predictions
from objabn.reporting.choice import ranked, shared_views
from objabn.reporting.classes import class_counts, confusion
from objabn.reporting.clips import encoded_map, explained, shown_map, sprite
from objabn.reporting.distributions import entropy_histograms
from objabn.reporting.headline import quantities
from objabn.reporting.history import History, charts
from objabn.reporting.predictions import finite
from objabn.reporting.surroundings import setting_rows

NAMES = ("a", "b", "c")
FOUR = [
    prediction(0, 0, [0.9, 0.06, 0.04]),
    prediction(1, 0, [0.2, 0.7, 0.1]),
    prediction(2, 1, [0.3, 0.36, 0.34]),
    prediction(3, 1, [0.05, 0.05, 0.9]),
]


def embedded(page: str) -> dict:
    """The data as a browser would read them."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])


def test_classes_by_hand() -> None:
    assert class_counts(FOUR) == [(0, 1, 2), (1, 1, 2)]
    assert confusion(FOUR) == [(0, 0, 1), (0, 1, 1), (1, 1, 1), (1, 2, 1)]


def test_videos_are_ranked_by_hand() -> None:
    run = predictions(FOUR, NAMES)
    assert ranked(shared_views([run])) == {
        "best": [0, 2],
        "worst": [3, 1, 2, 0],
        "most confused": [2, 1, 0, 3],
        "surest mistake": [3, 1],
        "runs differ": [],
        "each class": [0, 2, 1, 3],
    }
    assert choose_videos([run], 3) == {0: ["best", "each class"], 3: ["worst", "surest mistake"], 2: ["most confused"]}


def test_runs_are_chosen_for_together_and_only_where_both_answered() -> None:
    other = [prediction(0, 0, [0.4, 0.6, 0.0]), prediction(2, 1, [0.3, 0.4, 0.3]), prediction(9, 1, [0.0, 1.0, 0.0])]
    rankings = ranked(shared_views([predictions(FOUR, NAMES), predictions(other, NAMES)]))
    assert rankings["best"] == [2], "0 is wrong in one run"
    assert rankings["runs differ"] == [0, 2]
    assert rankings["surest mistake"] == [0]
    assert choose_videos([predictions(FOUR, NAMES), predictions(other[2:], NAMES)], 5) == {}, "no video has an answer of both"


@pytest.mark.parametrize("count", [1, 4, 9])
def test_no_more_videos_are_chosen_than_asked_for_and_all_if_there_are_fewer(count: int) -> None:
    assert len(choose_videos([predictions(FOUR, NAMES)], count)) == min(count, 4)


def test_predictions_are_read_as_they_were_written_and_only_for_the_same_source(tmp_path: Path) -> None:
    nameless = FOUR[0]._replace(name="caf\udce9 \"'</script>.mp4")
    written = dataclasses.replace(predictions([nameless, *FOUR[1:]], NAMES), source={"weights": "1"})
    path = tmp_path / "predictions.json"
    write_predictions(path, written)
    assert read_predictions(path, {"weights": "1"}) == written
    assert read_predictions(path, {"weights": "2"}) is None
    assert len(path.read_text().splitlines()) == 7 + 4, "a video to a line"
    path.write_text("{")
    assert read_predictions(path, {"weights": "1"}) is None
    assert read_predictions(tmp_path / "nowhere.json", {}) is None


def test_numbers_and_differences_by_hand() -> None:
    first = predictions([prediction(0, 0, [0.5, 0.5], {"M": 1.0}), prediction(1, 0, [0.25, 0.75], {"M": 2.0})], NAMES[:2])
    second = predictions([prediction(0, 0, [1.0, 0.0], {"M": 1.5}), prediction(1, 0, [0.75, 0.25], {"M": 1.5})], NAMES[:2])
    found = {(each.title, each.map): each for each in quantities([first, second])}
    assert list(found) == [("Top-1", None), ("Top-5", None), ("NLL", None), ("Entropy", "M")]
    top1 = found["Top-1", None]
    assert [measured.value for measured in top1.runs] == [50.0, 100.0]
    assert top1.differences[1].value == 50.0
    # Wilson's interval of 1 of 2 at z = 1.96: 0.5 +- 0.4055.
    assert top1.runs[0].interval == pytest.approx((9.45, 90.55), abs=0.01)
    nll = found["NLL", None]
    assert nll.differences[1].value == pytest.approx((math.log(0.5) + math.log(0.25) - math.log(0.75)) / 2)
    low, high = nll.differences[1].interval
    assert math.log(0.25 / 0.75) <= low <= nll.differences[1].value <= high <= math.log(0.5)
    assert found["Entropy", "M"].differences[1].value == 0.0


def test_what_a_run_does_not_have_is_absent() -> None:
    first = predictions([prediction(0, 0, [0.5, 0.5], {"M_u": 1.0})], NAMES[:2])
    second = predictions([prediction(0, 0, [0.5, 0.5], {"M_o": 2.0})], NAMES[:2], branch_top1=10.0)
    found = {(each.title, each.map): each for each in quantities([first, second])}
    assert [measured.value for measured in found["Top-1 of the branch", None].runs] == [None, 10.0]
    entropy = found["Entropy", "M_o"]
    assert (entropy.runs[0].value, entropy.runs[1].value, entropy.differences[1].value) == (None, 2.0, None)
    assert entropy.runs[1].interval is None, "one video says nothing about others"
    assert ("Mask IoU", "M_o") not in found


def test_histograms_share_their_range_and_count_every_video() -> None:
    first = predictions([prediction(number, 0, [1.0, 0.0], {"M_u": 1.0 + number, "M_o": 0.5}) for number in range(3)], NAMES[:2])
    second = predictions([prediction(0, 0, [1.0, 0.0], {"M_o": 0.55})], NAMES[:2])
    free, objects = entropy_histograms([first, second])
    assert (free.low, free.high) == (objects.low, objects.high) == (0.5, pytest.approx(3.1))
    assert [sum(of) if of else None for of in free.counts] == [3, None]
    assert [sum(of) for of in objects.counts] == [3, 1]
    assert free.means == [2.0, None]
    assert entropy_histograms([predictions([prediction(0, 0, [1.0, 0.0])], NAMES[:2])]) == []


def test_curves_come_from_the_log() -> None:
    by_title = {chart.title: chart for chart in charts([History(log_records(), run=0, batch=4)])}
    assert list(by_title) == [
        *("Loss", "Loss: perception", "Top-1", "Negative log-likelihood", "Learning rate"),
        *("Seconds a step", "Waiting for clips", "Clips a second"),
    ], "a loss that is always 0 is none"
    steps, epochs = by_title["Loss"].lines
    assert (steps.x[0], len(steps.x), epochs.x, epochs.y) == (0.25, 12, [1, 2, 3], [2.0, 1.0, 2 / 3])
    assert [(line.name, line.y) for line in by_title["Top-1"].lines] == [("train", [30, 60, 90]), ("test", [20, 40, 60])]
    assert [set(line.y) for line in by_title["Seconds a step"].lines] == [{0.5}, {0.5}, {0.125}]
    assert charts([History([], run=0, batch=4)]) == []


def test_curves_of_a_first_epoch_that_is_not_over_count_steps() -> None:
    steps = [record for record in log_records(epochs=1) if record["event"] == "step"]
    loss = charts([History(steps, run=0, batch=4)])[0]
    assert [line.x for line in loss.lines] == [[1, 2, 3, 4]]


def test_settings_say_what_differs_from_the_recipe_and_between_runs() -> None:
    own = recipe("demo", heads=3)
    other = dataclasses.replace(own, optim=dataclasses.replace(own.optim, lr=0.5))
    rows = {row.name: row for row in setting_rows([own, other])}
    assert (rows["optim.lr"].values, rows["optim.lr"].recipe, rows["optim.lr"].differs) == (["0.003", "0.5"], ["0.003", "0.003"], True)
    assert [name for name, row in rows.items() if row.recipe or row.differs] == ["optim.lr"]
    unknown = dataclasses.replace(own, recipe="demo, lost")
    assert {row.name: row.recipe for row in setting_rows([unknown])}["optim.epochs"] == ["50"], "then defaults"


def test_maps_are_bytes_on_a_grid_and_frames_one_picture() -> None:
    values_TYX = torch.tensor([[[0.25, 0.5], [0.75, 0.25]], [[0.25, 0.25], [0.25, 0.25]]])
    shown = shown_map("M", values_TYX)
    assert list(base64.b64decode(shown.cells)) == [0, 128, 255, 0, 0, 0, 0, 0]
    assert (shown.range, shown.rows, shown.columns) == ("M  0.25 to 0.75", 2, 2)
    assert shown_map("M", torch.rand(1, 160, 90)).rows == 40
    assert list(base64.b64decode(encoded_map("mask", "mask", np.array([[[0.2, 1.0]]], np.float32)).cells)) == [51, 255]
    frames_TYXC = np.repeat(np.arange(5, dtype=np.uint8)[:, None, None, None] * 50, 16, 1).repeat(8, 2).repeat(3, 3)
    found = sprite(frames_TYXC)
    kind, _, content = found.picture.partition(",")
    assert (kind, found.columns) == ("data:image/jpeg;base64", 3)
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))
    assert picture.shape == (32, 24, 3)
    assert abs(int(picture[24, 12, 0]) - 200) < 4, "frame 4 is the middle one of the second row"


def test_a_clip_is_explained_by_every_method_on_its_own_grid() -> None:
    net = Toy(toy_config())
    clip_BCTYX = toy_batch(0, clips=2).clip

    def bright(_subject: object, clip: torch.Tensor, _classes: object) -> Explanation:
        return Explanation(clip.float().mean(1, keepdim=True) / 255, ("bright",), torch.zeros(2, 3), torch.zeros(2))

    maps, weights = explained(net, clip_BCTYX, [bright])
    assert {name: tuple(values.shape) for name, values in maps.items()} == {"bright": (2, FRAMES, SIZE, SIZE)}
    assert weights is None


def test_runs_share_the_picture_of_a_clip_that_both_see() -> None:
    runs = [toy_run("one"), toy_run("two", seed=1)]
    data = report_data(runs, chosen={3: ["best"], 4: ["worst"]})
    assert len(data["pictures"]) == 2
    assert [[run["clip"]["sprite"]["picture"] for run in card["runs"]] for card in data["gallery"]] == [[0, 0], [1, 1]]
    assert bytes(base64.b64decode(data["heat"]))[-3:] == heat_colours(np.ones(1, np.float32)).tobytes()


def test_runs_of_different_datasets_do_not_stand_side_by_side() -> None:
    first, packed_anew = predictions(FOUR, NAMES), dataclasses.replace(predictions(FOUR, NAMES), source={"packed": "anew"})
    refuse_different(["one", "two"], [first, first])
    for other in (packed_anew, predictions(FOUR, ("a", "b", "z"))):
        with pytest.raises(ValueError, match="one was evaluated on toys and two on toys, which are not one packed dataset"):
            refuse_different(["one", "two"], [first, other])


@pytest.mark.parametrize("run", [toy_run(videos=1, classes=("a",)), toy_run(clips={}, records=[], environment={})], ids=["one", "bare"])
def test_a_page_of_almost_nothing_can_be_made(run: object) -> None:
    data = report_data([run], chosen={0: ["best"]})
    assert embedded(report_page(data)) == json.loads(json.dumps(data))


def test_nothing_of_the_data_is_markup_and_nothing_is_asked_for() -> None:
    run = toy_run(HOSTILE, classes=(HOSTILE, "b\u2028{{script}}"), environment={HOSTILE: HOSTILE})
    data = report_data([run], chosen={0: [HOSTILE]}, made=HOSTILE)
    page = report_page(data)
    assert embedded(page) == json.loads(json.dumps(data))
    assert len(re.findall(r"<script", page)) == 2, "the data and the program"
    assert page.count("onerror") == page.count('onerror=\\"') > 0, "only within strings"
    assert re.findall(r"""(?:src|href)=["'](?!#|data:)""", page) == []
    assert set(re.findall(r"https?://[^\s\"']+", page)) == {"http://www.w3.org/2000/svg"}, "a name, not a place"
    assert re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1].isascii(), "a line separator would end a string of older scripts"


def test_the_policy_allows_this_style_and_this_script_only() -> None:
    page = report_page(report_data([toy_run()], chosen={}))
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)[1]
    style, script = (re.search(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)[1] for tag in ("style", "script"))
    assert policy.split("; ") == [
        *("default-src 'none'", "img-src data:", f"style-src {assembly.digest(style)}"),
        *(f"script-src {assembly.digest(script)}", "base-uri 'none'", "form-action 'none'"),
    ]


def test_the_parts_of_the_page_are_in_the_package_and_short() -> None:
    names = {file.name for file in (resources.files("objabn.reporting") / "page").iterdir()}
    assert names == {"page.html", "style.css", *(f"{name}.js" for name in assembly.SCRIPTS)}
    assert max(assembly.page_file(name).count("\n") for name in names) <= 300


def test_numbers_that_json_cannot_hold_are_null() -> None:
    run = toy_run(records=[*log_records(), {"event": "epoch", "epoch": 4, "step": 16, "loss": math.nan}])
    assert embedded(report_page(report_data([run], chosen={})))["charts"][0]["lines"][1]["y"][-1] is None
    assert finite({"a": (1.0, math.inf), "b": "x"}) == {"a": [1.0, None], "b": "x"}


def test_a_clip_that_could_not_be_read_leaves_its_card() -> None:
    data = report_data([toy_run(clips={1: toy_clip(1)})], chosen={0: ["best"], 1: ["worst"]})
    assert [card["runs"][0]["clip"] is None for card in data["gallery"]] == [True, False]
