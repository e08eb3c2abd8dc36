"""The machine that a result was made on."""

import platform
from typing import Any

import torch

from objabn.machine import available_cores, cpu_name


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
