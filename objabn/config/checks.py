"""What every section of the settings refuses, in the same words."""

from dataclasses import fields
from typing import Any, Literal, get_args, get_origin


def check(name: str, value: object, is_valid: bool, allowed: str) -> None:
    """Raise ValueError with what was given and what is allowed."""
    if not is_valid:
        raise ValueError(f"{name}={value} is not possible; it must be {allowed}.")


def check_not_negative(section: str, config: Any, *names: str) -> None:
    """Raise ValueError where one of these settings is below zero."""
    for name in names:
        check(f"{section}.{name}", getattr(config, name), getattr(config, name) >= 0, "0 or more")


def check_choices(section: str, config: Any) -> None:
    """Raise ValueError where a setting is none of the values that its type lists."""
    for setting in fields(config):
        if get_origin(setting.type) is Literal:
            value, choices = getattr(config, setting.name), get_args(setting.type)
            check(f"{section}.{setting.name}", value, value in choices, " or ".join(map(str, choices)))
