"""`objabn models`: sizes of networks, equal to what is published and to what can be counted on paper."""

import functools
import json
from pathlib import Path

import pytest
import torch
from commands import run
from torch import nn

from cli.models import SYSTEMS
from objabn.config import ModelConfig
from objabn.models import summary, systems
from objabn.models.sizes import BACKBONES
from objabn.models.x3d import build_x3d

summarize_backbone = functools.cache(summary.summarize_backbone)
CLASSES = 400
POSITIONS = 16 * 14 * 14
"""Of the features behind X3D-M's stem: 16 frames of 224 pixels halved four times."""


@pytest.mark.parametrize(("name", "parameters"), [("x3d_xs", 3_794_274), ("x3d_m", 3_794_274), ("x3d_l", 6_153_384)])
def test_parameters_are_the_published_ones(name: str, parameters: int) -> None:
    assert summarize_backbone(name).parameters == parameters


@pytest.mark.parametrize(("name", "size", "billions"), [("x3d_m", 224, 4.73), ("x3d_m", 256, 6.18), ("x3d_l", 312, 18.37)])
def test_multiply_adds_are_those_of_the_paper(name: str, size: int, billions: float) -> None:
    """Feichtenhofer 2020: 4.73 G for one crop of 224 pixels, 6.2 G for the crops of 256 that the tests use; 18.37 G for X3D-L."""
    assert summarize_backbone(name, clip_size=size).multiply_adds / 1e9 == pytest.approx(billions, abs=0.005)


@pytest.mark.parametrize(("name", "billions"), [("slow_r50", 54.52), ("slowfast_r50", 65.71)])
def test_multiply_adds_are_those_of_the_zoo(name: str, billions: float) -> None:
    """pytorchvideo's table, made at the size of the test pictures."""
    assert summarize_backbone(name, clip_size=256).multiply_adds / 1e9 == pytest.approx(billions, abs=0.005)


@pytest.mark.parametrize(("name", "size", "billions"), [("x3d_xs", 182, 0.91), ("x3d_m", 256, 6.72)])
def test_the_zoo_counts_five_operations_for_each_normalised_value_too(name: str, size: int, billions: float) -> None:
    """pytorchvideo's table was made at the size of the test pictures with a counter that counts batch norms."""
    net = build_x3d(name, classes=CLASSES, cut=4, clip_frames=BACKBONES[name].clip_frames, clip_size=size, dropout=0.0).eval()
    normalised = []
    for module in net.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.register_forward_hook(lambda _module, _inputs, output: normalised.append(output.numel()))
    net.to("meta")
    net.tail(net.stem(torch.empty(1, 3, BACKBONES[name].clip_frames, size, size, device="meta")))
    counted = summarize_backbone(name, clip_size=size).multiply_adds + 5 * sum(normalised)
    assert counted / 1e9 == pytest.approx(billions, abs=0.005)


def branch_by_hand() -> tuple[int, int]:
    """Parameters and multiply-adds of the branch on X3D-M for one map, block by block: 96 -> 192 channels, 432 within."""
    expand_first, expand, depthwise, project = 96 * 432, 192 * 432, 27 * 432, 432 * 192
    shortcut, squeeze = 96 * 192, 2 * 432 * 32
    at_each_position = (expand_first + depthwise + project + shortcut) + 2 * (expand + depthwise + project)
    at_each_position += 192 * CLASSES + CLASSES
    once = 2 * squeeze + CLASSES * CLASSES
    norms = 2 * (3 * (432 + 432 + 192) + 192 + 192 + CLASSES + 1)
    biases = 2 * (32 + 432)
    return at_each_position + once + norms + biases, POSITIONS * at_each_position + once


def test_a_system_adds_what_can_be_counted_on_paper() -> None:
    backbone = summarize_backbone("x3d_m")
    parameters, multiply_adds = branch_by_hand()
    system = summary.summarize_system(ModelConfig(system="abn"))
    assert system.parameters - backbone.parameters == parameters
    assert system.multiply_adds - backbone.multiply_adds == multiply_adds


def test_three_heads_add_two_maps_and_the_merge() -> None:
    one, three = (summary.summarize_system(ModelConfig(heads=heads)) for heads in (1, 3))
    merge = 3 * 96 * 96
    assert three.parameters - one.parameters == merge + 2 * CLASSES + 2 * 2
    assert three.multiply_adds - one.multiply_adds == POSITIONS * (merge + 2 * CLASSES)
    assert three.map_names == ("M_u", "M_o", "M_b")


@pytest.mark.parametrize(("size", "cut", "grid"), [(224, 4, (14, 14)), (224, 2, (56, 56)), (312, 4, (20, 20))])
def test_the_grid_halves_the_picture_at_each_block_of_the_stem(size: int, cut: int, grid: tuple[int, int]) -> None:
    assert summarize_backbone("x3d_nano", clip_size=size, cut=cut).grid == grid
    assert summary.summarize_system(ModelConfig(backbone="x3d_nano", cut=cut), clip_size=size).grid == grid


@pytest.mark.slow
def test_a_network_of_timm_is_counted_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("cli.models.SYSTEMS", (("abn", 1),))
    shown = run("models", "--backbone", "resnet50", "--json", str(tmp_path / "models.json"))
    written = json.loads((tmp_path / "models.json").read_text())
    (row,) = written["backbones"]
    # torchvision gives 25,557,032 parameters and 4.089 G for 1000 classes.
    assert row["parameters"] == 25_557_032 - 600 * (2048 + 1)
    assert (row["multiply_adds"], row["grid"], row["imagenet"]) == (4_089_184_256 - 600 * 2048, [14, 14], "resnet50")
    assert [(system["system"], system["backbone"]) for system in written["systems"]] == [("abn", "resnet50")]
    assert "imagenet" in next(line for line in shown.splitlines() if "resnet50 │" in line)


def test_an_unknown_backbone_is_answered_with_all_names() -> None:
    with pytest.raises(ValueError, match="no backbone 'x3d_xl'; choose one of x3d_xs, x3d_s"):
        summarize_backbone("x3d_xl")


def test_the_command_shows_and_writes_the_same_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    clip = ["--clip-frames", "4", "--clip-size", "64"]
    shown = run("models", "--backbone", "x3d_nano", *clip, "--json", str(tmp_path / "models.json"))
    written = json.loads((tmp_path / "models.json").read_text())
    (nano,), rows = written["backbones"], written["systems"]
    assert (nano["backbone"], nano["system"], nano["kinetics400"]) == ("x3d_nano", None, None)
    assert "kinetics400" not in shown
    assert all((row["clip_frames"], row["clip_size"]) == (4, 64) for row in (nano, *rows))
    assert [row["map_names"] for row in rows[:5]] == [["M_u"], ["M_o"], ["M_u", "M_o", "M_b"], ["M_s"], ["M"]]
    grids = {(row["system"], *row["grid"]) for row in rows}
    assert grids == {("abn", 4, 4), ("object_abn", 4, 4), ("st_abn", 4, 4), ("saliency_lstm", 2, 2), ("gated", 16, 16), ("plain", 4, 4)}
    assert f"{nano['multiply_adds'] / 1e9:.2f}" in next(line for line in shown.splitlines() if "x3d_nano │" in line)
    three = rows[2]
    added = f"{three['parameters'] / 1e6:.2f} (+{(three['parameters'] - nano['parameters']) / 1e6:.2f})"
    assert added in next(line for line in shown.splitlines() if "--heads 3" in line)


@pytest.mark.slow
def test_without_a_backbone_each_system_is_shown_on_that_of_its_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    carriers = ("x3d_m", "resnext3d_101")
    monkeypatch.setattr("objabn.models.sizes.BACKBONES", {name: BACKBONES[name] for name in carriers})
    monkeypatch.setattr("cli.models.SYSTEMS", (("abn", 1), ("gated", 1)))
    run("models", "--json", str(tmp_path / "models.json"))
    written = json.loads((tmp_path / "models.json").read_text())
    assert tuple(row["backbone"] for row in written["backbones"]) == carriers
    shown = [(row["system"], row["backbone"], row["clip_frames"], row["clip_size"], row["grid"]) for row in written["systems"]]
    assert shown == [("abn", "x3d_m", 16, 224, [14, 14]), ("gated", "resnext3d_101", 16, 112, [28, 28])]


@pytest.mark.slow
def test_a_system_that_a_backbone_cannot_carry_is_left_out_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("cli.models.SYSTEMS", (("abn", 1), ("saliency_lstm", 1)))
    shown = run("models", "--backbone", "slowfast_r50", "--clip-frames", "8", "--clip-size", "64")
    assert "Without saliency_lstm: System saliency_lstm answers from one pathway" in shown
    assert "│ saliency_lstm" not in shown


def test_every_system_is_in_the_table() -> None:
    assert {name for name, _ in SYSTEMS} == set(systems.SYSTEMS)
