"""The curves of a reproduction: which rows they show, and where their points lie."""

from xml.etree import ElementTree

import pytest

from objabn.reproduction.curves import HEIGHT, WIDTH, chosen_curves, picture, ticks

SVG = "{http://www.w3.org/2000/svg}"


def row(name: str, maps: list[str], entropies: list[float], overlaps: list[float], every: int = 1) -> dict[str, object]:
    shown = "M_o" if "M_o" in maps else "M_u"
    epochs = [every * (place + 1) for place in range(len(entropies))]
    return {"row": name, "maps": maps, "curve": {"epoch": epochs, f"entropy_{shown}": entropies, f"mask_iou_{shown}": overlaps}}


SUMMARY = {
    "rows": [
        row("abn", ["M_u"], [3.0, 2.0, 2.5], [0.1, 0.2, 0.3]),
        row("mha", ["M_u", "M_o", "M_b"], [2.0, 1.0], [0.4, 0.5]),
        row("mask~model.map_gain=4", ["M_o"], [2.5, 2.0], [0.3, 0.3], every=2),
        row("mask~loss.dice=1", ["M_o"], [2.5, 2.5], [0.3, 0.3]),
        row("mask<", ["M_o"], [2.5], [0.3]),
        row("plain", [], [], []),
    ],
    "claims": [{"explained_by": [{"experiment": "mask~model.map_gain=4"}]}, {"explained_by": None}],
}


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1, 3, [1, 1.5, 2, 2.5, 3]),
        (0.16, 0.58, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]),
        (2, 2, [2, 2.2]),
        (1, 15, [0, 5, 10, 15]),
    ],
)
def test_ticks_are_round_and_hold_the_range(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == expected


def test_rows_of_the_table_and_those_that_explain_a_claim_are_shown() -> None:
    assert [(curve.row, curve.map) for curve in chosen_curves(SUMMARY)] == [
        ("abn", "M_u"),
        ("mha", "M_o"),
        ("mask~model.map_gain=4", "M_o"),
    ]


def test_points_lie_where_the_axes_say() -> None:
    root = ElementTree.fromstring(picture(SUMMARY))
    first = root.findall(f"{SVG}g")[0].findall(f"{SVG}polyline")
    # Entropies of 1 to 3 in four epochs, three of them here: 3 is at the top, 2 in the middle, and the first epoch at the left.
    assert first[0].attrib["points"] == f"0.0,0.0 {WIDTH / 3:.1f},{HEIGHT / 2:.1f} {2 * WIDTH / 3:.1f},{HEIGHT / 4:.1f}"
    assert first[2].attrib["points"] == f"{WIDTH / 3:.1f},{HEIGHT / 4:.1f} {WIDTH:.1f},{HEIGHT / 2:.1f}", "epochs 2 and 4"
    assert [line.attrib.get("stroke-dasharray") is not None for line in first] == [False, False, True]
    assert [text.text for text in root.findall(f"{SVG}text")] == ["abn, M_u", "mha, M_o", "mask~model.map_gain=4, M_o"]


def test_a_network_without_maps_has_the_curves_of_its_answer() -> None:
    plain = {"row": "plain", "maps": [], "curve": {"epoch": [1, 2], "top1": [50.0, 100.0], "nll": [0.5, 0.1]}}
    root = ElementTree.fromstring(picture({"rows": [SUMMARY["rows"][0], plain], "claims": []}))
    titles = [field.findall(f"{SVG}text")[0].text for field in root.findall(f"{SVG}g")]
    assert titles == ["Entropy of the map (bits)", "IoU of the map with the masks", "Top-1 (%)", "NLL"]
    assert [len(field.findall(f"{SVG}polyline")) for field in root.findall(f"{SVG}g")] == [1, 1, 1, 1]
    assert [text.text for text in root.findall(f"{SVG}text")] == ["abn, M_u", "plain"]


def test_names_are_no_markup_and_without_curves_there_is_no_picture() -> None:
    odd = {"rows": [row("<b>", ["M_o"], [2.0, 1.0], [0.4, 0.5])], "claims": []}
    assert ElementTree.fromstring(picture(odd)).findall(f"{SVG}text")[0].text == "<b>, M_o"
    assert picture({"rows": SUMMARY["rows"][-2:], "claims": []}) == ""
