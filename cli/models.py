"""`objabn models`: which networks there are, and how large they are."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.completion import complete_backbone

if TYPE_CHECKING:
    from rich.table import Table

    from objabn.models.summary import ModelSummary

SYSTEM_BACKBONE = "x3d_m"
SYSTEMS: tuple[tuple[Literal["abn", "object_abn"], int], ...] = (("abn", 1), ("object_abn", 1), ("object_abn", 3))


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

    Example: objabn models --backbone resnet50 --clip-size 256
    """
    from dataclasses import asdict

    from rich.console import Console

    from objabn.config import ModelConfig
    from objabn.files import write_json
    from objabn.models.sizes import BACKBONES
    from objabn.models.summary import summarize_backbone, summarize_system

    carrier = backbone or SYSTEM_BACKBONE
    choices = [ModelConfig(backbone=carrier, system=system, heads=heads) for system, heads in SYSTEMS]
    names = [backbone] if backbone else list(BACKBONES)
    backbones = [summarize_backbone(name, clip_frames=clip_frames, clip_size=clip_size) for name in names]
    systems = [summarize_system(choice, clip_frames=clip_frames, clip_size=clip_size) for choice in choices]
    console = Console()
    console.print(backbone_table(backbones))
    console.print(system_table(systems, next(row for row in backbones if row.backbone == carrier)))
    console.print(
        "Parameters are those with a classifier of 400 classes. A multiplication with its addition counts as one, as in papers that say "
        "FLOPs (who counts two sees twice as many). Norms, activations and pools are left out; pytorchvideo's own table counts norms too, "
        "and larger pictures (--clip-size 256 for x3d_m). A map has a plane for each frame, of the grid's rows x columns (model.cut=4; "
        "every block less doubles both). Any network of timm for pictures is a backbone too, frame by frame: --backbone NAME.",
        highlight=False,
    )
    if json_file is not None:
        write_json(json_file, {"backbones": [asdict(row) for row in backbones], "systems": [asdict(row) for row in systems]})


def backbone_table(rows: "list[ModelSummary]") -> "Table":
    """Lay out the backbones, one a row."""
    from rich.table import Table

    table = Table("backbone", "clip", "parameters (M)", "multiply-adds (G)", "map grid", "weights", title="Backbones")
    for row in rows:
        clip = f"{row.clip_frames} x {row.clip_size}²"
        weights = "kinetics400" if row.kinetics400 else "imagenet" if row.imagenet else "none"
        table.add_row(row.backbone, clip, millions(row.parameters), billions(row.multiply_adds), grid_text(row), weights)
    return table


def system_table(rows: "list[ModelSummary]", backbone: "ModelSummary") -> "Table":
    """Lay out the systems, one a row, each with what it adds to the backbone."""
    from rich.table import Table

    table = Table("system", "maps", "parameters (M)", "multiply-adds (G)", "map grid", title=f"Attention systems on {backbone.backbone}")
    for row in rows:
        parameters = f"{millions(row.parameters)} (+{millions(row.parameters - backbone.parameters)})"
        multiply_adds = f"{billions(row.multiply_adds)} (+{billions(row.multiply_adds - backbone.multiply_adds)})"
        table.add_row(f"{row.system} --heads {len(row.map_names)}", " ".join(row.map_names), parameters, multiply_adds, grid_text(row))
    return table


def millions(count: int) -> str:
    """Write a count in millions."""
    return f"{count / 1e6:.2f}"


def billions(count: int) -> str:
    """Write a count in billions."""
    return f"{count / 1e9:.2f}"


def grid_text(row: "ModelSummary") -> str:
    """Write rows x columns of the maps."""
    return f"{row.grid[0]} x {row.grid[1]}"
