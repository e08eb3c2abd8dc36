"""Installed packages: what objabn requires, what its extras would bring, and what does not go together."""

import platform
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from objabn.diagnosis.findings import Finding, note, ok, problem
from objabn.versions import torch_build

EXTRAS = {
    "boxes": "objabn evaluate reads boxes in MATLAB's form with it",
    "masks": "objabn masks finds people and objects with it",
    "onnx": "objabn export writes and checks ONNX files with it",
    "track": "runs can be followed in TensorBoard or Weights & Biases",
    "view": "objabn view shows its page with it",
}
DALI_VERSIONS = ">=2.4,<3"
OPENCV = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")


def findings() -> Iterator[Finding]:
    """Yield what is found of Python and the installed packages."""
    installed: dict[str, str] = {canonicalize_name(found.name): found.version for found in metadata.distributions()}
    requirements = [Requirement(text) for text in metadata.requires("objabn") or []]
    cuda = (torch_build() or {}).get("cuda")
    yield ok("Python", f"{platform.python_version()} at {sys.executable}")
    yield from check_required(requirements, installed)
    for extra in EXTRAS:
        yield check_extra(extra, requirements, installed)
    yield from check_opencv(installed)
    yield check_dali(installed, cuda)


def check_required(requirements: Iterable[Requirement], installed: Mapping[str, str]) -> Iterator[Finding]:
    """Compare what objabn cannot do without to what is installed."""
    fitting = []
    for requirement in requirements:
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        version = installed.get(canonicalize_name(requirement.name))
        install = f"pip install '{requirement.name}{requirement.specifier}'"
        if version is None:
            yield problem(requirement.name, "is not installed, and objabn needs it", install, stops_training=True)
        elif not fits(version, requirement.specifier):
            yield problem(requirement.name, f"is {version}; objabn needs {requirement.specifier}", install)
        else:
            fitting.append(f"{requirement.name} {version}")
    yield from [ok("required", ", ".join(fitting))] if fitting else []


def check_extra(extra: str, requirements: Iterable[Requirement], installed: Mapping[str, str]) -> Finding:
    """Say whether the packages of an extra are there, and how to get them."""
    wanted = [found for found in requirements if found.marker is not None and found.marker.evaluate({"extra": extra})]
    there = {found.name: installed.get(canonicalize_name(found.name)) for found in wanted}
    missing = [found for found in wanted if not fits(there[found.name], found.specifier)]
    if missing:
        told = ", ".join(f"{found.name} {there[found.name] or ''}".strip() for found in missing)
        install = "pip install " + " ".join(f"'{found.name}{found.specifier}'" for found in missing)
        return note(f"extra {extra}", f"not installed, or in another version: {told} ({EXTRAS[extra]})", install)
    return ok(f"extra {extra}", ", ".join(f"{name} {version}" for name, version in there.items()))


def fits(version: str | None, wanted: SpecifierSet) -> bool:
    """Say whether a version is installed and among those wanted."""
    return version is not None and wanted.contains(version, prereleases=True)


def check_opencv(installed: Mapping[str, str]) -> Iterator[Finding]:
    """Find several packages that write into the one folder cv2, so that whichever came last has overwritten the others."""
    found = [name for name in OPENCV if name in installed]
    if len(found) > 1:
        remedy = f"pip uninstall -y {' '.join(found)}, then pip install {found[0]}"
        yield problem("OpenCV", f"{' and '.join(found)} overwrite each other", remedy)


def check_dali(installed: Mapping[str, str], torch_cuda: str | None, system: str = sys.platform) -> Finding:
    """Find no build of DALI, two, which overwrite each other, one for another CUDA than torch's, or one of another version."""
    builds = sorted(name for name in installed if name.startswith("nvidia-dali") and "-cuda" in name)
    major = (torch_cuda or "13").partition(".")[0]
    install = f"pip install 'nvidia-dali-cuda{major}0{DALI_VERSIONS}'"
    if not builds:
        return note(
            "DALI", "not installed; --loader reader works without it", install if system == "linux" else "DALI exists for Linux only."
        )
    uninstall = f"pip uninstall -y {' '.join(builds)}, then {install}"
    if len(builds) > 1:
        return problem("DALI", f"{' and '.join(builds)} overwrite each other", uninstall)
    if torch_cuda is not None and not builds[0].endswith(f"-cuda{major}0"):
        return problem("DALI", f"{builds[0]} is for another CUDA than torch, which was built for {torch_cuda}", uninstall)
    build, version = builds[0], installed[builds[0]]
    if not fits(version, SpecifierSet(DALI_VERSIONS)):
        return problem("DALI", f"{build} is {version}; objabn needs {DALI_VERSIONS}", install)
    return ok("DALI", f"{build} {version}")
