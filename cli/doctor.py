"""`objabn doctor`: what this machine can do, and what to mend."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.compose import has_dali
from cli.places import DataOption

if TYPE_CHECKING:
    from objabn.diagnosis.findings import Finding
    from objabn.diagnosis.isolation import Probe

COLOURS = {"ok": "green", "note": "yellow", "problem": "bold red"}
REINSTALL = "Install objabn anew with pip; it brings what it needs."


def doctor(
    *,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the findings to this file too.")] = None,
    data: DataOption = Path("data"),
) -> None:
    """Say what this machine can do, and how to mend what it cannot; exit code 1 if it cannot train.

    Nothing is downloaded or changed. Example: objabn doctor --json findings.json
    """
    from objabn.files import write_json

    found: dict[str, list[Finding]] = {}
    for section, findings in examine(probes(data)):
        found[section] = findings
        show(section, findings)
    everything = [finding for findings in found.values() for finding in findings]
    print(conclusion(everything))
    can_train = not any(finding.stops_training for finding in everything)
    if json_file is not None:
        sections = {section: [finding._asdict() for finding in findings] for section, findings in found.items()}
        write_json(json_file, {"can_train": can_train, "sections": sections})
    if not can_train:
        raise typer.Exit(1)


def probes(data: Path) -> "dict[str, Probe]":
    """Return what is looked at, by the title of its section."""
    from objabn.diagnosis.isolation import Probe

    folder = (str(data),)
    dali = Probe("dali_pipelines.probe", "DALI", "Install DALI anew, or take --loader reader, which needs none.")
    return {
        "Packages": Probe("objabn.diagnosis.packages", "packages", REINSTALL),
        "Names": Probe("objabn.diagnosis.shadows", "names", REINSTALL),
        "Machine": Probe("objabn.diagnosis.computer", "machine", REINSTALL, arguments=folder),
        "GPU": Probe("objabn.diagnosis.gpu", "torch", "Install torch anew: pip install --force-reinstall torch.", stops_training=True),
        **({"DALI": dali} if has_dali() else {}),
        "Videos": Probe("objabn.diagnosis.video", "PyAV", "Install PyAV anew: pip install --force-reinstall av.", stops_training=True),
        "Networks": Probe("objabn.diagnosis.networks", "networks", REINSTALL, stops_training=True),
        "Datasets": Probe("objabn.diagnosis.datasets", "datasets", REINSTALL, stops_training=True, arguments=folder),
    }


def examine(looked_at: "dict[str, Probe]") -> "Iterator[tuple[str, list[Finding]]]":
    """Yield the findings of each section in order, while the following ones are being looked at."""
    from objabn.diagnosis.isolation import run_apart
    from objabn.machine import available_cores

    with ThreadPoolExecutor(available_cores()) as pool:
        yield from zip(looked_at, pool.map(run_apart, looked_at.values()), strict=True)


def show(section: str, findings: "list[Finding]") -> None:
    """Print a section, one finding a line, remedies below them."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for finding in findings:
        lines = [finding.text, *([f"-> {finding.remedy}"] if finding.remedy else [])]
        table.add_row(Text(finding.status, COLOURS[finding.status]), Text(finding.subject), Text("\n".join(lines)))
    console = Console(highlight=False)
    console.print(Text(section, "bold"))
    console.print(Padding(table, (0, 0, 1, 2)))


def conclusion(findings: "list[Finding]") -> str:
    """Say in one sentence how things stand."""
    problems = sum(finding.status == "problem" for finding in findings)
    if any(finding.stops_training for finding in findings):
        return f"Problems: {problems}. Nothing can be trained here before they are mended."
    return f"Problems: {problems}. Training is possible." if problems else "No problems."
