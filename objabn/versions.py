"""Versions of objabn and of what it stands on, read from what is installed without importing it."""

import platform
import runpy
from importlib import metadata
from pathlib import Path
from typing import Any

import objabn

PACKAGES = ("torchvision", "pytorchvideo", "nvidia-dali-cuda130", "nvidia-dali-cuda120", "av", "numpy", "safetensors")


def versions() -> dict[str, str]:
    """Return the versions of objabn, Python, torch and its CUDA, and libraries that touch numbers; what is absent is left out."""
    found = {"objabn": objabn.__version__, "python": platform.python_version()}
    torch = torch_build()
    if torch is not None:
        found["torch"] = torch["__version__"]
    found |= {name: version for name in PACKAGES if (version := installed_version(name)) is not None}
    return found if torch is None or torch["cuda"] is None else found | {"cuda": torch["cuda"]}


def installed_version(distribution: str) -> str | None:
    """Return the version of an installed distribution, or None."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def torch_build() -> dict[str, Any] | None:
    """Return what torch's own version file says (`__version__`, `cuda` or None), or None without torch; torch itself takes seconds."""
    try:
        path = Path(str(metadata.distribution("torch").locate_file("torch/version.py")))
    except metadata.PackageNotFoundError:
        return None
    return runpy.run_path(str(path)) if path.is_file() else None
