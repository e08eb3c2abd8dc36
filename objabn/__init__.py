"""objabn: video action recognition that shows where it looks."""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from objabn import faithfulness, localisation, losses, metrics
    from objabn.config import Config
    from objabn.data import sources
    from objabn.data.dataset import open_dataset
    from objabn.data.pack import pack
    from objabn.data.reader import reader
    from objabn.data.segment import import_masks, segment
    from objabn.evaluation import evaluate
    from objabn.explainers import explain
    from objabn.exporting import export
    from objabn.kernels.optimize import optimize
    from objabn.models.build import create_model
    from objabn.models.storage import load_model, save_model
    from objabn.recipes import recipe
    from objabn.settings import override
    from objabn.training.loop import fit
    from objabn.training.run_folder import consumed_samples
    from objabn.types import Batch, Output

__all__ = [
    "Batch",
    "Config",
    "Output",
    "consumed_samples",
    "create_model",
    "evaluate",
    "explain",
    "export",
    "faithfulness",
    "fit",
    "import_masks",
    "load_model",
    "localisation",
    "losses",
    "metrics",
    "open_dataset",
    "optimize",
    "override",
    "pack",
    "reader",
    "recipe",
    "save_model",
    "segment",
    "sources",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import objabn` stays free of torch."""
    modules = {
        "faithfulness": "objabn.faithfulness",
        "localisation": "objabn.localisation",
        "losses": "objabn.losses",
        "metrics": "objabn.metrics",
        "sources": "objabn.data.sources",
    }
    places = {
        "Batch": "objabn.types",
        "Config": "objabn.config",
        "Output": "objabn.types",
        "consumed_samples": "objabn.training.run_folder",
        "create_model": "objabn.models.build",
        "evaluate": "objabn.evaluation",
        "explain": "objabn.explainers",
        "export": "objabn.exporting",
        "fit": "objabn.training.loop",
        "import_masks": "objabn.data.segment",
        "load_model": "objabn.models.storage",
        "open_dataset": "objabn.data.dataset",
        "optimize": "objabn.kernels.optimize",
        "override": "objabn.settings",
        "pack": "objabn.data.pack",
        "reader": "objabn.data.reader",
        "recipe": "objabn.recipes",
        "save_model": "objabn.models.storage",
        "segment": "objabn.data.segment",
    }
    if name in modules:
        return importlib.import_module(modules[name])
    if name not in places:
        raise AttributeError(f"module 'objabn' has no attribute {name!r}; it has {', '.join(__all__)}.")
    return getattr(importlib.import_module(places[name]), name)


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted([*globals(), *__all__])
