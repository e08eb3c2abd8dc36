"""What a result was made with: versions of the libraries, and the machine."""

import os
import platform
from importlib import metadata
from typing import Any

import torch

import objabn


def versions() -> dict[str, str]:
    """Return the versions of objabn, Python and the libraries that touch numbers; what is not installed is absent."""
    found = {"objabn": objabn.__version__, "python": platform.python_version(), "torch": torch.__version__}
    for name in ("numpy", "av", "nvidia-dali-cuda130", "nvidia-dali-cuda120", "pytorchvideo"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, Any]:
    """Return processor, cores this process may use, operating system and GPUs."""
    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return {
        "cpu": platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": platform.platform(),
        "gpus": gpus,
    }
