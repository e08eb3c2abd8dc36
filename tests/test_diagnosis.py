"""Checks of `objabn doctor` that need no GPU: each is shown something sound and something broken, and every problem has a remedy."""

from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from videos import class_folders, packed

from objabn.diagnosis import computer, datasets, packages, video
from objabn.diagnosis.findings import Finding

REQUIREMENTS = [Requirement(text) for text in ("torch>=2.10", "av>=14", "onnx>=1.17; extra == 'onnx'", "onnxruntime>=1.2; extra == 'onnx'")]
SOUND = {"torch": "2.15.0", "av": "18.1.0", "onnx": "1.23", "onnxruntime": "1.31"}


def problems(findings: Iterable[Finding]) -> list[Finding]:
    """Return the problems, each with its remedy."""
    found = [finding for finding in findings if finding.status == "problem"]
    assert all(finding.remedy for finding in found)
    return found


def test_a_sound_set_of_packages_is_one_line() -> None:
    (finding,) = packages.check_required(REQUIREMENTS, SOUND)
    assert finding == ("ok", "required", "torch 2.15.0, av 18.1.0", "", False)


def test_a_required_package_that_is_absent_stops_training_and_an_old_one_does_not() -> None:
    old, absent = problems(packages.check_required(REQUIREMENTS, {"torch": "2.9.1"}))
    assert (absent.subject, absent.stops_training, absent.remedy) == ("av", True, "pip install 'av>=14'")
    assert (old.text, old.stops_training, old.remedy) == ("is 2.9.1; objabn needs >=2.10", False, "pip install 'torch>=2.10'")


def test_an_extra_that_is_half_there_is_completed_by_one_command() -> None:
    assert packages.check_extra("onnx", REQUIREMENTS, SOUND).status == "ok"
    half = packages.check_extra("onnx", REQUIREMENTS, {"onnx": "1.23"})
    assert (half.status, half.remedy) == ("note", "pip install 'onnxruntime>=1.2'")
    old = packages.check_extra("onnx", REQUIREMENTS, SOUND | {"onnx": "1.3"})
    assert ("onnx 1.3 (" in old.text, old.remedy) == (True, "pip install 'onnx>=1.17'")


def test_every_extra_is_looked_at_but_those_of_dali_and_of_developers() -> None:
    extras = set(metadata.metadata("objabn").get_all("Provides-Extra"))
    assert set(packages.EXTRAS) == extras - {"cuda12", "cuda13", "dev", "bench"}


def test_two_packages_of_opencv_are_found() -> None:
    assert not list(packages.check_opencv({"opencv-python": "5.0"}))
    (finding,) = problems(packages.check_opencv({"opencv-python": "5.0", "opencv-python-headless": "5.0"}))
    assert finding.remedy == "pip uninstall -y opencv-python opencv-python-headless, then pip install opencv-python"


@pytest.mark.parametrize(
    ("builds", "cuda", "status", "remedy"),
    [
        ("nvidia-dali-cuda130", "13.2", "ok", ""),
        ("nvidia-dali-cuda120", "12.8", "ok", ""),
        ("nvidia-dali-cuda120", None, "ok", ""),
        ("", "13.2", "note", "pip install 'nvidia-dali-cuda130>=2.4,<3'"),
        ("", "12.8", "note", "pip install 'nvidia-dali-cuda120>=2.4,<3'"),
        ("nvidia-dali-cuda120", "13.2", "problem", "pip uninstall -y {}, then pip install 'nvidia-dali-cuda130>=2.4,<3'"),
        (
            "nvidia-dali-cuda120 nvidia-dali-cuda130",
            "13.2",
            "problem",
            "pip uninstall -y {}, then pip install 'nvidia-dali-cuda130>=2.4,<3'",
        ),
    ],
)
def test_dali_must_be_one_build_for_the_cuda_of_torch(builds: str, cuda: str | None, status: str, remedy: str) -> None:
    finding = packages.check_dali(dict.fromkeys(builds.split(), "2.4.0"), cuda, "linux")
    assert (finding.status, finding.remedy) == (status, remedy.format(builds))


def test_dali_must_be_of_the_version_that_the_extra_asks_for() -> None:
    (finding,) = problems([packages.check_dali({"nvidia-dali-cuda130": "1.50.0"}, "13.2", "linux")])
    assert (finding.text, finding.stops_training) == ("nvidia-dali-cuda130 is 1.50.0; objabn needs >=2.4,<3", False)
    wanted = [Requirement(text) for text in metadata.requires("objabn") if text.startswith("nvidia-dali")]
    assert [str(found.specifier) for found in wanted] == [str(SpecifierSet(packages.DALI_VERSIONS))] * 2


def test_dali_is_not_offered_where_it_does_not_exist() -> None:
    assert "Linux only" in packages.check_dali({}, None, "darwin").remedy


def test_what_is_installed_here_is_looked_at() -> None:
    found = {finding.subject: finding for finding in packages.findings()}
    assert {"Python", "required", "extra masks", "extra onnx", "extra track", "DALI"} <= set(found)
    assert f"torch {metadata.version('torch')}" in found["required"].text


def test_little_memory_is_noted_and_the_limit_of_a_container_counts(tmp_path: Path) -> None:
    assert computer.check_memory(16_000_000_000) == ("ok", "memory", "16 GB", "", False)
    assert computer.check_memory(2_000_000_000).status == "note"
    limit = tmp_path / "memory.max"
    limit.write_text("1000000\n")
    assert computer.usable_memory(limit) == 1_000_000
    limit.write_text("max\n")
    assert computer.usable_memory(limit) == computer.usable_memory(tmp_path / "absent") > 1_000_000


@pytest.mark.parametrize(("free", "status"), [(50e9, "ok"), (10e9, "note"), (0.5e9, "problem")])
def test_little_space_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: float, status: str) -> None:
    asked = []

    def usage(place: Path) -> object:
        asked.append(place)
        return type("Usage", (), {"free": free})

    monkeypatch.setattr("shutil.disk_usage", usage)
    finding = computer.check_disk(tmp_path / "not yet" / "data")
    assert (finding.status, bool(finding.remedy)) == (status, status != "ok")
    assert asked == [tmp_path]


def test_a_folder_that_cannot_be_written_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda _place, _mode: False)
    (finding,) = problems([computer.check_disk(tmp_path / "data")])
    assert str(tmp_path) in finding.text


def test_missing_codecs_are_named() -> None:
    assert [finding.status for finding in video.findings()] == ["ok"] * 3
    (finding,) = problems([video.check_codecs("encoders", video.ENCODERS, lambda name: name != "libx264")])
    assert finding.text == "missing: h264"
    assert not video.has_codec("no such codec", "r")


def test_packed_datasets_are_judged_one_by_one(tmp_path: Path) -> None:
    (nothing,) = datasets.findings(str(tmp_path / "packed"))
    assert (nothing.status, nothing.subject) == ("note", "datasets")

    root = packed(class_folders(tmp_path / "videos"), tmp_path).root
    found = datasets.check_folder(root)
    assert (found.status, found.text, found.remedy) == (
        "note",
        "4 videos of 2 classes, store frames, without masks",
        f"objabn masks {root}",
    )
    (root / "manifest.json").rename(tmp_path / "manifest.json")
    assert "is not finished" in datasets.check_folder(root).text
    (root / "manifest.json").write_text("{}")
    (finding,) = problems([datasets.check_folder(root)])
    assert "objabn prepare" in finding.remedy
    assert datasets.check_folder(tmp_path / "videos") is None


def test_masks_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = packed(class_folders(tmp_path / "videos"), tmp_path)
    monkeypatch.setattr(type(dataset), "has_masks", True)
    assert datasets.check_folder(dataset.root) == ("ok", "packed", "4 videos of 2 classes, store frames, with masks", "", False)
