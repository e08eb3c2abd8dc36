"""What a shell offers when Tab is pressed: names that are here, found without torch."""

import dataclasses
import typing
from pathlib import Path
from typing import Any

import typer

from objabn.config import Config
from objabn.models.sizes import BACKBONES

Remarked = list[tuple[str, str]]
"""Words, each with a remark, which zsh and fish show. Typer leaves out those that do not begin as what was typed."""


def complete_dataset(context: typer.Context) -> Remarked:
    """Offer the packed datasets by name; without a match the shell offers files."""
    root = Path(context.params["data"])
    return [(name, f"in {root}") for name in sorted({"demo", *(path.parent.name for path in root.glob("*/manifest.json"))})]


def complete_run() -> list[str]:
    """Offer the folders of runs; without a match the shell offers files."""
    return sorted(str(path.parent) for path in Path("runs").glob("*/config.json"))


def complete_backbone() -> Remarked:
    """Offer the backbones."""
    return [(name, f"{size.clip_frames} frames of {size.clip_size} pixels") for name, size in BACKBONES.items()]


def complete_system() -> list[str]:
    """Offer the attention systems."""
    return values_of("model", "system")


def complete_setting(incomplete: str) -> Remarked | list[str]:
    """Offer `section.name=` for --set; once only one is left, with the values it may take, or with its default."""
    left = [path for path in defaults() if path.startswith(incomplete) or incomplete.startswith(f"{path}=")]
    if len(left) != 1:
        return [(f"{path}=", f"default {defaults()[path]}") for path in left]
    section, _, name = left[0].partition(".")
    return [f"{left[0]}={value}" for value in values_of(section, name)]


def defaults() -> dict[str, Any]:
    """Return the default of every setting by `section.name`."""
    sections = {f.name: getattr(Config(), f.name) for f in dataclasses.fields(Config) if f.name != "recipe"}
    return {f"{section}.{f.name}": getattr(config, f.name) for section, config in sections.items() for f in dataclasses.fields(config)}


def values_of(section: str, name: str) -> list[str]:
    """Return what a setting may be where that is a choice, else its default alone, as --set reads it."""
    config = getattr(Config(), section)
    kind, default = typing.get_type_hints(type(config))[name], getattr(config, name)
    if typing.get_origin(kind) is typing.Literal:
        return [str(value) for value in typing.get_args(kind)]
    if kind is bool:
        return ["true", "false"]
    return [",".join(map(str, default)) if isinstance(default, tuple) else str(default)]
