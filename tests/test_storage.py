"""A saved network answers as it did, needs no other file, and is never half written."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import objabn
from objabn.checkpoint import write_checkpoint
from objabn.config import DataConfig
from objabn.models.network import AttentionNetwork


def trained(tmp_path: Path, **settings: object) -> AttentionNetwork:
    """A small network with weights of its own file and running statistics of its own."""
    torch.manual_seed(0)
    donor = objabn.create_model("x3d_nano", classes=7, weights=None, clip_frames=4, clip_size=64)
    torch.save(donor.backbone.state_dict(), tmp_path / "weights.pth")
    net = objabn.create_model(
        "x3d_nano", **{"classes": 5, "weights": str(tmp_path / "weights.pth"), "clip_frames": 4, "clip_size": 64, **settings}
    )
    net(clip())
    return net.eval()


def clip() -> torch.Tensor:
    return torch.randint(0, 256, (2, 3, 4, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "settings",
    [
        {"heads": 1, "apply": "residual"},
        {"heads": 3, "cut": 3, "attention_blocks": "same"},
        {"system": "abn", "class_head": "gap", "map_kernel": 3},
    ],
)
def test_reloaded_outputs_are_equal_bit_for_bit(tmp_path: Path, settings: dict[str, object]) -> None:
    net = trained(tmp_path, **settings)
    net.class_names = ("a", "b", "c", "d", "é")
    objabn.save_model(net, tmp_path / "model.safetensors")
    (tmp_path / "weights.pth").unlink()
    again = objabn.load_model(tmp_path / "model.safetensors")
    with torch.no_grad():
        for value, expected in zip(again(clip())[:4], net(clip())[:4], strict=True):
            assert torch.equal(value, expected)
    sizes = ("classes", "clip_frames", "clip_size", "clip_config", "grid_size", "feature_channels")
    assert again.config == replace(net.config, weights="weights.pth"), "where the weights lay is nobody's business"
    for name in ("class_names", "map_names", *sizes):
        assert getattr(again, name) == getattr(net, name)
    assert not again.training
    assert all(value.requires_grad for value in again.parameters())


def test_channels_last_networks_are_saved_too(tmp_path: Path) -> None:
    net = trained(tmp_path)
    net.to(memory_format=torch.channels_last_3d)
    objabn.save_model(net, tmp_path / "model.safetensors")
    again = objabn.load_model(tmp_path / "model.safetensors").state_dict()
    assert all(torch.equal(value, again[name]) for name, value in net.state_dict().items())


def test_the_metadata_is_readable_json_and_nothing_else_is_left(tmp_path: Path) -> None:
    objabn.save_model(trained(tmp_path, heads=3), tmp_path / "model.safetensors")
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        description = json.loads(file.metadata()["objabn_model"])
    assert description["config"]["heads"] == 3
    assert (description["classes"], description["clip_frames"], description["clip_size"]) == (5, 4, 64)
    assert "data" not in description
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.safetensors", "weights.pth"]


def test_how_clips_are_cut_is_kept_where_it_is_known_and_where_videos_lie_is_not(tmp_path: Path) -> None:
    net = trained(tmp_path)
    net.clip_config = DataConfig(dataset="/home/me/videos", clip_frames=4, crop_size=64, stride_frames=2, frames_per_second=12.5, threads=3)
    objabn.save_model(net, tmp_path / "model.safetensors")
    expected = replace(net.clip_config, dataset=DataConfig().dataset, threads=0)
    assert objabn.load_model(tmp_path / "model.safetensors").clip_config == expected
    assert b"/home/me" not in (tmp_path / "model.safetensors").read_bytes()


def write_run(folder: Path, *names: str) -> dict[str, AttentionNetwork]:
    """A folder with checkpoints of these names, each a network of its own."""
    nets = {name: objabn.create_model("x3d_nano", classes=2, clip_frames=4, clip_size=32) for name in names}
    for name, net in nets.items():
        write_checkpoint(folder, name, lambda new, net=net: objabn.save_model(net, new / "model.safetensors"))
    return nets


def test_of_a_run_the_best_network_is_loaded_or_else_the_last(tmp_path: Path) -> None:
    nets = write_run(tmp_path, "last")
    objabn.save_model(nets["last"], tmp_path / "model.safetensors")
    nets = write_run(tmp_path, "last", "best")
    weights = [objabn.load_model(path).state_dict() for path in (tmp_path, str(tmp_path / "best"))]
    for state in weights:
        assert all(torch.equal(value, state[name]) for name, value in nets["best"].state_dict().items()), "an older export is no result"
    shutil.rmtree(tmp_path / "best")
    again = objabn.load_model(tmp_path).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in nets["last"].state_dict().items())


def test_an_exported_folder_is_loaded_from_disk_or_from_a_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = trained(tmp_path)
    objabn.save_model(net, tmp_path / "published/model.safetensors")
    assert objabn.load_model(tmp_path / "published").classes == 5
    asked = []

    def download(name: str, file: str) -> str:
        asked.append(name)
        return str(tmp_path / "published" / file)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    assert objabn.load_model("hf-hub:someone/theirs").classes == 5
    assert asked == ["someone/theirs"]


def test_loading_draws_no_random_numbers(tmp_path: Path) -> None:
    objabn.save_model(trained(tmp_path), tmp_path / "model.safetensors")
    before = torch.get_rng_state()
    objabn.load_model(tmp_path / "model.safetensors")
    assert torch.equal(torch.get_rng_state(), before)


def test_foreign_files_are_clear_errors(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "foreign.safetensors")
    with pytest.raises(ValueError, match=r"foreign.safetensors is not a model of objabn; weights of a backbone are given as create_model"):
        objabn.load_model(tmp_path / "foreign.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match=r"broken.safetensors is not a safetensors file"):
        objabn.load_model(tmp_path / "broken.safetensors")
    with pytest.raises(FileNotFoundError, match=r"There is no model file .*absent.safetensors"):
        objabn.load_model(tmp_path / "absent.safetensors")


def test_class_names_must_be_as_many_as_the_classes(tmp_path: Path) -> None:
    net = trained(tmp_path)
    net.class_names = ("only one",)
    with pytest.raises(ValueError, match="5 classes but 1 class names"):
        objabn.save_model(net, tmp_path / "model.safetensors")
