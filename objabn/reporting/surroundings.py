"""Settings and surroundings of runs as rows of text: what differs from the recipe, and from one run to the next."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from objabn.config import Config
from objabn.recipes import recipe
from objabn.settings import to_dict

ALWAYS_OWN = ("data.dataset", "model.system", "model.heads")
"""What a recipe is asked with, and so cannot differ from."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One name with its value in each run; a run that has none has None."""

    name: str
    values: list[str | None]
    recipe: list[str | None] | None = None
    """What the recipe of each run says, where some run differs from its own."""
    differs: bool
    """Some runs have another value than others."""


def setting_rows(configs: Sequence[Config]) -> list[Row]:
    """Return every setting of the runs."""
    own, recipes = [flat(to_dict(config)) for config in configs], [flat(to_dict(recipe_of(config))) for config in configs]
    rows = []
    for row in rows_of(own):
        by_recipe = [values.get(row.name) for values in recipes]
        is_own = row.name in ALWAYS_OWN or by_recipe == row.values
        rows.append(row if is_own else dataclasses.replace(row, recipe=by_recipe))
    return rows


def recipe_of(config: Config) -> Config:
    """Return the settings that the recipe named by a config has, and the defaults where there is no such recipe any more."""
    name, _, style = config.recipe.partition(", ")
    try:
        found = recipe(name, style or "default", heads=config.model.heads, system=config.model.system)
    except ValueError:
        found = Config()
    return dataclasses.replace(found, recipe=config.recipe)


def rows_of(runs: Sequence[dict[str, str]]) -> list[Row]:
    """Return a row for every name that any of the runs has."""
    names = dict.fromkeys(name for values in runs for name in values)
    found = {name: [values.get(name) for values in runs] for name in names}
    return [Row(name=name, values=values, differs=len(set(values)) > 1) for name, values in found.items()]


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested dictionaries as one, names joined by dots and values as text."""
    found: dict[str, str] = {}
    for name, value in values.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": text(value)}
    return found


def text(value: Any) -> str:
    """Return a value as the command line writes it."""
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return str(value).lower() if isinstance(value, bool) else str(value)
