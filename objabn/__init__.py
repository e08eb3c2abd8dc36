"""objabn: video action recognition that shows where it looks."""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from objabn import losses, metrics
    from objabn.config import Config
    from objabn.data.dataset import open_dataset
    from objabn.data.reader import reader
    from objabn.evaluation import evaluate
    from objabn.explainers import explain
    from objabn.models.build import create_model
    from objabn.models.storage import load_model, save_model
    from objabn.recipes import recipe
    from objabn.training.loop import fit
    from objabn.types import Batch, Output

__all__ = [
    "Batch",
    "Config",
    "Output",
    "create_model",
    "evaluate",
    "explain",
    "fit",
    "load_model",
    "losses",
    "metrics",
    "open_dataset",
    "reader",
    "recipe",
    "save_model",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import objabn` stays free of torch."""
    places = {
        "Batch": "objabn.types",
        "Config": "objabn.config",
        "Output": "objabn.types",
        "create_model": "objabn.models.build",
        "evaluate": "objabn.evaluation",
        "explain": "objabn.explainers",
        "fit": "objabn.training.loop",
        "load_model": "objabn.models.storage",
        "open_dataset": "objabn.data.dataset",
        "reader": "objabn.data.reader",
        "recipe": "objabn.recipes",
        "save_model": "objabn.models.storage",
    }
    if name in ("losses", "metrics"):
        return importlib.import_module(f"objabn.{name}")
    if name not in places:
        raise AttributeError(f"module 'objabn' has no attribute {name!r}; it has {', '.join(__all__)}.")
    return getattr(importlib.import_module(places[name]), name)


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted([*globals(), *__all__])
