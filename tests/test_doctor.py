"""`objabn doctor` as a whole: probes that crash, hang or print cost a line each, and the exit code says whether training is possible."""

import json
import time
from pathlib import Path

import pytest
from commands import run

from cli import doctor
from objabn.diagnosis.findings import Finding, note, ok, problem
from objabn.diagnosis.isolation import Probe, run_apart

HEAD = "import ctypes, os, sys, time\nfrom objabn.diagnosis.findings import ok\ndef findings(*arguments):\n    yield ok('first', 'seen')\n"
PROBES = {
    "sound": "    print('a library prints'); os.write(1, b'and its C too')\n    yield ok('second', ','.join(arguments))",
    "raises": "    raise OSError('libcuda.so is missing')",
    "crashes": "    ctypes.string_at(0)",
    "leaves": "    os._exit(7)",
    "hangs": "    time.sleep(60)",
}


@pytest.fixture
def probe_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of modules that can be probed, on the path of new processes."""
    for name, body in PROBES.items():
        (tmp_path / f"probe_{name}.py").write_text(f"{HEAD}{body}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    return tmp_path


def examine(name: str, *arguments: str, seconds: float = 60.0) -> list[Finding]:
    """Run one of the probes; its second finding is what its end made of it."""
    return run_apart(Probe(f"probe_{name}", "subject", "Mend it.", True, arguments), seconds=seconds)


def test_what_a_library_prints_is_no_finding(probe_folder: Path) -> None:
    assert examine("sound", "a b", "c") == [ok("first", "seen"), ok("second", "a b,c")]


@pytest.mark.parametrize(
    ("name", "text"),
    [("raises", "OSError: libcuda.so is missing"), ("crashes", "crashed with SIGSEGV"), ("leaves", "ended with exit code 7")],
)
def test_a_probe_that_fails_is_a_problem_behind_what_it_found(probe_folder: Path, name: str, text: str) -> None:
    assert examine(name) == [ok("first", "seen"), problem("subject", text, "Mend it.", stops_training=True)]


def test_a_probe_that_hangs_is_ended(probe_folder: Path) -> None:
    begin = time.monotonic()
    found = examine("hangs", seconds=2.0)
    assert found[-1] == problem("subject", "no answer within 2 seconds", "Mend it.", stops_training=True)
    assert time.monotonic() - begin < 30


def test_a_module_that_cannot_be_imported_is_a_problem(probe_folder: Path) -> None:
    (finding,) = examine("nowhere")
    assert finding.text == "ModuleNotFoundError: No module named 'probe_nowhere'"


def test_a_file_of_the_working_folder_is_not_taken_for_a_library(probe_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (probe_folder / "work").mkdir()
    (probe_folder / "work" / "json.py").write_text("raise SystemExit('taken')")
    monkeypatch.chdir(probe_folder / "work")
    assert examine("sound")[-1].status == "ok"


def diagnose(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *findings: Finding, code: int) -> str:
    monkeypatch.setattr(doctor, "examine", lambda _probes: [("Things", list(findings)), ("Others", [ok("other", "fine")])])
    monkeypatch.setenv("COLUMNS", "60")
    return run("doctor", "--json", str(tmp_path / "findings.json"), code=code)


@pytest.mark.parametrize(
    ("finding", "code", "conclusion"),
    [
        (note("GPU", "none"), 0, "No problems."),
        (problem("DALI", "broken", "Mend it."), 0, "Problems: 1. Training is possible."),
        (
            problem("torch", "broken", "Mend it.", stops_training=True),
            1,
            "Problems: 1. Nothing can be trained here before they are mended.",
        ),
    ],
)
def test_the_exit_code_says_whether_training_is_possible(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, finding: Finding, code: int, conclusion: str
) -> None:
    shown = diagnose(monkeypatch, tmp_path, finding, code=code)
    assert shown.rstrip().endswith(conclusion)
    assert ("-> Mend it." in shown) == (finding.status == "problem")
    written = json.loads((tmp_path / "findings.json").read_text())
    assert written["can_train"] == (code == 0)
    assert written["sections"]["Things"] == [finding._asdict()]
    assert list(written["sections"]) == ["Things", "Others"]


def test_brackets_of_an_error_are_shown_as_they_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shown = diagnose(monkeypatch, tmp_path, problem("[red]", "pip install 'x[y]' [/bold]", "Mend [it]."), code=0)
    assert "[red]  pip install 'x[y]' [/bold]" in shown
    assert "-> Mend [it]." in shown


def test_every_probe_names_a_module_with_findings_and_dali_is_left_out_where_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.util import find_spec

    assert all(find_spec(probe.module) for probe in doctor.probes(Path("data")).values())
    monkeypatch.setattr(doctor, "has_dali", lambda: False)
    assert "DALI" not in doctor.probes(Path("data"))


@pytest.mark.slow
def test_this_machine_can_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run("doctor", "--json", "findings.json")
    written = json.loads(Path("findings.json").read_text())
    assert written["can_train"]
    assert {"Packages", "Names", "Machine", "GPU", "Videos", "Networks", "Datasets"} <= set(written["sections"])
    assert all(finding["remedy"] for findings in written["sections"].values() for finding in findings if finding["status"] == "problem")
