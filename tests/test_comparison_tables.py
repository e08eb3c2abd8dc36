"""From numbers of videos to tables: differences, what is surely best, what is refused, and how it is written."""

import json
import math
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from objabn.comparison import Cell, Comparison, Interval, Measuring, RunFacts, RunValues, make_comparison, statistics
from objabn.comparison.description import clip_text, losses_text, machine_text, run_names
from objabn.comparison.layout import Entry, Layout, interval_text, layouts, signed
from objabn.comparison.markup import latex, latex_text, markdown, markdown_text
from objabn.comparison.selection import spread_videos
from objabn.config import Config, DataConfig, LossConfig, ModelConfig

VIDEOS = 30
NOISE = np.random.default_rng(0).normal(0, 0.01, VIDEOS)
RIGHT = np.ones(VIDEOS)
HALF = np.arange(VIDEOS) % 2.0


def run(
    name: str, *, grid: int = 4, maps: tuple[str, ...] = ("M_o",), top1: np.ndarray = RIGHT, **rows: dict[str, np.ndarray]
) -> RunValues:
    return RunValues(name=name, grid=(grid, grid), map_names=maps, values={"answer": {"top1": top1, "nll": 1 - top1 + NOISE}, **rows})


def of_map(level: float, *, seconds: float = 0.1) -> dict[str, np.ndarray]:
    """Numbers that hardly vary between videos."""
    levels = {"entropy": level + NOISE, "mask_iou": level + NOISE[::-1], "insertion": level - NOISE, "deletion": 1 - level + NOISE}
    return levels | {"flat_frames": np.ones(VIDEOS), "seconds": seconds * np.arange(VIDEOS)}


ABN = run("abn", maps=("M_u",), top1=HALF, M_u=of_map(0.2), gradcam=of_map(0.6))
OBJECT = run("object", maps=("M_u", "M_o", "M_b"), M_u=of_map(0.3), M_o=of_map(0.5), M_b=of_map(0.9), gradcam=of_map(0.5))


def compared(*runs: RunValues, baseline: str = "", **about: object) -> Comparison:
    facts = [
        RunFacts(
            values=each,
            losses="x3d_m, abn: per/attn",
            clip="16 frames",
            checkpoint="last",
            config_hash="abc",
            weights="def",
            refusals={},
            hardware={"cpu": "A processor", "cores": 2, "torch_threads": 1, "gpus": []},
        )
        for each in runs
    ]
    videos = tuple(f"video {number}" for number in range(VIDEOS))
    settings = Measuring()
    return make_comparison(
        runs=facts, baseline=baseline or runs[0].name, resamples=200, seed=0, dataset="ucf101", subset="test", fingerprints=("f", None),
        videos=videos, videos_of_subset=VIDEOS, settings=settings, versions={"objabn": "1"}, **about,
    )  # fmt: skip


def test_estimates_are_in_the_units_shown() -> None:
    found = compared(ABN).found.estimates
    top1 = found[Cell("abn", "answer", "top1")]
    assert (top1.value, top1.videos) == (50, VIDEOS)
    assert top1.low + top1.high == pytest.approx(100), "Wilson's interval of a half is even"
    assert found[Cell("abn", "M_u", "seconds")][0] == pytest.approx(1.45), "the median of 0, 0.1, ... 2.9"
    assert found[Cell("abn", "M_u", "flat_frames")][0] == VIDEOS
    assert math.isnan(found[Cell("abn", "M_u", "seconds")].low)
    assert found[Cell("abn", "M_u", "mask_iou")].value == pytest.approx(0.2 + NOISE.mean())


def test_each_row_is_compared_with_its_like() -> None:
    pairs = {(each.cell[:2], each.against[:2]) for each in compared(ABN, OBJECT).found.differences}
    assert pairs == {
        (("object", "answer"), ("abn", "answer")),
        (("object", "M_u"), ("abn", "M_u")),
        (("object", "M_o"), ("abn", "M_u")),  # what stands for the one network with what stands for the other
        (("object", "gradcam"), ("abn", "gradcam")),
        (("abn", "gradcam"), ("abn", "M_u")),
        (("object", "gradcam"), ("object", "M_o")),
    }
    back = {(each.cell[:2], each.against[:2]) for each in compared(ABN, OBJECT, baseline="object").found.differences}
    assert (("abn", "M_u"), ("object", "M_u")) in back


def test_differences_are_paired_and_accuracies_tested() -> None:
    found = {(each.cell, each.against): each for each in compared(ABN, OBJECT).found.differences}
    top1 = found[Cell("object", "answer", "top1"), Cell("abn", "answer", "top1")]
    assert (top1.interval.value, top1.p) == (50, 2 / 2**15)
    iou = found[Cell("object", "M_o", "mask_iou"), Cell("abn", "M_u", "mask_iou")]
    # Both have the same noise, so that the difference has none.
    assert iou.interval[:3] == pytest.approx((0.3, 0.3, 0.3))
    assert iou.p is None


def test_maps_of_other_grids_are_not_compared_where_that_matters() -> None:
    fine = run("fine", grid=8, maps=("M_u",), M_u=of_map(0.4))
    comparison = compared(ABN, fine)
    quantities = {each.cell.quantity for each in comparison.found.differences if each.cell.run == "fine"}
    assert quantities == {"top1", "nll", "insertion", "deletion"}
    assert {first.quantity for first, _ in comparison.found.refused} == {"entropy", "mask_iou"}
    note = "Grids differ (abn 4 x 4, fine 8 x 8), and within one grid only compare: entropy (bits), mask IoU;"
    assert any(sentence.startswith(note) for sentence in comparison.notes())
    assert not any("Grids differ" in sentence for sentence in compared(ABN, OBJECT).notes())


def test_bold_is_what_is_better_than_all_beside_it_beyond_chance() -> None:
    best = compared(ABN, OBJECT).found.best
    assert {cell.quantity for cell in best if cell.row == "answer"} == {"top1", "nll"}
    assert {cell.run for cell in best if cell.row == "answer"} == {"object"}
    assert {cell[1:] for cell in best if cell.run == "abn"} == {("gradcam", "mask_iou"), ("gradcam", "insertion"), ("gradcam", "deletion")}
    # M_b covers what is no object, so its overlap is beside the others' but not against them; M_o and gradcam are equal.
    assert {cell[1:] for cell in best if cell.run == "object" and cell.row != "answer"} == {("M_b", "insertion"), ("M_b", "deletion")}
    assert not any(cell.quantity == "entropy" for cell in best), "sharper is not better"
    assert not compared(ABN, run("twin", top1=HALF)).found.best & {Cell("abn", "answer", "top1"), Cell("twin", "answer", "top1")}


def test_few_videos_make_nothing_bold() -> None:
    few = [
        replace(run, values={row: {name: column[:19] for name, column in of.items()} for row, of in run.values.items()})
        for run in (ABN, OBJECT)
    ]
    found = statistics(few, baseline="abn", resamples=100, seed=0)
    assert found.best == frozenset()
    assert Interval(1, 0.5, 2, 20).leaves_out_zero and Interval(-1, -2, -0.5, 20).leaves_out_zero
    assert not Interval(1, 0.5, 2, 19).leaves_out_zero and not Interval(1, 0.0, 2, 99).leaves_out_zero


def test_one_run_is_a_comparison() -> None:
    comparison = compared(run("alone", M_o=of_map(0.5)))
    assert (comparison.found.differences, comparison.found.best) == ((), frozenset())
    assert [table.title for table in layouts(comparison)] == [
        "Networks",
        "Where maps lie",
        "What maps mean for the answer, and what they cost",
    ]


def test_values_that_no_video_has_leave_no_column() -> None:
    unknown = of_map(0.5) | {"mask_iou": np.full(VIDEOS, np.nan)}
    comparison = compared(run("a", M_o=unknown), run("b", M_o=unknown))
    assert "mask IoU" not in {text for table in layouts(comparison) for text in table.head}
    assert "mask_iou" not in comparison.to_dict()["runs"][0]["maps"]["M_o"]


def test_the_first_table_is_that_of_the_paper() -> None:
    table = layouts(compared(ABN, OBJECT))[0]
    assert table.head == ("run", "losses", "top-1 (%)", "NLL", "H(M_u)", "H(M_o)", "H(M_b)")
    assert [row[0].text for row in table.rows] == ["abn", "object"]
    assert [bool(entry.text) for entry in table.rows[0]] == [True] * 5 + [False] * 2
    assert (table.rows[1][2].text, table.rows[1][2].is_bold) == ("100.0", True)


def test_the_json_holds_everything_and_is_json() -> None:
    gaps = {"entropy": np.where(HALF == 1, np.nan, 2.0)}
    values = json.loads(json.dumps(compared(ABN, run("gaps", M_o=gaps)).to_dict(), allow_nan=False))
    assert values["values"]["gaps"]["M_o"]["entropy"][:3] == [2.0, None, 2.0]
    assert values["runs"][1]["maps"]["M_o"]["entropy"] == {"value": 2.0, "low": 2.0, "high": 2.0, "videos": 15}
    assert values["runs"][0]["maps"]["M_u"]["seconds"]["low"] is None
    assert values["settings"]["steps"] == 16 and values["seed"] == 0 and len(values["videos"]) == VIDEOS
    first = values["differences"][0]
    assert (first["quantity"], first["of"], first["less"]) == ("top1", ["gaps", "answer"], ["abn", "answer"])
    assert 0 < first["mcnemar_p"] < 0.001


def test_resamples_and_seed_are_all_that_intervals_depend_on() -> None:
    runs = [run("a", M_o={"insertion": np.arange(VIDEOS) / VIDEOS})]
    found = [statistics(runs, baseline="a", resamples=200, seed=seed).estimates[Cell("a", "M_o", "insertion")] for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]


NASTY = Layout("A | title", ("run", "H(M_o)"), ((Entry("a_b & 50% [x] M_u|*"), Entry("0.5", "[0.4, 0.6]", is_bold=True)),), 1)


def test_markdown_is_a_table_whatever_names_hold() -> None:
    lines = markdown([NASTY], ["A *note*"]).splitlines()
    assert lines[0] == r"**A \| title**"
    assert lines[2:5] == ["| run | H(M_o) |", "| --- | ---: |", r"| a_b & 50% \[x\] M_u\|\* | **0.5** [0.4, 0.6] |"]
    assert lines[6] == r"A \*note\*"
    assert markdown_text("two\nlines <b>") == r"two lines \<b>"


def test_latex_has_whole_tables_and_nothing_unescaped() -> None:
    text = latex([NASTY, *layouts(compared(ABN, OBJECT))], ["100 % of #1"])
    assert r"a\_b \& 50\% {[}x] $M_{\mathrm{u}}$|{*} & " in text
    assert r"\textbf{0.5} {\scriptsize [0.4, 0.6]} \\" in text
    assert r"run & $H(M_{\mathrm{o}})$ \\" in text and r"100 \% of \#1" in text
    assert text.count(r"\begin{") == text.count(r"\end{")
    bare = re.sub(r"\\[\\&%$#_{}]", "", text)
    assert bare.count("{") == bare.count("}") and bare.count("$") % 2 == 0
    for table in re.findall(r"\\begin{tabular}{(l+r+)}(.*?)\\end{tabular}", text, re.S):
        rows = [line for line in table[1].splitlines() if line.endswith(r"\\")]
        assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {len(table[0])}


def test_names_of_maps_are_formulas_and_names_of_runs_are_not() -> None:
    assert latex_text("object: gradcam - M_o") == r"object: gradcam - $M_{\mathrm{o}}$"
    assert latex_text("M_o_run") == r"M\_o\_run"
    assert latex_text("a\\b~^<>") == r"a\textbackslash{}b\textasciitilde{}\textasciicircum{}\textless{}\textgreater{}"


def test_small_texts() -> None:
    assert [signed(value, 1) for value in (0.04, -0.04, 0.06, -3)] == ["0.0", "0.0", "+0.1", "-3.0"]
    assert interval_text(Interval(1, 0.5, 2, 3), "+.1f") == "[+0.5, +2.0]"
    assert interval_text(Interval(1, math.nan, math.nan, 1), ".1f") == ""
    assert machine_text({"cpu": "x", "torch_threads": 2, "gpus": ["H200", "H200"]}) == "H200"
    assert clip_text(DataConfig(views=(2, 3))) == "16 frames every 4, 224 x 224, 6 views"


def test_losses_are_named_as_in_the_paper() -> None:
    abn = Config(model=ModelConfig(system="abn"), loss=LossConfig(pc=0))
    assert losses_text(abn, ("M_u",)) == "x3d_m, abn: per/attn", "the mask loss needs M_o"
    assert losses_text(Config(), ("M_o",)) == "x3d_m, object_abn: per/attn + mask + PC"
    assert losses_text(Config(loss=LossConfig(pc=0)), ("M_u", "M_o", "M_b")) == "x3d_m, object_abn: per/attn + mha"


def test_runs_have_the_shortest_names_that_tell_them_apart() -> None:
    assert run_names([Path("runs/a"), Path("runs/b/")]) == ["a", "b"]
    assert run_names([Path("first/a"), Path("second/a"), Path("b")])[:2] == ["first/a", "second/a"]
    with pytest.raises(ValueError, match="given twice"):
        run_names([Path("runs/a"), Path("runs/../runs/a")])


def test_videos_are_spread_over_classes_and_more_contain_fewer() -> None:
    index = SimpleNamespace(label=np.array([0] * 6 + [1] * 2 + [2] * 2), name=lambda row: f"class/video {row}")
    rows = np.arange(10)
    chosen = [spread_videos(index, rows, count).tolist() for count in range(1, 11)]
    assert sorted(index.label[chosen[2]]) == [0, 1, 2] and sorted(index.label[chosen[5]]) == [0, 0, 1, 1, 2, 2]
    for fewer, more in pairwise(chosen):
        assert set(fewer) < set(more) and more == sorted(more)
    assert spread_videos(index, rows, None) is rows and spread_videos(index, rows, 99) is rows
