"""A folder as model hubs take it: readable settings, weights, and a model card."""

import os
import shutil
from pathlib import Path

from objabn.exporting.card import model_card
from objabn.exporting.description import describe
from objabn.exporting.run import RunFacts
from objabn.files import write_json, write_text
from objabn.models.network import AttentionNetwork
from objabn.models.storage import save_model


def write_hub_folder(folder: Path, net: AttentionNetwork, run: RunFacts | None) -> None:
    """Write config.json, model.safetensors and README.md into a folder that appears whole or not at all.

    ValueError where the folder holds something already: its card may have been completed by hand.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is there already and may have been edited; delete it, or choose another place with --out.")
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}")
    unfinished.mkdir(parents=True)
    try:
        save_model(net, unfinished / "model.safetensors")
        write_json(unfinished / "config.json", describe(net))
        write_text(unfinished / "README.md", model_card(net, run))
        if folder.exists():
            folder.rmdir()
        unfinished.rename(folder)
    except BaseException:
        shutil.rmtree(unfinished)
        raise
