"""Where DALI decodes: what a machine has, and the fastest of it by trial."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from videos import class_folders, packed

pytest.importorskip("nvidia.dali")
from dali_pipelines.decode_place import batches_per_second, choose_place, possible_places
from objabn.config import Config
from objabn.data.dataset import PackedDataset
from objabn.settings import override


@pytest.fixture
def dataset(tmp_path: Path) -> PackedDataset:
    return packed(class_folders(tmp_path / "videos"), tmp_path)


@pytest.mark.parametrize(
    ("has_gpu", "codec", "settings", "places"),
    [
        (False, None, [], ("cpu",)),
        (True, None, [], ("gpu", "hybrid")),
        (True, None, ["run.device=cpu"], ("cpu",)),
        (True, None, ["data.decode=cpu"], ("cpu",)),
        (True, None, ["data.decode=hybrid", "run.device=cpu"], ("hybrid",)),
        (True, "h264", [], ("gpu",)),
        (True, "vp9", [], ("gpu", "hybrid")),
    ],
)
def test_what_a_machine_has(
    dataset: PackedDataset, monkeypatch: pytest.MonkeyPatch, has_gpu: bool, codec: str | None, settings: list[str], places: tuple[str, ...]
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: has_gpu)
    if codec is not None:
        dataset.store = "video"
        monkeypatch.setitem(dataset.manifest, "codec", codec)
    assert possible_places(dataset, override(Config(), *settings)) == places


@pytest.mark.parametrize("place", ["gpu", "hybrid"])
def test_a_gpu_that_is_not_there_is_an_error(dataset: PackedDataset, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(RuntimeError, match=f"data.decode={place} needs a GPU and torch sees none"):
        possible_places(dataset, override(Config(), f"data.decode={place}"))


def batches(seconds: float) -> Iterator[int]:
    """Give a batch every so many seconds."""
    for number in range(1000):
        time.sleep(seconds)
        yield number


def test_the_fastest_place_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches_per_second, "__kwdefaults__", {"seconds": 0.1})
    choice = choose_place(("gpu", "hybrid"), lambda place: batches(0.02 if place == "gpu" else 0.002), clips_per_batch=4)
    assert choice.place == "hybrid"
    assert choice.clips_per_second["hybrid"] > choice.clips_per_second["gpu"] > 4 / 0.02 / 4


def test_a_place_that_fails_is_no_candidate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches_per_second, "__kwdefaults__", {"seconds": 0.02})

    def start(place: str) -> Iterator[int]:
        if place == "gpu":
            raise RuntimeError("no engine\nand a stack")
        return batches(0.001)

    choice = choose_place(("gpu", "hybrid"), start, clips_per_batch=1)
    assert (choice.place, choice.failures) == ("hybrid", {"gpu": "no engine"})
    with pytest.raises(RuntimeError, match="DALI cannot decode on this machine"):
        choose_place(("gpu", "gpu"), start, clips_per_batch=1)


def test_one_place_is_not_tried() -> None:
    def start(_place: str) -> Iterator[int]:
        raise AssertionError("nothing is to be started")

    assert choose_place(("cpu",), start, clips_per_batch=1).place == "cpu"
