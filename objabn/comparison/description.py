"""Runs in a few words: names that tell them apart, what they were trained with, what they see."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from objabn.config import Config, DataConfig


def run_names(runs: Sequence[Path]) -> list[str]:
    """Return the shortest ends of the runs' paths that tell them apart; ValueError where one is given twice."""
    parts = [run.resolve().parts for run in runs]
    for place, each in enumerate(parts):
        if each in parts[:place]:
            raise ValueError(f"{runs[place]} is given twice; give each run once.")
    for depth in range(1, max(map(len, parts))):
        names = ["/".join(each[-depth:]) for each in parts]
        if len(set(names)) == len(names):
            return names
    return [str(run) for run in runs]


def losses_text(config: Config, map_names: Sequence[str]) -> str:
    """Return the backbone, the system and the losses that were on, as the paper's tables name them."""
    loss = config.loss
    terms = {
        "per/attn" if loss.branch > 0 else "per": True,
        "mask" if len(map_names) == 1 else "mha": loss.mask > 0 and "M_o" in map_names,
        "Dice": loss.dice > 0 and "M_o" in map_names,
        "PC": loss.pc > 0,
        "TV": loss.total_variation > 0,
        "contrast": loss.contrast > 0,
        "unimodal": loss.unimodal > 0,
    }
    return f"{config.model.backbone}, {config.model.system}: {' + '.join(name for name, is_on in terms.items() if is_on)}"


def clip_text(data: DataConfig) -> str:
    """Return which clips of a video a network is shown."""
    views = math.prod(data.views)
    spacing = f" every {data.stride_frames}" if data.sampling == "stride" else f" by {data.sampling}"
    return f"{data.clip_frames} frames{spacing}, {data.crop_size} x {data.crop_size}" + (f", {views} views" if views > 1 else "")


def machine_text(hardware: dict[str, Any]) -> str:
    """Return a machine in a few words."""
    if hardware["gpus"]:
        return str(hardware["gpus"][0])
    threads = hardware["torch_threads"]
    return f"{hardware['cpu']} ({threads} thread{'s' if threads > 1 else ''})"
