"""What a run folder tells about the network that is taken out of it."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from objabn.checkpoint import find_model
from objabn.config import Config
from objabn.training.run_folder import is_finished, read_config, read_progress


class RunFacts(NamedTuple):
    """A run as its files tell of it."""

    folder: Path
    checkpoint: str
    """`best` or `last`."""
    config: Config
    epochs: int | None
    """Epochs behind this checkpoint; None where `last`, which knows, is gone."""
    evaluation: dict[str, Any] | None
    """evaluation.json, where it is of this checkpoint as it stands now."""
    environment: dict[str, Any]
    """environment.json."""


def read_run(folder: Path) -> RunFacts | None:
    """Return what a run folder tells about its best network, or its last; None where the folder is not a run's or has no network yet."""
    found = find_model(folder)
    if found is None:
        return None
    model, checkpoint = found
    config, path = read_config(folder), folder / "evaluation.json"
    # Times of files say nothing in a copy of the folder, but then a finished run was evaluated at its end.
    is_current = path.is_file() and (is_finished(folder, config) or path.stat().st_mtime >= model.stat().st_mtime)
    evaluation = json.loads(path.read_text()) if is_current else {}
    return RunFacts(
        folder=folder,
        checkpoint=checkpoint,
        config=config,
        epochs=read_progress(folder).get("best_epoch" if checkpoint == "best" else "epoch"),
        evaluation=evaluation if evaluation.get("checkpoint") == checkpoint else None,
        environment=json.loads((folder / "environment.json").read_text()),
    )
