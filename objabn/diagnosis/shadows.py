"""Names that are taken twice: files of the working folder, second copies on the search path, packages of others named like ours."""

import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

import objabn
from objabn.diagnosis.findings import Finding, note, ok, problem

OWN = ("objabn", "dali_pipelines", "cli", "benchmarks")
NEEDED = ("av", "numpy", "PIL", "pytorchvideo", "rich", "safetensors", "timm", "torch", "torchvision", "typer", "zstandard")


def findings() -> Iterator[Finding]:
    """Yield every name that is taken twice, or that there is none."""
    home = Path(objabn.__file__).resolve().parents[1]
    search_path = [Path(entry) for entry in sys.path if entry]
    distributions = metadata.packages_distributions()
    found = [
        *check_working_folder(Path.cwd(), search_path, distributions),
        *check_search_path(search_path, home),
        *check_distributions(distributions),
        *check_origin(home, next(iter(metadata.distributions(name="objabn")), None)),
        *check_command(shutil.which("objabn"), Path(sys.executable)),
    ]
    yield from found or [ok("names", f"objabn comes from {home}, and no package of its names or of those it needs is there twice")]


def place_of(name: str, folder: Path) -> Path | None:
    """Return what `import name` would take in a folder: NAME.py or NAME/__init__.py; a folder without that file hides nothing."""
    places = (folder / name / "__init__.py", folder / f"{name}.py")
    return next((place for place in places if place.is_file()), None)


def first_place(name: str, search_path: Iterable[Path]) -> Path | None:
    """Return what `import name` takes."""
    return next((place for folder in search_path if (place := place_of(name, folder)) is not None), None)


def shown(place: Path) -> Path:
    """Return what people see of a place: the folder of a package, or the file."""
    return place.parent if place.name == "__init__.py" else place


def check_working_folder(folder: Path, search_path: Sequence[Path], installed: Iterable[str]) -> Iterator[Finding]:
    """Find files that a Python started in this folder takes in place of an installed module; the command objabn does not."""
    for name in sorted({*OWN, *NEEDED, *installed, *sys.stdlib_module_names}):
        place, used = place_of(name, folder), first_place(name, search_path)
        if place is not None and used is not None and not used.samefile(place):
            text = f"a Python started in this folder imports {shown(place)} in place of the installed {name}"
            judge = problem if name in OWN + NEEDED else note
            yield judge(name, text, f"Rename {shown(place)}.")


def check_search_path(search_path: Sequence[Path], home: Path) -> Iterator[Finding]:
    """Find parts of objabn that do not come from where objabn comes from, and second copies of packages it needs."""
    for name in OWN:
        used = first_place(name, search_path)
        if used is not None and not used.resolve().is_relative_to(home):
            remedy = f"Remove {shown(used)}, or take its folder off PYTHONPATH."
            yield problem(name, f"comes from {shown(used)} and objabn from {home}", remedy)
    for name in NEEDED:
        places = list(dict.fromkeys(place.resolve() for folder in search_path if (place := place_of(name, folder)) is not None))
        if len(places) > 1:
            text = f"{shown(places[0])} is used, and {shown(places[1])} is not"
            yield note(name, text, "Uninstall one of them if that is not wanted.")


def check_distributions(distributions: Mapping[str, Sequence[str]]) -> Iterator[Finding]:
    """Find installed packages of others that bring a top-level name of ours; `distributions` gives the owners of each name."""
    for name in OWN:
        for other in sorted(set(distributions.get(name, ())) - {"objabn"}):
            yield problem(name, f"the package {other} installs the name {name} too, which is objabn's", f"pip uninstall {other}")


def check_origin(home: Path, installed: metadata.Distribution | None) -> Iterator[Finding]:
    """Compare where objabn is imported from to where pip has put it."""
    if installed is None:
        return
    address = json.loads(installed.read_text("direct_url.json") or "{}")
    is_editable = address.get("dir_info", {}).get("editable", False)
    place = Path(unquote(urlsplit(address["url"]).path)) if is_editable else Path(str(installed.locate_file("")))
    if place.resolve() != home:
        remedy = f"Take {home} off PYTHONPATH, or install it: pip install -e {home}"
        yield problem("objabn", f"is imported from {home}, and installed in {place}", remedy)


def check_command(command: str | None, python: Path) -> Iterator[Finding]:
    """Compare the Python that the shell's `objabn` starts to the one that runs now."""
    lines = [] if command is None else Path(command).read_text(errors="replace").splitlines()[:2]
    named = [Path(found) for line in lines for found in re.findall(r"/[^\s'\"]*/python[^\s'\"/]*", line)]
    if named and named[0].parent.resolve() != python.parent.resolve():
        remedy = f"Put the right one first: export PATH={python.parent}{os.pathsep}$PATH"
        yield problem("command", f"the shell's objabn is {command}, which starts {named[0]} and not {python}", remedy)
