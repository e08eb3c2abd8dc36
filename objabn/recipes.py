"""Named settings: a Config from parts of settings, the later part holding, and for each setting where it comes from."""

import dataclasses
from typing import Any

from objabn import recipe_parts as parts
from objabn.config import Config
from objabn.recipe_parts import Part

DEFAULT = "default of objabn"

DATASETS: dict[str, tuple[Part, ...]] = {
    "ucf101": (parts.UCF101,),
    "hmdb51": (parts.UCF101,),
    "kinetics400": (parts.UCF101, parts.KINETICS400),
    "kinetics600": (parts.UCF101, parts.KINETICS400),
    "kinetics700": (parts.UCF101, parts.KINETICS400),
    "ssv2": (parts.UCF101, parts.SSV2),
    "folder": (parts.UCF101, parts.FOLDER),
    "demo": (parts.UCF101,),
}
"""What each data set adds to the next, the last holding; those that Object-ABN does not use begin with its settings for UCF101."""

SYSTEMS: dict[str, tuple[Part, ...]] = {
    "object_abn": (),
    "abn": (parts.ABN,),
    "st_abn": (parts.ST_ABN, parts.ST_ABN_COLOURS),
    "saliency_lstm": (parts.SALIENCY_LSTM, parts.SALIENCY_LSTM_VAL),
    "gated": (parts.GATED,),
    "plain": (parts.PLAIN,),
}

DEMO_SYSTEMS: dict[str, tuple[Part, ...]] = {
    "object_abn": (parts.DEMO_OBJECTS,),
    "abn": (parts.DEMO_OBJECTS,),
    "st_abn": (parts.DEMO_ST_ABN,),
    "saliency_lstm": (parts.DEMO_SALIENCY_LSTM,),
}

STYLES: dict[str, tuple[Part, ...]] = {"default": (), "paper": (parts.LITERAL,), "small": (parts.SMALL,), "best": (parts.BEST,)}

WITH_PC_BY_HEADS = ("ssv2",)
"""Where several maps keep the PC loss (Object-ABN tables 1 and 2)."""


def recipe(dataset: str, style: str = "default", *, heads: int = 1, system: str = "object_abn") -> Config:
    """Return the complete settings for a data set; `style` is `default`, `paper` (the literal reading of the paper), `small` or `best`.

    `system` is one of `SYSTEMS`. A data set without a recipe of its own is taken as a folder of own videos.
    """
    known = dataset if dataset in DATASETS else "folder"
    chosen = {path: value for part in chosen_parts(dataset, style, heads, system) for path, value in part.settings.items()}
    chosen |= {"data.dataset": dataset, "model.heads": heads, "model.system": system}
    name = known if style == "default" else f"{known}, {style}"
    return dataclasses.replace(assembled(chosen), recipe=name)


def sources(dataset: str, style: str = "default", *, heads: int = 1, system: str = "object_abn") -> dict[str, str]:
    """Return where the settings of `recipe` come from, by `section.name`; those that are absent are defaults."""
    return {path: part.source for part in chosen_parts(dataset, style, heads, system) for path in part.settings}


def chosen_parts(dataset: str, style: str, heads: int, system: str) -> list[Part]:
    """Return the parts that make a recipe, the last holding."""
    if style not in STYLES:
        raise ValueError(f"There is no recipe {style!r}; choose one of {', '.join(STYLES)}.")
    known = dataset if dataset in DATASETS else "folder"
    heads_part = (parts.HEADS_WITHOUT_PC,) if heads > 1 and known not in WITH_PC_BY_HEADS else ()
    demo_parts = (parts.DEMO, *DEMO_SYSTEMS.get(system, ())) if known == "demo" else ()
    return [*DATASETS[known], *SYSTEMS.get(system, ()), *demo_parts, *heads_part, *STYLES[style]]


def assembled(settings: dict[str, Any]) -> Config:
    """Return a config with these settings by `section.name`, those of a section put in at once since some rest on others."""
    config = Config()
    sections: dict[str, dict[str, Any]] = {}
    for path, value in settings.items():
        section, _, name = path.partition(".")
        sections.setdefault(section, {})[name] = value
    return dataclasses.replace(config, **{name: dataclasses.replace(getattr(config, name), **values) for name, values in sections.items()})
