"""What a result was made with: versions of the libraries, and the machine."""

import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import objabn
from objabn.machine import available_cores

PACKAGES = ("torchvision", "pytorchvideo", "nvidia-dali-cuda130", "nvidia-dali-cuda120", "av", "numpy", "safetensors")


def versions() -> dict[str, str]:
    """Return the versions of objabn, Python and the libraries that touch numbers; what is not installed is absent."""
    found = {"objabn": objabn.__version__, "python": platform.python_version(), "torch": torch.__version__}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found if torch.version.cuda is None else found | {"cuda": torch.version.cuda}


def hardware() -> dict[str, Any]:
    """Return processor, cores this process may use, threads of torch, operating system and GPUs."""
    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return {
        "cpu": cpu_name(),
        "cores": available_cores(),
        "torch_threads": torch.get_num_threads(),
        "system": platform.platform(),
        "gpus": gpus,
    }


def cpu_name() -> str:
    """Return the processor's name as the system tells it."""
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text().splitlines() if listing.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
