"""Names that are taken twice are found, and what only looks like it is left alone."""

import json
from importlib import metadata
from pathlib import Path

import pytest
from test_diagnosis import problems

from objabn.diagnosis import shadows


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of installed modules: torch, six, objabn's own four, and one of Python itself."""
    for name in ("torch", *shadows.OWN):
        make_package(tmp_path / "site" / name)
    for name in ("six.py", "types.py"):
        (tmp_path / "site" / name).touch()
    return tmp_path / "site"


def make_package(folder: Path) -> None:
    """Make a folder that can be imported."""
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()


@pytest.mark.parametrize(
    ("file", "subject", "status"),
    [
        ("torch.py", "torch", "problem"),
        ("cli/__init__.py", "cli", "problem"),
        ("six.py", "six", "note"),
        ("types.py", "types", "note"),
        ("cli/notes.txt", None, None),
        ("my_own.py", None, None),
    ],
)
def test_files_named_like_packages_are_found(site: Path, tmp_path: Path, file: str, subject: str | None, status: str | None) -> None:
    place = tmp_path / "work" / file
    place.parent.mkdir(parents=True)
    place.touch()
    found = list(shadows.check_working_folder(tmp_path / "work", [site], ["six", "torch"]))
    assert [(finding.subject, finding.status) for finding in found] == ([(subject, status)] if subject else [])
    assert all(f"Rename {tmp_path / 'work'}" in finding.remedy for finding in found)


def test_the_folder_of_the_packages_themselves_hides_nothing(site: Path) -> None:
    assert not list(shadows.check_working_folder(site, [site], ["six"]))


def test_parts_of_objabn_from_elsewhere_and_second_copies_are_found(site: Path, tmp_path: Path) -> None:
    assert not list(shadows.check_search_path([site, site], site))
    for name in ("cli", "torch"):
        make_package(tmp_path / "other" / name)
    cli, torch = shadows.check_search_path([tmp_path / "other", site], site)
    assert (cli.status, cli.subject, str(tmp_path / "other/cli") in cli.remedy) == ("problem", "cli", True)
    assert (torch.status, torch.subject) == ("note", "torch")


def test_packages_of_others_with_our_names_are_found() -> None:
    assert not list(shadows.check_distributions({"cli": ["objabn"], "torch": ["torch"]}))
    (finding,) = problems(shadows.check_distributions({"cli": ["objabn", "some-tool"]}))
    assert finding.remedy == "pip uninstall some-tool"


class Installed(metadata.Distribution):
    """objabn as pip left it in a folder, or as a pointer to its sources."""

    def __init__(self, folder: Path, address: dict[str, object] | None) -> None:
        self.folder, self.address = folder, address

    def read_text(self, filename: str) -> str | None:
        return json.dumps(self.address) if self.address and filename == "direct_url.json" else None

    def locate_file(self, path: object) -> Path:
        return self.folder / str(path)


def test_an_objabn_from_elsewhere_than_where_it_is_installed_is_found(site: Path, tmp_path: Path) -> None:
    assert not list(shadows.check_origin(site, Installed(site, None)))
    assert not list(shadows.check_origin(site, Installed(tmp_path, {"url": site.as_uri(), "dir_info": {"editable": True}})))
    assert not list(shadows.check_origin(site, Installed(site, {"url": tmp_path.as_uri(), "dir_info": {}})))
    assert not list(shadows.check_origin(site, None))
    (finding,) = problems(shadows.check_origin(site, Installed(tmp_path, None)))
    assert f"pip install -e {site}" in finding.remedy


@pytest.mark.parametrize(
    ("first_line", "is_other"),
    [
        ("#!{}/venv/bin/python", False),
        ("#!{}/venv/bin/python3.12", False),
        ("#!/other/bin/python3.12", True),
        ('#!/bin/sh\n\'\'\'exec\' "/other/bin/python" "$0" "$@"', True),
        ("MZ no text", False),
    ],
)
def test_a_command_of_another_python_is_found(tmp_path: Path, first_line: str, is_other: bool) -> None:
    command = tmp_path / "objabn"
    command.write_text(f"{first_line.format(tmp_path)}\nfrom cli.main import run\n")
    assert len(problems(shadows.check_command(str(command), tmp_path / "venv/bin/python3"))) == is_other


def test_no_command_at_all_is_no_problem(tmp_path: Path) -> None:
    assert not list(shadows.check_command(None, tmp_path / "bin/python"))


def test_here_no_name_is_taken_twice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert not problems(shadows.findings())
