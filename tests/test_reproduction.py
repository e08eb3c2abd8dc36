"""The paper's table from finished runs: settings of rows, means over seeds, claims and what explains them, and pages."""

import json
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from objabn.recipes import recipe
from objabn.reproduction import Row, RowRuns, SeedRun, find_rows, html_page, markdown_page, row_config, summarize
from objabn.reproduction.claims import CLAIMS, Place, paired, published_difference, verdicts
from objabn.reproduction.published import PUBLISHED
from objabn.reproduction.rows import OTHERS, TABLE, WHY, find_row
from objabn.reproduction.runs import measured
from objabn.training.run_folder import differences

VIDEOS = 30
NOISE = np.random.default_rng(0).normal(0, 0.02, VIDEOS)
FACTS = {
    "command": "objabn reproduce ucf101",
    "clips": "16 frames",
    "videos": VIDEOS,
    "machine": "a <machine>",
    "hardware": {},
    "versions": {"objabn": "1", "torch": "2"},
    "missing": ["mha seed 1"],
}


def seed_run(seed: int, maps: dict[str, float], *, top1: float = 1.0, best: float | None = None, noise: np.ndarray = NOISE) -> SeedRun:
    """A training whose maps have these entropies, and whose answers are right in this share of the videos."""
    right = (np.arange(VIDEOS) < top1 * VIDEOS).astype(float)
    answer = {"top1": right, "top5": np.ones(VIDEOS), "nll": 1 - right + 0.1 + NOISE}

    def values(shift: float) -> dict[str, dict[str, np.ndarray]]:
        rows = {name: {"entropy": level + shift + noise, "mask_iou": 0.5 + NOISE, "pointing": 0.5 + NOISE} for name, level in maps.items()}
        return {"answer": answer, **rows}

    checkpoints = {"last": values(0.0)} | ({} if best is None else {"best": values(best)})
    curve = [{"epoch": 1, "top1": 50.0, "entropy_M_o": 3.0}, {"epoch": 2, "top1": 90.0, "entropy_M_o": 2.5}]
    return SeedRun(
        seed=seed, map_names=tuple(maps), grid=(10, 10), checkpoints=checkpoints, chosen_epoch=2, curve=curve, seconds=1800.0 * (seed + 1)
    )


def row_runs(name: str, *seeds: SeedRun) -> RowRuns:
    return RowRuns(row=find_row(name), seeds=seeds)


ABN = row_runs("abn", seed_run(0, {"M_u": 3.0}), seed_run(1, {"M_u": 3.2}))
MASK = row_runs("mask", seed_run(0, {"M_o": 2.8}), seed_run(1, {"M_o": 2.6}))
GAIN = row_runs("mask~model.map_gain=4", seed_run(0, {"M_o": 2.0}))
SAME = row_runs("mask~loss.dice=1", seed_run(0, {"M_o": 2.8}, noise=NOISE[::-1]))
MHA = row_runs("mha", seed_run(0, {"M_u": 3.0, "M_o": 2.5, "M_b": 2.4}, top1=0.5))


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("abn", ("abn", 1, 0.0)),
        ("abn+pc", ("abn", 1, 1e-4)),
        ("mask", ("object_abn", 1, 0.0)),
        ("mask+pc", ("object_abn", 1, 1e-4)),
        ("mha", ("object_abn", 3, 0.0)),
        ("mha+pc", ("object_abn", 3, 1e-4)),
    ],
)
@pytest.mark.parametrize("dataset", ["ucf101", "ssv2"])
def test_rows_of_the_paper_differ_in_losses_and_heads_alone(dataset: str, row: str, expected: tuple[str, int, float]) -> None:
    config = row_config(dataset, "paper", TABLE[row], seed=3)
    assert (config.model.system, config.model.heads, config.loss.pc) == expected
    assert config.loss.mask == 10.0
    assert config.run.seed == 3
    changed = {"model.system", "model.heads", "loss.pc", "run.seed"}
    assert set(differences(config, recipe(dataset))) <= changed
    assert config.data.crop_size == 224


def test_the_small_budget_is_fixed() -> None:
    config = row_config("ucf101", "small", TABLE["mha"], seed=0, settings=("model.weights=none",))
    assert (config.data.crop_size, config.grid_size, config.optim.epochs, config.data.val_fraction) == (160, 10, 15, 0.2)
    assert (config.optim.freeze, config.run.cache_features, config.model.weights) == (("stem",), "float16", "none")


@pytest.mark.parametrize("name", [*OTHERS, *WHY])
@pytest.mark.parametrize("budget", ["paper", "small"])
def test_every_other_row_has_settings_that_are_possible(name: str, budget: str) -> None:
    row = find_row(name)
    config = row_config("ucf101", budget, row, seed=0)
    assert config.model.system == row.system
    if "~" in name:
        base, *changes = name.split("~")
        changed = differences(row_config("ucf101", budget, find_row(base), seed=0), config)
        assert set(changed) <= {change.partition("=")[0] for change in changes}


def test_the_changed_settings_are_at_least_those_that_the_budget_has_not() -> None:
    pairs = {name: [row_config("ucf101", "small", find_row(each), seed=0) for each in (name, name.split("~")[0])] for name in WHY}
    same = [name for name, pair in pairs.items() if not differences(*pair)]
    assert same == []


def test_names_of_rows_and_groups() -> None:
    assert [row.name for row in find_rows(("table", "mask", "best"))] == [*TABLE, "best"]
    row = find_row("mask~loss.dice=1~optim.ema=0.9")
    assert (row.base, row.slug, row.settings[-2:]) == ("mask", "mask--loss_dice-1--optim_ema-0_9", ("loss.dice=1", "optim.ema=0.9"))
    for wrong in ("masks", "mask~dice", "~loss.dice=1"):
        with pytest.raises(ValueError, match=r"There is no row '.*'; choose of abn, .* table, why, few, or change one with ROW~section"):
            find_row(wrong)


def test_seeds_are_averaged_video_by_video() -> None:
    assert ABN.of_seeds("last", "M_u", "entropy") == pytest.approx([3.0 + NOISE.mean(), 3.2 + NOISE.mean()])
    np.testing.assert_allclose(ABN.values("last").values["M_u"]["entropy"], 3.1 + NOISE)
    assert MHA.of_seeds("last", "answer", "top1") == [50.0]
    assert MHA.of_seeds("last", "answer", "soft_iou") == []


def test_a_row_beside_the_paper() -> None:
    summary = summarize("ucf101", "small", [ABN, MASK, MHA], facts=FACTS)
    abn, mask, mha = summary["rows"]
    assert summary["checkpoint"] == "last"
    assert abn["entropy"]["M_u"]["mean"] == pytest.approx(3.1 + NOISE.mean(), abs=1e-4)
    assert abn["entropy"]["M_u"]["std"] == pytest.approx(0.2 / 2**0.5, abs=1e-4)
    assert abn["entropy"]["M_u"]["published"] == 3.064
    assert mha["top1"] == {"mean": 50.0, "std": None, "interval": mha["top1"]["interval"], "published": 88.93}
    low, high = mha["top1"]["interval"]
    assert low == pytest.approx(33.15, abs=0.01) and high == pytest.approx(66.85, abs=0.01), "Wilson's of 15 of 30"
    assert (abn["seeds"], abn["hours"], mask["curve"]["entropy_M_o"]) == (2, 1.5, [3.0, 2.5])
    assert "published" not in abn["mask_iou"]["M_u"]
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_where_an_epoch_was_chosen_the_last_one_stands_beside_it() -> None:
    rows = [row_runs(name, seed_run(0, {key: 3.0}, best=0.5)) for name, key in (("abn", "M_u"), ("mask", "M_o"))]
    summary = summarize("ucf101", "small", rows, facts=FACTS)
    for row, name in zip(summary["rows"], ("M_u", "M_o"), strict=True):
        assert row["entropy"][name]["mean"] - row["last"]["entropy"][name]["mean"] == pytest.approx(0.5)
        assert row["epochs_chosen"] == [2]


def test_a_claim_that_fails_is_explained_by_what_surely_moves_it() -> None:
    found = {verdict.claim.text: verdict for verdict in verdicts("ucf101", [ABN, MASK, GAIN, SAME, MHA], "last", resamples=200, seed=0)}
    sharper, accurate, three, costs = found.values()
    assert (sharper.holds, sharper.published) == (False, pytest.approx(2.026 - 3.064))
    assert sharper.difference.value == pytest.approx(-0.4)
    assert [shift.row for shift in sharper.explained_by] == ["mask~model.map_gain=4"], "the other one moves nothing"
    assert sharper.explained_by[0].difference.value == pytest.approx(-0.8)
    assert accurate.holds and accurate.explained_by == ()
    assert three.holds and three.difference.value == pytest.approx(-0.3)
    assert costs.holds and costs.difference.value == pytest.approx(-50.0)
    rows = summarize("ucf101", "small", [ABN, MASK, GAIN, SAME, MHA], facts=FACTS)["rows"]
    assert rows[1]["explained_by"][0]["experiments"][0]["experiment"] == "mask~model.map_gain=4"
    assert [row["explained_by"] for row in rows if row["row"] != "mask"] == [None] * 4


def test_differences_are_of_the_seeds_that_both_rows_have() -> None:
    place = Place("mask", "M_o", "entropy")
    found = paired(SAME, place, MASK, place, "last", resamples=200, seed=0)
    assert found.value == pytest.approx(0.0, abs=1e-9), "seed 0 of both, and not 2.8 less the mean of two seeds"


def test_published_numbers_agree_with_the_text_of_the_paper() -> None:
    ucf101 = PUBLISHED["ucf101"]
    assert ucf101["abn"].top1 - ucf101["mask"].top1 == pytest.approx(0.34), '"a decrease of 0.3"'
    assert {row for rows in PUBLISHED.values() for row in rows} == set(TABLE)
    assert published_difference("ssv2", CLAIMS[0]._replace(first=Place("mha", "M_o", "entropy"))) is None, "no such row for SSv2"


def test_what_is_measured_after_epochs_goes_by_its_name_alone() -> None:
    assert measured({"loss": 1.0, "val_top1": 50.0, "val_entropy_M_o": 2.0, "test_top1": 40.0}) == {"top1": 50.0, "entropy_M_o": 2.0}
    assert measured({"loss": 1.0, "test_top1": 40.0}) == {"top1": 40.0}
    assert measured({"loss": 1.0}) == {}


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_pages_hold_the_table_and_ask_for_nothing() -> None:
    summary = summarize("ucf101", "small", [ABN, MASK, GAIN, MHA], facts=FACTS)
    text, page = markdown_page(summary), html_page(summary)
    assert "| mask | 2 | 100.0 ± 0.0 (93.62) [88.6, 100.0]" in text
    assert "Not finished yet: mha seed 1." in text
    assert r"mask\~model.map_gain=4 -0.800" in text
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert "polyline" in tags.seen
    assert "a &lt;machine&gt;" in page and "<machine>" not in page
    assert "http" not in page.replace("http-equiv", "")


def test_a_row_without_curves_has_no_chart() -> None:
    plain = RowRuns(
        row=Row(name="abn", what=""),
        seeds=(
            SeedRun(
                seed=0,
                map_names=("M_u",),
                grid=(4, 4),
                checkpoints=seed_run(0, {"M_u": 3.0}).checkpoints,
                chosen_epoch=None,
                curve=[],
                seconds=1.0,
            ),
        ),
    )
    assert "<svg" not in html_page(summarize("ucf101", "small", [plain], facts=FACTS))


def test_a_changed_row_stands_beside_the_row_it_changes_over_the_seeds_of_both() -> None:
    summary = summarize("ucf101", "small", [MASK, GAIN], facts=FACTS)
    mask, gain = summary["rows"]
    assert mask["change"] is None
    # Seed 0 alone has both: 2.0 less 2.8, of each video; the noise beside 2.0 has a mean of -0.002.
    assert gain["change"]["base"] == "mask"
    assert gain["change"]["entropy"] == {"M_o": {"difference": -0.8, "interval": [-0.8, -0.8]}}
    assert gain["change"]["top1"]["difference"] == gain["change"]["mask_iou"]["M_o"]["difference"] == 0
    line = next(line for line in markdown_page(summary).splitlines() if line.startswith(r"| mask\~model.map"))
    assert "| M_o | 1.998 | -0.800 [-0.800, -0.800] |" in line.replace("\\[", "[")


def test_rows_of_few_clips_are_compared_with_plain_abn_of_as_few_and_explain_no_claim() -> None:
    few = "~data.shots=2~optim.epochs=60"
    rows = [
        ABN,
        MASK,
        row_runs(f"abn{few}", seed_run(0, {"M_u": 3.0}, top1=0.5)),
        row_runs(f"mask{few}", seed_run(0, {"M_o": 1.0}, top1=0.6)),
    ]
    summary = summarize("ucf101", "small", rows, facts=FACTS)
    found = {row["row"]: row["change"] for row in summary["rows"]}
    assert found[f"abn{few}"] is None
    assert (found[f"mask{few}"]["base"], found[f"mask{few}"]["entropy"]) == (f"abn{few}", {})
    assert found[f"mask{few}"]["top1"]["difference"] == pytest.approx(10)
    assert find_row(f"mha~model.merge_init=random{few}").base == f"mha{few}"
    fewer = [
        row_runs(name, seed_run(0, {"M_o": 2.0}, top1=top1))
        for name, top1 in (("mha", 1.0), (f"mha{few}", 0.9), (f"mha~model.merge_init=random{few}", 0.3))
    ]
    (claim,) = [
        claim for claim in summarize("ucf101", "small", [ABN, *fewer], facts=FACTS)["claims"] if claim["number"].startswith("top1 of mha")
    ]
    (experiment,) = claim["explained_by"]
    assert (experiment["less"], experiment["difference"]) == (f"mha{few}", pytest.approx(-60)), "of as few clips"
    assert all(not claim["explained_by"] for claim in summary["claims"])
    page = markdown_page(summary)
    assert "**Few training clips, last epoch**" in page
    assert "One thing changed" not in page


def test_rows_without_a_common_seed_or_a_common_grid_are_not_subtracted() -> None:
    of_other_seed = row_runs("mask~loss.dice=1", seed_run(7, {"M_o": 2.0}))
    of_other_grid = row_runs("mask~model.cut=3", replace(seed_run(0, {"M_o": 2.0}), grid=(20, 20)))
    summary = summarize("ucf101", "small", [row_runs("abn", seed_run(7, {"M_u": 3.0})), MASK, of_other_seed, of_other_grid], facts=FACTS)
    assert summary["claims"] == [], "abn has seed 7 alone"
    _, _, other_seed, other_grid = (row["change"] for row in summary["rows"])
    assert (other_seed["top1"], other_seed["entropy"]) == (None, {"M_o": None})
    assert other_grid["entropy"] == other_grid["mask_iou"] == {"M_o": None}
    assert other_grid["top1"]["difference"] == 0, "answers do not hang on the grid"
    page = markdown_page(summary)
    assert "maps of 10x10 cells, of mask~model.cut=3 20x20." in page
    assert r"| mask\~model.cut=3 | mask |" in page, "GitHub strikes out what stands between two tildes"


def test_a_row_without_a_chosen_epoch_is_named_as_what_moves_all_to_the_last_one() -> None:
    with_choice = row_runs("abn", seed_run(0, {"M_u": 3.0}, best=0.1))
    summary = summarize("ucf101", "small", [with_choice, MASK], facts=FACTS)
    assert (summary["checkpoint"], [row["epochs_chosen"] for row in summary["rows"]]) == ("last", [[2], None])
    assert "No epoch was chosen for mask, so all numbers are of the last one." in markdown_page(summary)
