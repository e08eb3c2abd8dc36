"""`objabn models`: which networks there are, and how large they are."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.completion import complete_backbone
from cli.tables import table_console

if TYPE_CHECKING:
    from rich.table import Table

    from objabn.models.summary import ModelSummary

SYSTEMS = (("abn", 1), ("object_abn", 1), ("object_abn", 3), ("st_abn", 1), ("saliency_lstm", 1), ("gated", 1), ("plain", 1))
"""Each with a number of maps."""


def models(
    *,
    backbone: Annotated[
        str | None, typer.Option(help="Show this one alone, such as slow_r50 or timm's resnet50.", autocompletion=complete_backbone)
    ] = None,
    clip_frames: Annotated[int | None, typer.Option(min=1, help="Frames of a clip; otherwise as each was published.")] = None,
    clip_size: Annotated[int | None, typer.Option(min=32, help="Side of the pictures in pixels; otherwise as each was published.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the numbers to this file too.")] = None,
) -> None:
    """Show backbones and attention systems with their parameters, multiply-adds and map sizes.

    Systems are shown on the backbone and the clip of their recipes, or on the backbone that was asked for.

    Example: objabn models --backbone resnet50 --clip-size 256
    """
    from dataclasses import asdict

    from objabn.files import write_json
    from objabn.models.sizes import BACKBONES
    from objabn.models.summary import summarize_backbone

    names = [backbone] if backbone else list(BACKBONES)
    backbones = [summarize_backbone(name, clip_frames=clip_frames, clip_size=clip_size) for name in names]
    systems, refusals = summarize_systems(backbone, clip_frames, clip_size)
    console = table_console()
    console.print(backbone_table(backbones))
    console.print(system_table(systems, backbones))
    for refusal in refusals:
        console.print(refusal, highlight=False)
    console.print(
        "Parameters are those with a classifier of 400 classes. A multiplication with its addition counts as one, as in papers that say "
        "FLOPs (who counts two sees twice as many). Norms, activations and pools are left out; pytorchvideo's own table counts norms too, "
        "and larger pictures (--clip-size 256 for x3d_m). A map has a plane for each frame, of the grid's rows x columns (by model.cut: 4 "
        "for backbones, that of the recipe for systems; each stage less doubles both). Networks of timm for pictures are backbones too, "
        "frame by frame: --backbone NAME. One that cannot be cut says so.",
        highlight=False,
    )
    if json_file is not None:
        write_json(json_file, {"backbones": [asdict(row) for row in backbones], "systems": [asdict(row) for row in systems]})


def summarize_systems(backbone: str | None, clip_frames: int | None, clip_size: int | None) -> "tuple[list[ModelSummary], list[str]]":
    """Count the systems, each by its recipe but for what is asked for; return with them why others cannot sit on that backbone."""
    from dataclasses import replace

    from objabn.models.summary import summarize_system
    from objabn.recipes import recipe

    found, refusals = [], []
    for system, heads in SYSTEMS:
        config = recipe("ucf101", system=system, heads=heads)
        frames, size = (
            (clip_frames, clip_size) if backbone else (clip_frames or config.data.clip_frames, clip_size or config.data.crop_size)
        )
        try:
            model = replace(config.model, backbone=backbone or config.model.backbone)
            found.append(summarize_system(model, clip_frames=frames, clip_size=size))
        except ValueError as error:
            refusals.append(f"Without {system}: {error}")
    return found, refusals


def backbone_table(rows: "list[ModelSummary]") -> "Table":
    """Lay out the backbones, one a row."""
    from rich.table import Column, Table

    table = Table(Column("backbone", no_wrap=True), "clip", "parameters (M)", "multiply-adds (G)", "map grid", "weights", title="Backbones")
    for row in rows:
        weights = "kinetics400" if row.kinetics400 else "imagenet" if row.imagenet else "none"
        table.add_row(row.backbone, clip_text(row), millions(row.parameters), billions(row.multiply_adds), grid_text(row), weights)
    return table


def system_table(rows: "list[ModelSummary]", backbones: "list[ModelSummary]") -> "Table":
    """Lay out the systems, one a row, each with what it adds to its backbone alone."""
    from rich.table import Column, Table

    from objabn.models.summary import summarize_backbone

    names = (Column("system", no_wrap=True), Column("backbone", no_wrap=True))
    table = Table(*names, "clip", "maps", "parameters (M)", "multiply-adds (G)", "map grid", title="Attention systems")
    known = {(row.backbone, row.clip_frames, row.clip_size): row for row in backbones}
    for row in rows:
        clip = (row.backbone, row.clip_frames, row.clip_size)
        bare = known.get(clip) or summarize_backbone(row.backbone, clip_frames=row.clip_frames, clip_size=row.clip_size)
        parameters = f"{millions(row.parameters)} (+{millions(row.parameters - bare.parameters)})"
        multiply_adds = f"{billions(row.multiply_adds)} (+{billions(row.multiply_adds - bare.multiply_adds)})"
        heads = f" --heads {len(row.map_names)}" if row.system == "object_abn" else ""
        maps = " ".join(row.map_names)
        table.add_row(f"{row.system}{heads}", row.backbone, clip_text(row), maps, parameters, multiply_adds, grid_text(row))
    return table


def clip_text(row: "ModelSummary") -> str:
    """Write frames x side of the pictures squared."""
    return f"{row.clip_frames} x {row.clip_size}²"


def millions(count: int) -> str:
    """Write a count in millions."""
    return f"{count / 1e6:.2f}"


def billions(count: int) -> str:
    """Write a count in billions."""
    return f"{count / 1e9:.2f}"


def grid_text(row: "ModelSummary") -> str:
    """Write rows x columns of the maps."""
    return f"{row.grid[0]} x {row.grid[1]}"
