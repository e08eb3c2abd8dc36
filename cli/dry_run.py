"""`objabn train --dry-run`: every setting, and where it comes from."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from objabn.config import Config
from objabn.recipes import DEFAULT
from objabn.settings import to_dict

GIVEN = "command line"


def show(config: Config, sources: dict[str, str], run_folder: Path) -> None:
    """Print the settings as --set takes them, each with its source, and the place of the run."""
    print(f"recipe: {config.recipe}")
    lines = list(setting_lines(config))
    width = max(len(line) for _, line in lines)
    for path, line in lines:
        print(f"{line:{width}}  {sources.get(path, DEFAULT)}")
    print(f"run folder: {run_folder}")


def setting_lines(config: Config) -> Iterator[tuple[str, str]]:
    """Yield each setting's name, and its name with its value."""
    for section, values in to_dict(config).items():
        if isinstance(values, dict):
            for name, value in values.items():
                yield f"{section}.{name}", f"{section}.{name}={setting_text(value)}"


def setting_names(config: Config) -> list[str]:
    """Return `section.name` of every setting."""
    return [path for path, _ in setting_lines(config)]


def setting_text(value: Any) -> str:
    """Write a value as --set reads it."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
