"""The folder of a run: its settings, its surroundings, its checkpoints."""

import json
from pathlib import Path
from typing import Any

from objabn.checkpoint import find_checkpoint, keep_latest, settle
from objabn.config import Config
from objabn.files import CLAIM, write_json
from objabn.machine import launch_name
from objabn.settings import config_hash, from_dict, learning_settings, to_dict
from objabn.training.environment import hardware
from objabn.versions import versions


def start_run_folder(run_folder: Path, config: Config, *, resume: bool, loader: dict[str, Any] | None = None) -> Path | None:
    """Make the folder ready and return the checkpoint to continue from, if there is one; `loader` tells how clips are read.

    Raises ValueError where the folder holds another run, or this one and `resume` is not asked for.
    """
    if run_folder.exists() and any(path.name != CLAIM for path in run_folder.iterdir()):
        if not resume:
            raise ValueError(f"{run_folder} holds a run already; continue it with --resume, or choose another folder with --out.")
        if (run_folder / "config.json").exists():
            refuse_other_settings(run_folder, config)
    run_folder.mkdir(parents=True, exist_ok=True)
    for name in ("last", "best"):
        settle(run_folder, name)
    keep_latest(run_folder, config.run.keep_checkpoints)
    write_json(run_folder / "config.json", to_dict(config))
    environment = {"config_hash": config_hash(config), "versions": versions(), "hardware": hardware(), "launch": launch_name()}
    write_json(run_folder / "environment.json", environment | {"loader": merged_loader(run_folder, loader or {})})
    return find_checkpoint(run_folder)


def is_of_this_launch(run_folder: Path) -> bool:
    """Say whether the run was begun or gone on with by the torchrun that started this process, or has not got as far as to tell."""
    path = run_folder / "environment.json"
    return not path.is_file() or json.loads(path.read_text()).get("launch") == launch_name()


def merged_loader(run_folder: Path, loader: dict[str, Any]) -> dict[str, Any]:
    """Return how clips are read now, with what the first session measured to choose it."""
    path = run_folder / "environment.json"
    before: dict[str, Any] = json.loads(path.read_text()).get("loader", {}) if path.is_file() else {}
    return before | {name: value for name, value in loader.items() if value != {}}


def refuse_other_settings(run_folder: Path, config: Config) -> None:
    """Raise ValueError if the run was begun with settings that lead to other weights."""
    names = differences(read_config(run_folder), config)
    if names:
        raise ValueError(
            f"{run_folder} was begun with other settings ({', '.join(names)}); leave them as they were, or choose another folder."
        )


def differences(first: Config, second: Config) -> list[str]:
    """Return the settings that differ, of those that change what is learnt."""
    ours, theirs = learning_settings(first), learning_settings(second)
    return [f"{section}.{name}" for section, values in ours.items() for name in values if values[name] != theirs[section][name]]


def read_config(run_folder: Path) -> Config:
    """Return the settings a run was begun with."""
    path = run_folder / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{run_folder} is not the folder of a run: it has no config.json; objabn train makes one.")
    try:
        return from_dict(json.loads(path.read_text()))
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError) as error:
        raise RuntimeError(f"{path} is damaged ({error}); the run cannot go on without its settings: begin another one.") from None


def consumed_samples(run_folder: Path) -> int:
    """Return how many clips the run had seen at its last checkpoint, 0 before the first: where its loader has to start."""
    return int(read_progress(run_folder).get("samples", 0))


def is_finished(run_folder: Path, config: Config) -> bool:
    """Say whether the run has come to its end; ValueError where it was begun with other settings."""
    if not (run_folder / "config.json").exists():
        return False
    refuse_other_settings(run_folder, config)
    progress = read_progress(run_folder)
    return is_over(progress.get("epoch", 0), progress.get("history", []), config)


def is_over(epochs: int, history: list[dict[str, Any]], config: Config) -> bool:
    """Say whether a run that has had so many epochs, with a record of each, is at its end: by their number, or stopped early."""
    return epochs >= config.optim.epochs or (epochs > 0 and "stopped" in history[-1])


def read_progress(run_folder: Path) -> dict[str, Any]:
    """Return where the run stood at its last checkpoint, by name; nothing before the first."""
    folder = find_checkpoint(run_folder)
    progress: dict[str, Any] = {} if folder is None else json.loads((folder / "state.json").read_text())["progress"]
    return progress
