"""Checks of `objabn doctor` that touch GPU, DALI and networks: each is shown something broken; a real GPU where there is one."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from test_diagnosis import problems

from objabn.diagnosis import gpu, networks
from objabn.models.build import create_model
from objabn.models.sizes import BACKBONES

H200 = gpu.DriverGpu("NVIDIA H200", "580.1")


def test_no_gpu_at_all_is_a_note() -> None:
    assert gpu.explain_absence([], "13.2", None).status == "note"


@pytest.mark.parametrize(
    ("torch_cuda", "visible", "status", "words"),
    [
        (None, None, "problem", "a build without CUDA"),
        ("13.2", "", "note", "hides it"),
        ("13.2", "-1", "note", "hides it"),
        ("13.2", "0", "problem", "driver too old"),
        ("13.2", None, "problem", "driver too old"),
    ],
)
def test_a_gpu_that_torch_does_not_see_is_explained(
    monkeypatch: pytest.MonkeyPatch, torch_cuda: str | None, visible: str | None, status: str, words: str
) -> None:
    def refuse() -> None:
        raise RuntimeError("driver too old\nand more")

    monkeypatch.setattr(torch.cuda, "init", refuse)
    finding = gpu.explain_absence([H200], torch_cuda, visible)
    assert finding.status == status
    assert words in finding.text
    assert "more" not in finding.text
    assert finding.remedy


@pytest.fixture
def fake_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program nvidia-smi that prints what its file `answer` holds and fails where there is none."""
    program = tmp_path / "nvidia-smi"
    program.write_text(f'#!/bin/sh\n[ -f {tmp_path}/answer ] || exit 2\necho "$@" > {tmp_path}/asked\ncat {tmp_path}/answer\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path / "answer"


def test_the_driver_is_asked(fake_nvidia_smi: Path) -> None:
    assert gpu.driver_gpus() == []
    fake_nvidia_smi.write_text("NVIDIA H200, 580.1\nNVIDIA H200, 580.1\n")
    assert gpu.driver_gpus() == [H200, H200]
    assert fake_nvidia_smi.with_name("asked").read_text() == "--query-gpu=name,driver_version --format=csv,noheader\n"


def test_engines_are_told_where_the_driver_tells_them() -> None:
    assert [finding.status for finding in gpu.check_engines([["0 %", "3 %"]])] == ["ok", "ok"]
    assert [finding.status for finding in gpu.check_engines([["0 %", "0 %"], ["0 %", "[N/A]"]])] == ["ok", "note"]
    assert list(gpu.check_engines([])) == []


def test_what_kernels_are_built_with_is_looked_for(tmp_path: Path) -> None:
    header = tmp_path / "Python.h"
    assert gpu.check_compiler(None, header).text == f"cannot build kernels without a C compiler and {header}"
    assert gpu.check_compiler("/bin/gcc", header).status == "note"
    header.touch()
    assert gpu.check_compiler("/bin/gcc", header) == ("ok", "torch.compile", "builds kernels with /bin/gcc", "", False)


def test_a_gpu_that_cannot_compute_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_given: object, **_named: object) -> None:
        raise RuntimeError("no kernel image is available for execution on the device")

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _number: SimpleNamespace(name="Old"))
    monkeypatch.setattr(torch, "ones", refuse)
    (finding,) = problems([gpu.check_device(0)])
    assert "no kernel image" in finding.text


@pytest.mark.gpu
def test_this_gpu_is_described_and_can_compute() -> None:
    found = {finding.subject: finding for finding in gpu.findings()}
    assert found["cuda:0"].status == "ok"
    assert torch.cuda.get_device_name(0) in found["cuda:0"].text


def test_the_network_check_builds_and_differentiates() -> None:
    assert networks.check_network().status == "ok"


def test_weights_are_read_and_cut_off_downloads_found(tmp_path: Path) -> None:
    (absent,) = networks.check_weights(tmp_path)
    assert (absent.status, "X3D_M.pyth" in absent.text, str(tmp_path) in absent.remedy) == ("note", True, True)
    path = tmp_path / "X3D_XS.pyth"
    torch.save({"model_state": create_model("x3d_nano", classes=2).backbone.state_dict()}, path)
    whole, _absent = networks.check_weights(tmp_path)
    assert (whole.status, whole.subject) == ("ok", "x3d_xs")
    path.write_bytes(path.read_bytes()[:1000])
    broken, _absent = networks.check_weights(tmp_path)
    assert problems([broken])[0].remedy == f"Delete {path}; it is downloaded again when first needed."


def test_every_published_file_has_a_name_of_its_own() -> None:
    files = [size.kinetics400.rpartition("/")[2] for size in BACKBONES.values() if size.kinetics400]
    assert len(set(files)) == len(files) == 9


def test_segmenters_are_named(tmp_path: Path) -> None:
    assert networks.check_segmenters(tmp_path).status == "note"
    (tmp_path / "yolo26n-seg.pt").touch()
    assert "yolo26n-seg.pt" in networks.check_segmenters(tmp_path).text


def test_dali_decodes_here_what_it_says() -> None:
    probe = pytest.importorskip("dali_pipelines.probe", exc_type=ImportError)
    found = {finding.subject: finding.status for finding in probe.findings()}
    assert {"DALI": "ok", "jpeg on the CPU": "ok", "vp9 on the CPU": "ok"}.items() <= found.items()
    places = {f"{codec} on the GPU": "ok" for codec in ("jpeg", "h264", "vp9")} if torch.cuda.is_available() else {"h264": "note"}
    assert places.items() <= found.items()


def test_dali_that_refuses_or_returns_the_wrong_frame_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    probe = pytest.importorskip("dali_pipelines.probe", exc_type=ImportError)
    (refused,) = problems([probe.check_decoder(probe.Decoder("h264", "cpu", "Pack anew."))])
    assert refused.text.startswith("cannot be decoded (Assert on")
    assert refused.remedy == "Pack anew."
    monkeypatch.setattr(probe, "decode", lambda _decoder, frames: torch.from_numpy(frames[probe.FRAME - 1]))
    (shifted,) = problems([probe.check_decoder(probe.Decoder("vp9", "cpu", "Pack anew."))])
    assert "comes out wrong" in shifted.text
