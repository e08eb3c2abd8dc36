"""Settings as JSON and as text: both ways, `--set` by name, and what tells one run from another."""

import dataclasses
import difflib
import hashlib
import json
import typing
from typing import Any, Literal

from objabn.config import Config

HOW_CLIPS_ARE_READ = ("loader", "decode", "threads", "prefetch")
"""Settings of `data` that change neither which clips are seen nor how they are cut out."""

SettingValue = bool | int | float | str | tuple[int, ...] | tuple[str, ...] | None


def to_dict(config: Any) -> dict[str, Any]:
    """Return a config as nested plain dictionaries, ready for JSON."""
    return dataclasses.asdict(config)


def from_dict(values: dict[str, Any], kind: type = Config) -> Any:
    """Build a config of `kind` from nested dictionaries; unknown names raise ValueError, absent ones keep defaults."""
    hints = typing.get_type_hints(kind)
    chosen: dict[str, Any] = {}
    for name, value in values.items():
        if name not in hints:
            raise ValueError(unknown_setting(name, list(hints), kind.__name__))
        if dataclasses.is_dataclass(hints[name]):
            chosen[name] = from_dict(value, typing.cast(type, hints[name]))
        else:
            chosen[name] = tuple(value) if isinstance(value, list) else value
    return kind(**chosen)


def override(config: Config, *assignments: str) -> Config:
    """Apply every `section.name=value` of the command line at once, in any order; of one name the last holds."""
    chosen: dict[str, dict[str, SettingValue]] = {}
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        section_name, dot, name = path.strip().partition(".")
        if not (equals and dot):
            raise ValueError(f"--set {assignment!r} is not understood; write section.name=value, for example optim.lr=1e-3.")
        chosen.setdefault(section_name, {})[name] = read_setting(config, section_name, name, text.strip())
    sections = {name: dataclasses.replace(getattr(config, name), **values) for name, values in chosen.items()}
    return dataclasses.replace(config, **sections)


def read_setting(config: Config, section_name: str, name: str, text: str) -> SettingValue:
    """Read the value of one setting from text by its type."""
    sections = [f.name for f in dataclasses.fields(Config) if f.name != "recipe"]
    if section_name not in sections:
        raise ValueError(unknown_setting(section_name, sections, "Config"))
    hints = typing.get_type_hints(type(getattr(config, section_name)))
    if name not in hints:
        raise ValueError(unknown_setting(name, list(hints), section_name))
    return parse(f"{section_name}.{name}", text, hints[name])


def parse(name: str, text: str, kind: Any) -> SettingValue:
    """Read one value of a field's type from text; raise ValueError with what is allowed."""
    origin, choices = typing.get_origin(kind), typing.get_args(kind)
    try:
        if origin is Literal:
            return {str(choice): choice for choice in choices}[text]
        if origin is tuple:
            parts = tuple(choices[0](part.strip()) for part in text.strip("()[]").split(",") if part.strip())
            if ... not in choices and len(parts) != len(choices):
                raise ValueError
            return parts
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        return kind(text)
    except (KeyError, ValueError):
        count = "" if ... in choices else f"{len(choices)} "
        parts_text = "names" if str in choices else "whole numbers"
        texts: dict[Any, str] = {
            Literal: " or ".join(map(str, choices)),
            tuple: f"{count}{parts_text} with commas between them",
            bool: "true or false",
            int: "a whole number",
            float: "a number",
        }
        allowed = texts[origin or kind]
        raise ValueError(f"{name}={text} is not possible; it must be {allowed}.") from None


def unknown_setting(name: str, known: list[str], owner: str) -> str:
    """Say that a name does not exist and offer the nearest."""
    nearest = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    return f"There is no setting {name!r} in {owner}; it has {', '.join(known)}.{hint}"


def learning_settings(config: Config) -> dict[str, dict[str, Any]]:
    """Return the settings that change what is learnt, by section: not where and how fast a run is carried out, nor its recipe's name."""
    settings = to_dict(config)
    del settings["recipe"]
    for name in HOW_CLIPS_ARE_READ:
        del settings["data"][name]
    return settings | {"run": {"seed": config.run.seed}}


def config_hash(config: Config) -> str:
    """Return 12 hexadecimal digits that change with every setting that changes what is learnt."""
    return hashlib.sha256(json.dumps(learning_settings(config), sort_keys=True).encode()).hexdigest()[:12]
