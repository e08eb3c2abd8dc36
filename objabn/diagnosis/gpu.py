"""GPUs: what the driver sees, what torch can use, and which engines decode."""

import os
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from objabn.diagnosis.findings import Finding, note, ok, problem


class DriverGpu(NamedTuple):
    """A GPU as the driver tells it, without torch."""

    name: str
    driver: str
    """Version of the driver."""


def findings() -> Iterator[Finding]:
    """Yield what is found of the GPUs."""
    gpus = driver_gpus()
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            yield check_device(number)
        yield from [ok("driver", gpus[0].driver)] if gpus else []
        yield from check_engines(nvidia_smi("utilization.decoder,utilization.jpeg"))
        compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")
        yield check_compiler(compiler, Path(sysconfig.get_path("include")) / "Python.h")
    else:
        yield explain_absence(gpus, torch.version.cuda, os.environ.get("CUDA_VISIBLE_DEVICES"))


def driver_gpus() -> list[DriverGpu]:
    """Return the GPUs of the driver."""
    return [DriverGpu(*row) for row in nvidia_smi("name,driver_version")]


def nvidia_smi(fields: str) -> list[list[str]]:
    """Return one row for each GPU with these fields of nvidia-smi; [] without a driver, or where it does not know a field."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, f"--query-gpu={fields}", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.split(", ") for line in answer.stdout.splitlines()] if answer.returncode == 0 else []


def check_device(number: int) -> Finding:
    """Compute something on a GPU of torch and describe it."""
    subject = f"cuda:{number}"
    try:
        properties = torch.cuda.get_device_properties(number)
        torch.ones(8, device=subject).square().sum().item()
    except RuntimeError as error:
        text = f"cannot compute ({first_line(error)})"
        return problem(subject, text, "Install a build of torch for this GPU, or train with --device cpu.")
    bf16 = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no bf16, so that run.amp=auto is off"
    return ok(subject, f"{properties.name}, {properties.total_memory / 1e9:.0f} GB, {bf16}, torch for CUDA {torch.version.cuda}")


def check_engines(rows: list[list[str]]) -> Iterator[Finding]:
    """Say which decoding engines the GPUs have, where the driver tells: it knows no load of an engine that is not there."""
    for place, engine, otherwise in (
        (0, "NVDEC", "without it videos are decoded on the CPU"),
        (1, "JPEG engine", "CUDA cores do its work"),
    ):
        if rows and all(row[place].endswith("%") for row in rows):
            yield ok(engine, "there")
        elif rows:
            yield note(engine, f"the driver shows none; {otherwise}")


def check_compiler(compiler: str | None, header: Path) -> Finding:
    """Say whether Triton finds what it builds kernels with, for torch.compile: a C compiler, and the header of Python."""
    missing = [*([] if compiler else ["a C compiler"]), *([] if header.is_file() else [str(header)])]
    if missing:
        remedy = "Install gcc and the development package of Python (python3-dev), or train with --set run.compile=off."
        return note("torch.compile", f"cannot build kernels without {' and '.join(missing)}", remedy)
    return ok("torch.compile", f"builds kernels with {compiler}")


def explain_absence(gpus: list[DriverGpu], torch_cuda: str | None, visible: str | None) -> Finding:
    """Say why torch sees no GPU."""
    if not gpus:
        return note("GPU", "none; the CPU trains the demo in minutes and real videos in days")
    seen = f"the driver {gpus[0].driver} shows {gpus[0].name} and torch does not see it"
    if torch_cuda is None:
        return problem("GPU", f"{seen}: torch is a build without CUDA", "pip install --force-reinstall torch torchvision, with CUDA.")
    if visible in ("", "-1"):
        return note("GPU", f"{seen}: CUDA_VISIBLE_DEVICES={visible!r} hides it", "unset CUDA_VISIBLE_DEVICES")
    remedy = f"Update the driver to one for CUDA {torch_cuda}, or install a torch and a DALI built for an older CUDA (extra cuda12)."
    return problem("GPU", f"{seen}: {reason_of_torch()}", remedy)


def reason_of_torch() -> str:
    """Return what torch says when it is made to use the GPU."""
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return first_line(error)
    return "it gives no reason"


def first_line(error: Exception) -> str:
    """Return the first of an error's many lines."""
    return str(error).strip().partition("\n")[0]
