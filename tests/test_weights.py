"""Weights files in all their wrappings load strictly, or say in one sentence why not."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import objabn
from objabn.models.sizes import BACKBONES
from objabn.models.weights import load_weights, read
from objabn.models.x3d import X3D, build_x3d


def backbone(classes: int = 5, name: str = "x3d_nano") -> X3D:
    return build_x3d(name, classes=classes, cut=4, clip_frames=4, clip_size=64, dropout=0.5)


def load(net: X3D, weights: str) -> str:
    return str(load_weights(net, weights, kinetics400=None, classifier=net.classifier, name="x3d_nano"))


def wrap(kind: str, state: dict[str, torch.Tensor]) -> dict[str, object]:
    """The ways in which published files hold their tensors."""
    return {
        "raw": state,
        "model_state": {"model_state": state, "epoch": 3},
        "state_dict": {"state_dict": state},
        "module.": {f"module.{key}": value for key, value in state.items()},
        "state_dict of module.model.": {"state_dict": {f"module.model.{key}": value for key, value in state.items()}},
    }[kind]


@pytest.mark.parametrize("kind", ["raw", "model_state", "state_dict", "module.", "state_dict of module.model."])
def test_wrappings_and_prefixes_come_off(tmp_path: Path, kind: str) -> None:
    torch.manual_seed(0)
    source, net = backbone(), backbone()
    torch.save(wrap(kind, source.state_dict()), tmp_path / "weights.pyth")
    report = load(net, str(tmp_path / "weights.pyth"))
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(net.state_dict().values(), source.state_dict().values(), strict=True))
    assert report == f"{len(source.state_dict())} tensors from {tmp_path / 'weights.pyth'}."


def test_safetensors_load_and_another_classifier_is_replaced_and_said_so(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source, net = backbone(classes=400), backbone()
    save_file({key: value.contiguous() for key, value in source.state_dict().items()}, tmp_path / "k.safetensors")
    own_classifier = net.blocks[5].proj.weight.clone()
    report = load(net, str(tmp_path / "k.safetensors"))
    assert report.endswith("; the layers of its 400 classes begin afresh for 5 new ones: blocks.5.proj.")
    assert torch.equal(net.blocks[5].proj.weight, own_classifier)
    assert torch.equal(net.blocks[4].res_blocks[0].branch2.conv_a.weight, source.blocks[4].res_blocks[0].branch2.conv_a.weight)


def test_none_loads_nothing_and_says_so() -> None:
    assert load(backbone(), "none") == "Random weights: nothing was loaded (weights=none)."


def test_another_architecture_is_refused_and_left_alone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = backbone()
    state = net.state_dict()
    damaged = {key: value.clone() for key, value in state.items() if key != "blocks.5.pool.pre_conv.weight"}
    damaged["blocks.9.weight"] = torch.zeros(1)
    damaged["blocks.0.conv.conv_t.weight"] = torch.zeros(2, 3, 1, 3, 3)
    torch.save(damaged, tmp_path / "other.pth")
    before = [value.clone() for value in state.values()]
    with pytest.raises(ValueError, match=r"does not fit x3d_nano") as error:
        load(net, str(tmp_path / "other.pth"))
    assert "1 missing (blocks.5.pool.pre_conv.weight)" in str(error.value)
    assert "1 unexpected (blocks.9.weight)" in str(error.value)
    assert "1 of another shape (blocks.0.conv.conv_t.weight)" in str(error.value)
    assert all(torch.equal(now, then) for now, then in zip(net.state_dict().values(), before, strict=True))


def test_files_that_cannot_be_read_safely_are_refused(tmp_path: Path) -> None:
    torch.save({"model_state": Path("an object of a class, not a tensor")}, tmp_path / "code.pth")
    (tmp_path / "text.pth").write_text("<html>not found</html>")
    (tmp_path / "text.safetensors").write_text("<html>not found</html>")
    for name in ("code.pth", "text.pth", "text.safetensors"):
        with pytest.raises(ValueError, match=r"is no file of plain tensors|is damaged, or no weights file at all"):
            read(tmp_path / name)
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    with pytest.raises(ValueError, match="holds no weights: expected tensors by name, alone or under model_state or state_dict"):
        load(backbone(), str(tmp_path / "empty.pth"))
    with pytest.raises(
        FileNotFoundError,
        match=r"There is no weights file .*absent.pth; give `kinetics400`, `imagenet`, the path of a file or a run, or `none`",
    ):
        load(backbone(), str(tmp_path / "absent.pth"))


def test_offline_the_error_names_the_file_and_the_ways_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    net = backbone()
    with pytest.raises(RuntimeError, match=r"X3D_M.pyth could not be downloaded .* or give --weights PATH\|none"):
        load_weights(net, "kinetics400", kinetics400="http://localhost:9/X3D_M.pyth", classifier=net.classifier, name="x3d_m")
    with pytest.raises(ValueError, match="no Kinetics-400 weights of x3d_nano; give --weights PATH or --weights none"):
        load(net, "kinetics400")


def test_a_cached_download_is_used_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    source, net = backbone(classes=400), backbone()
    torch.save({"model_state": source.state_dict()}, tmp_path / "hub" / "checkpoints" / "X3D_M.pyth")
    report = load_weights(net, "kinetics400", kinetics400="http://localhost:9/X3D_M.pyth", classifier=net.classifier, name="x3d_m")
    assert report.replaced == ("blocks.5.proj",)
    assert report.tensors == len(source.state_dict()) - 2


def test_published_addresses() -> None:
    root = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics/"
    published = {name: size.kinetics400 for name, size in BACKBONES.items() if size.kinetics400}
    x3d = {f"x3d_{letters}": f"{root}X3D_{letters.upper()}.pyth" for letters in ("xs", "s", "m", "l")}
    assert published == x3d | {
        "slow_r50": f"{root}SLOW_8x8_R50.pyth",
        "slowfast_r50": f"{root}SLOWFAST_8x8_R50.pyth",
        "r2plus1d_50": f"{root}R2PLUS1D_16x4_R50.pyth",
        "csn_101": f"{root}CSN_32x2_R101.pyth",
        "mvit_b": f"{root}MVIT_B_16x4.pyth",
    }


def test_real_weights_load_with_nothing_missing(shared_data: Path) -> None:
    path = shared_data / "weights" / "x3d_m_k400_from_xs_int8.pth"
    net = objabn.create_model("x3d_m", weights=str(path), classes=400, heads=3)
    assert net.weights_report is not None
    assert net.weights_report.tensors == 563
    assert net.weights_report.replaced == ()
    state = torch.load(path, weights_only=True)["model_state"]
    assert torch.equal(net.backbone.blocks[3].res_blocks[10].branch2.conv_c.weight, state["blocks.3.res_blocks.10.branch2.conv_c.weight"])
    # The branch starts from the trained blocks of the next stage, not from random ones.
    assert torch.equal(net.branch.blocks[2].branch2.conv_b.weight, state["blocks.4.res_blocks.2.branch2.conv_b.weight"])
    with pytest.raises(ValueError, match="does not fit x3d_l"):
        objabn.create_model("x3d_l", weights=str(path), classes=400)
