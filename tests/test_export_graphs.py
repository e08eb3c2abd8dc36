"""Exported graphs answer as PyTorch does, for any size of batch, and know what they need; one that does not is never written."""

import json
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

import objabn
from objabn.exporting import graphs
from objabn.models.network import AttentionNetwork

pytestmark = pytest.mark.usefixtures("shallow")


def lively(**settings: object) -> AttentionNetwork:
    """A small network in training mode whose statistics and scores are not those of a new one."""
    torch.manual_seed(0)
    net = objabn.create_model("x3d_nano", **{"classes": 5, "clip_frames": 4, "clip_size": 48, "cut": 3, **settings})
    net.class_names = ("a", "b", "c", "d", "é")
    with torch.no_grad():
        for _ in range(3):
            net(clips(4))
        for layer in (net.backbone.blocks[5].proj, net.branch.class_conv):
            if not isinstance(layer, torch.nn.Identity):
                layer.weight.mul_(50)
    return net


def clips(count: int) -> Tensor:
    return torch.randint(0, 256, (count, 3, 4, 48, 48), dtype=torch.uint8)


def answers_of(path: Path) -> graphs.Answers:
    run = graphs.run_onnx if path.suffix == ".onnx" else graphs.run_pt2
    return run(path.read_bytes())


def check_answers(net: AttentionNetwork, run: graphs.Answers) -> None:
    """Compare what was read from a file with its network on clips that the export has not seen, one and three of them."""
    net.eval()
    for count in (1, 3):
        clip = clips(count)
        answered = run(clip)
        with torch.no_grad():
            output = net(clip)
        assert set(answered) == {"logits", "branch_logits", "maps"}
        assert float(output.logits.abs().max()) > 0.05, "logits of nothing would be equal to anything"
        for name, value in answered.items():
            assert torch.allclose(value, getattr(output, name), rtol=1e-4, atol=1e-4), name


def test_an_onnx_file_answers_as_the_network_does_and_says_what_it_is(tmp_path: Path) -> None:
    import onnx
    import onnxruntime

    net, path = lively(heads=3), tmp_path / "net.onnx"
    written = objabn.export(net, "onnx", path)
    assert (written.path, written.checkpoint, set(written.differences)) == (path, None, {"logits", "branch_logits", "maps"})
    assert max(written.differences.values()) < 1e-4
    assert list(tmp_path.iterdir()) == [path]
    assert net.training, "the network itself stays as it was"
    check_answers(net, answers_of(path))
    onnx.checker.check_model(path, full_check=True)
    assert [(opset.domain, opset.version) for opset in onnx.load(path).opset_import] == [("", graphs.OPSET)]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [(put.name, put.type, put.shape) for put in (*session.get_inputs(), *session.get_outputs())] == [
        ("clip", "tensor(uint8)", ["batch", 3, 4, 48, 48]),
        ("logits", "tensor(float)", ["batch", 5]),
        ("branch_logits", "tensor(float)", ["batch", 5]),
        ("maps", "tensor(float)", ["batch", 3, 4, 6, 6]),
    ]
    told = session.get_modelmeta().custom_metadata_map
    assert json.loads(told["class_names"]) == ["a", "b", "c", "d", "é"]
    assert json.loads(told["map_names"]) == ["M_u", "M_o", "M_b"]
    assert (told["backbone"], told["clip_frames"], told["clip_size"]) == ("x3d_nano", "4", "48")


@pytest.mark.slow
def test_a_pt2_file_answers_as_the_network_does_and_says_what_it_is(tmp_path: Path) -> None:
    net, path = lively(heads=3), tmp_path / "net.pt2"
    objabn.export(net, "pt2", path)
    extra = {"objabn.json": ""}
    program = torch.export.load(path, extra_files=extra)
    check_answers(net, program.module())
    assert program.example_inputs is None
    assert json.loads(extra["objabn.json"])["class_names"] == ["a", "b", "c", "d", "é"]


@pytest.mark.slow
@pytest.mark.parametrize("file_format", ["onnx", "pt2"])
@pytest.mark.parametrize("settings", [{"heads": 1}, {"system": "abn", "apply": "residual", "class_head": "gap", "map_kernel": 3, "cut": 2}])
def test_other_systems_are_exported_too(tmp_path: Path, file_format: str, settings: dict[str, object]) -> None:
    net = lively(**settings)
    check_answers(net, answers_of(objabn.export(net, file_format, tmp_path / f"net.{file_format}").path))


@pytest.mark.parametrize("wrong", [2e-3, float("nan")])
def test_a_file_that_answers_otherwise_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: float) -> None:
    net = lively()
    exported = graphs.Exported(net).eval()

    def run_wrongly(_content: bytes) -> graphs.Answers:
        return lambda clip: {name: value + wrong if name == "maps" else value for name, value in exported(clip).items()}

    monkeypatch.setattr(graphs, "pt2_content", lambda *_given: b"")
    monkeypatch.setattr(graphs, "run_pt2", run_wrongly)
    with pytest.raises(RuntimeError, match=r"The exported maps differ by .* from PyTorch's, and 1\.0e-03 is allowed; nothing was written"):
        objabn.export(net, "pt2", tmp_path / "net.pt2")
    assert list(tmp_path.iterdir()) == []


def test_differences_are_measured_against_the_largest_value() -> None:
    def graph(error: float) -> graphs.Answers:
        return lambda clip: {"logits": clip + error}

    clip = torch.tensor([0.0, 20.0])
    assert graphs.compare(graph(0), graph(0.015), (clip,)) == {"logits": pytest.approx(0.015, rel=1e-3)}
    with pytest.raises(RuntimeError, match=r"differ by 2\.5e-02 .* 2\.0e-02 is allowed"):
        graphs.compare(graph(0), graph(0.025), (clip,))


def test_without_onnxruntime_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(RuntimeError, match=r"needs onnxruntime, which is not installed: pip install 'objabn\[onnx\]'"):
        objabn.export(lively(), "onnx", tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("file_format", ["onnx", "pt2"])
def test_a_pretrained_x3d_m_at_full_size_is_exported(shared_data: Path, tmp_path: Path, file_format: str) -> None:
    torch.manual_seed(0)
    net = objabn.create_model("x3d_m", heads=3, classes=101, weights=str(shared_data / "weights/x3d_m_k400_from_xs_int8.pth"))
    written = objabn.export(net, file_format, tmp_path / f"net.{file_format}")
    assert max(written.differences.values()) < 1e-3
    assert answers_of(written.path)(torch.zeros(1, 3, 16, 224, 224, dtype=torch.uint8))["maps"].shape == (1, 3, 16, 14, 14)
