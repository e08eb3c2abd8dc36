"""A network trained for some classes as the start of another: with the same classes all of it, with others all but their layers."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from commands import SMALL, run, write_own_videos
from toys import nano, toy_batch, toy_config
from typer.testing import CliRunner

import objabn
from cli.main import app
from objabn.config import ModelConfig
from objabn.models.build import build_model
from objabn.models.network import AttentionNetwork
from objabn.training.loop import fit

COLOURS = ("red", "green", "blue")
CLASS_LAYERS = ("backbone.blocks.5.proj", "branch.shared_conv", "branch.shared_norm", "branch.map_conv", "branch.class_conv")


def build(
    weights: Path | str, names: tuple[str, ...] | None = COLOURS, *, replace_classes: bool = False, **settings: object
) -> AttentionNetwork:
    torch.manual_seed(5)
    config = replace(toy_config().model, **{"weights": str(weights), "replace_classes": replace_classes, "heads": 3} | settings)
    return build_model(config, classes=len(names or COLOURS), clip_frames=8, clip_size=64, class_names=names)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A run of a network with three maps, for clips of another size, with statistics that are not those of a new one."""
    config = replace(toy_config(), model=replace(toy_config().model, heads=3))
    net = nano(config)
    net.class_names = COLOURS
    fit(net, [toy_batch(0)], config, run_folder=tmp_path / "source", loggers=[])
    return tmp_path / "source"


def assert_begun_from(net: AttentionNetwork, source: Path) -> None:
    """The layers of the classes are those of a new network with the same seed, all others those of the source."""
    new, theirs = build("none", net.class_names).state_dict(), objabn.load_model(source).state_dict()
    for name, value in net.state_dict().items():
        assert torch.equal(value, (new if is_of_classes(name) else theirs)[name]), name


def is_of_classes(name: str) -> bool:
    return name.startswith(tuple(f"{layer}." for layer in CLASS_LAYERS))


@pytest.mark.parametrize("place", ["", "last", "last/model.safetensors"])
def test_with_the_same_classes_every_tensor_is_taken(source: Path, place: str) -> None:
    net = build(source / place, replace_classes=False)
    theirs = objabn.load_model(source / "last/model.safetensors").state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in net.state_dict().items())
    assert str(net.weights_report) == f"{len(theirs)} tensors from {source}/last/model.safetensors."
    assert (net.clip_frames, net.class_names) == (8, COLOURS)


def test_with_other_classes_their_layers_begin_afresh_and_the_rest_is_taken(source: Path) -> None:
    net = build(source, ("walk", "run", "jump", "sit"), replace_classes=True)
    assert_begun_from(net, source)
    layers = ", ".join(CLASS_LAYERS)
    assert str(net.weights_report).endswith(f"; the layers of its 3 classes begin afresh for 4 new ones: {layers}.")
    total, of_classes = len(net.state_dict()), sum(map(is_of_classes, net.state_dict()))
    assert net.weights_report.tensors == total - of_classes


@pytest.mark.parametrize("names", [("walk", "run", "jump"), ("green", "red", "blue"), None])
def test_as_many_other_classes_are_other_classes(source: Path, names: tuple[str, ...] | None) -> None:
    assert_begun_from(build(source, names, replace_classes=True), source)


def test_known_classes_that_are_the_same_are_kept_even_if_they_may_be_replaced(source: Path) -> None:
    assert build(source, replace_classes=True).weights_report.replaced == ()


@pytest.mark.parametrize("names", [("walk", "run", "jump"), ("red", "green"), ("blue", "green", "red")])
def test_other_classes_are_refused_with_the_way_out(source: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"tells apart 3 classes \(red, green, blue\), which are not the classes here.*--finetune"):
        build(source, names)


def test_without_names_the_number_of_classes_counts(source: Path) -> None:
    names = {"backbone": "x3d_nano", "clip_frames": 4, "clip_size": 32, "cut": 2, "heads": 3, "attention_init": "random"}
    net = objabn.create_model(classes=3, weights=str(source), **names)
    assert net.weights_report.replaced == ()
    with pytest.raises(ValueError, match="not the classes here"):
        objabn.create_model(classes=4, weights=str(source), **names)
    assert objabn.create_model(classes=4, weights=str(source), replace_classes=True, **names).weights_report.replaced == CLASS_LAYERS


def test_another_make_is_refused_with_the_settings_that_differ(source: Path) -> None:
    with pytest.raises(ValueError, match=r"a network of another make: it has model.heads=3, model.cut=2; set the same"):
        build(source, heads=1, cut=3)
    with pytest.raises(ValueError, match=r"it has model.backbone=x3d_nano, model.class_head=conv; "):
        build(source, backbone="x3d_xs", class_head="gap")
    assert build(source, dropout=0.3, merge_init="random").config == ModelConfig(
        backbone="x3d_nano", weights=str(source), cut=2, heads=3, attention_init="random", merge_init="random", dropout=0.3
    )


def test_another_system_gives_its_backbone(source: Path) -> None:
    theirs = objabn.load_model(source)
    net = build(source, system="gated", heads=1)
    assert all(torch.equal(value, theirs.backbone.state_dict()[name]) for name, value in net.backbone.state_dict().items())
    assert str(net.weights_report).startswith(f"{len(theirs.backbone.state_dict()) - 2} tensors from the backbone of {source}")
    objabn.save_model(net, source.parent / "gated.safetensors")
    back = build(source.parent / "gated.safetensors", system="abn", heads=1)
    behind = [name for name in back.backbone.state_dict() if name.startswith("blocks.5.")]
    assert back.weights_report.replaced == tuple(sorted({name.rpartition(".")[0] for name in behind}))
    for name, value in back.backbone.state_dict().items():
        assert name in behind or torch.equal(value, theirs.backbone.state_dict()[name])
    assert "; these layers begin afresh: blocks.5." in str(back.weights_report)


def test_finetuning_another_system_asks_for_the_backbone_alone(source: Path) -> None:
    shown = run("train", "ucf101", "--finetune", str(source), "--system", "abn", "--dry-run")
    lines = {line.partition("=")[0]: line for line in shown.splitlines()}
    origin = f"the network of --finetune {source}"
    assert {name for name, line in lines.items() if line.endswith(origin)} == {"model.backbone", "model.weights"}
    assert (lines["model.heads"].split()[0], lines["model.cut"].split()[0]) == ("model.heads=1", "model.cut=4")


def test_from_one_dataset_to_another_by_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    write_own_videos(tmp_path)
    run("prepare", "my videos", "--out", "data/first", "--workers", "1")
    (tmp_path / "my videos/rising").rename(tmp_path / "my videos/going up")
    run("prepare", "my videos", "--out", "data/second", "--workers", "1")
    small = [*SMALL[: SMALL.index("--weights")], *SMALL[SMALL.index("--weights") + 2 :], "--loader", "reader", "--set", "loss.mask=0"]
    run("train", "first", "--weights", "none", "--heads", "3", "--out", "first", *small)
    refused = str(CliRunner().invoke(app, ["train", "second", "--weights", "first", "--heads", "3", "--out", "second", *small]).exception)
    assert "objabn train DATASET --finetune first/best/model.safetensors" in refused
    flags = ["--finetune", "first", "--out", "second", "--set", "optim.freeze=stem,norms", *small]
    said = run("train", "second", *flags)
    assert f"begin afresh for 2 new ones: {', '.join(CLASS_LAYERS)}." in said
    assert "parameters are trained; frozen: stem, norms." in said
    settings = json.loads(Path("second/config.json").read_text())["model"]
    assert (settings["weights"], settings["replace_classes"], settings["heads"], settings["cut"]) == ("first", True, 3, 2)
    first, second = (objabn.load_model(name) for name in ("first", "second"))
    assert second.class_names == ("falling", "going up")
    assert torch.equal(second.backbone.blocks[0].conv.conv_t.weight, first.backbone.blocks[0].conv.conv_t.weight)
    Path("first").rename("moved away")
    assert "finished and evaluated" in run("train", "second", *flags, "--resume")
    Path("moved away").rename("first")
    both = CliRunner().invoke(app, ["train", "second", "--finetune", "first", "--weights", "none", "--dry-run"]).exception
    assert "leave --weights none out, or --finetune" in str(both)
