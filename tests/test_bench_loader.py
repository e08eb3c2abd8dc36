"""The loader suite of `objabn bench` at tiny sizes: who takes part, what is compared, and whether a wrong frame is noticed."""

from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import loader
from benchmarks.contestants import decoding_peers, why_no_dali
from benchmarks.peers import PEERS, REFERENCE, Peer, torchcodec, why_absent
from benchmarks.replay import Replay, is_frame_exact, is_nearest
from objabn.config import Config
from objabn.data.dataset import PackedDataset
from objabn.data.demo import make_demo
from objabn.data.reader import reader
from objabn.recipes import recipe
from tests.videos import numbered_frames, write_video


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PackedDataset:
    return make_demo(tmp_path_factory.mktemp("bench") / "demo", train=8, test=4, size=96, frames=24)


@pytest.fixture
def config() -> Config:
    config = recipe("demo")
    return replace(config, optim=replace(config.optim, batch=2), data=replace(config.data, threads=1))


@pytest.mark.slow
def test_loader_rows(dataset: PackedDataset, config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    rows = loader.run([dataset], config, dataset.root / "videos", batches=2, repeats=1, has_step=True)
    ours = {row.case.partition(":")[0] for row in rows}
    assert "reader, JPEG" in ours
    assert ours <= {f"{name}, JPEG" for name in ("reader", "DALI on the CPU", "DALI on the CPU and the GPU", "DALI on the GPU")}
    for row in rows:
        assert (row.suite, row.repeats, row.frame_exact, row.source) == ("loader", 1, True, "packed")
        assert row.ours > 0
        assert row.peer > 0
        assert row.speedup > 0
    peers = {row.peer_name: row.peer_exact for row in rows}
    assert peers["PyAV, originals"] is True
    assert peers["OpenCV, originals"] is True
    units = {(row.peer_name, row.unit) for row in rows}
    assert {unit for peer, unit in units if peer == "PyAV, originals"} == {"clips/s", "CPU-ms/clip"}
    bounds = {(peer, unit) for peer, unit in units if peers[peer] is None}
    step = f"training step, X3D-M Object-ABN, batch 2, {'cuda' if torch.cuda.is_available() else 'cpu'}"
    assert (step, "clips/s") in bounds
    assert (step, "CPU-ms/clip") not in bounds
    if not torch.cuda.is_available():
        said = capsys.readouterr().out
        assert "torchcodec on the GPU is left out: torch sees no GPU." in said
        assert "DALI on the CPU, whole originals is left out:" in said
        assert "DALI's paired readers on the CPU, originals and mask videos is left out:" in said


def test_a_turn_begins_when_nobody_works(monkeypatch: pytest.MonkeyPatch) -> None:
    spent = iter([0.0, 0.2, 0.35, 0.36, 9.9])
    glances: list[float] = []
    monkeypatch.setattr(loader, "cpu_time", lambda: next(spent))
    monkeypatch.setattr(loader.time, "sleep", glances.append)
    taken: list[int] = []
    batches = (taken.append(number) for number in range(9))
    loader.make_ready(loader.Contestant(batches, 2, None))
    assert glances == [0.1] * 3
    assert taken == [0, 1]


def test_waiting_for_others_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "cpu_time", partial(next, iter(range(1000))))
    loader.settle(longest=0.25)


def test_decoders_alone_stand_beside_our_graphs(dataset: PackedDataset, config: Config) -> None:
    pytest.importorskip("nvidia.dali")
    name = "DALI on the CPU, JPEG"
    ours = {name: loader.Contestant(iter(()), 0, True), "reader, JPEG": loader.Contestant(iter(()), 0, True)}
    found, pairs = loader.decoders_alone([dataset], config, ours)
    assert list(found) == ["decoder alone on the CPU, JPEG"]
    assert pairs == [loader.Pair(name, "decoder alone on the CPU, JPEG", {"clips/s": 1.0, "frames/s": 8.0})]
    assert found["decoder alone on the CPU, JPEG"].ahead == config.data.prefetch


def test_rates_count_what_a_clip_is(dataset: PackedDataset) -> None:
    timings = loader.Timings({"a": [2.0], "b": [4.0]}, {"a": [1.0], "b": [3.0]})
    everyone = {name: loader.Contestant(iter(()), 0, name == "a") for name in "ab"}
    pair = loader.Pair("a", "b", {"clips/s": 1.0, "frames/s": 2.5, "CPU-ms/clip": 1.0})
    clips, frames, cost = loader.pair_rows(pair, everyone, timings, "case", clips=8)
    assert [(row.ours, row.peer, row.speedup) for row in (clips, frames, cost)] == [(4, 2, 2), (10, 5, 2), (125, 375, 3)]
    assert (clips.frame_exact, clips.peer_exact) == (True, False)


def test_a_batch_of_other_frames_is_not_exact(dataset: PackedDataset, config: Config) -> None:
    reference = Replay(dataset, config, dataset.root / "videos", PEERS[REFERENCE].decode)
    assert is_frame_exact(next(iter(reader(dataset, config))).clip, reference)
    assert not is_frame_exact([reference.read(position, 1)[0] for position in range(2)], reference)


def test_clips_that_lie_near_one_another_are_not_judged() -> None:
    def grey(level: float) -> torch.Tensor:
        return torch.full((3, 2, 4, 4), level)

    assert is_nearest(grey(100), [grey(90), grey(100), grey(110)])
    assert is_nearest(grey(100), [grey(100), grey(100.4), grey(110)])
    assert not is_nearest(grey(100), [grey(100), grey(100.6), grey(110)])
    assert not is_nearest(grey(100), [grey(90), grey(102), grey(101)])


def test_threads_and_processes_give_the_plan(dataset: PackedDataset, config: Config) -> None:
    replay = Replay(dataset, config, dataset.root / "videos", PEERS[REFERENCE].decode)
    for batches in (replay.threads(), iter(replay.processes())):
        for number, (clip, coverage, valid, label) in enumerate(islice(batches, len(replay) // 2 + 1)):
            expected = [replay.read((2 * number + place) % len(replay)) for place in range(2)]
            assert torch.equal(clip, torch.stack([sample[0] for sample in expected]))
            assert torch.equal(coverage, torch.stack([sample[1] for sample in expected]))
            assert torch.equal(valid, torch.stack([sample[2] for sample in expected]))
            assert label.tolist() == [sample[3] for sample in expected]


def test_threads_work_ahead_no_further_than_they_say(dataset: PackedDataset, config: Config) -> None:
    decoded: list[int] = []

    def decode(path: Path, frames: np.ndarray, fps: float) -> np.ndarray:
        decoded.append(int(frames[0]))
        return PEERS[REFERENCE].decode(path, frames, fps)

    batches = Replay(dataset, config, dataset.root / "videos", decode).threads()
    next(batches)
    batches.close()  # waits for what is at work
    assert len(decoded) == config.data.prefetch * config.optim.batch


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_torchcodec_replays_on_its_device(dataset: PackedDataset, config: Config, tmp_path: Path, device: str) -> None:
    pytest.importorskip("torchcodec.decoders", exc_type=(ImportError, RuntimeError))
    path = write_video(tmp_path / "a.mp4", numbered_frames(12, height=160, width=208), codec="libx264")
    frames = np.array([1, 4, 4, 30])
    found = torchcodec(path, frames, 25.0, device=device)
    assert found.device.type == device
    expected = PEERS[REFERENCE].decode(path, np.minimum(frames, 11), 25.0)
    assert np.abs(found.cpu().numpy().astype(int) - expected).mean() < 3
    if device == "cpu":
        replay = Replay(dataset, config, dataset.root / "videos", partial(torchcodec, device=device), device)
        clip = next(replay.threads())[0]
        assert is_frame_exact(clip, Replay(dataset, config, dataset.root / "videos", PEERS[REFERENCE].decode))


def test_torchcodec_that_falls_back_to_the_cpu_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoders = pytest.importorskip("torchcodec.decoders", exc_type=(ImportError, RuntimeError))
    path = write_video(tmp_path / "a.mp4", numbered_frames(4), codec="libx264")
    monkeypatch.setattr(decoders.VideoDecoder, "cpu_fallback", "Video not supported")
    peer = PEERS["torchcodec"]
    assert why_absent(peer, path) == "it would decode on the CPU instead: Video not supported"


def test_every_peer_that_is_here_gives_the_frames_asked_for(dataset: PackedDataset) -> None:
    path, frames = dataset.root / "videos" / dataset.index.name(0), np.array([2, 5, 5, 9])
    expected = PEERS[REFERENCE].decode(path, frames, 25.0)
    for name, peer in PEERS.items():
        if why_absent(peer, path) == "" and name != "pytorchvideo":  # which takes frames by time and repeats none
            found = torch.as_tensor(peer.decode(path, frames, 25.0)).cpu().numpy()
            assert np.abs(found.astype(int) - expected).mean() < 3, name


def test_a_peer_that_fails_on_a_clip_is_left_out(
    dataset: PackedDataset, config: Config, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(_path: Path, frames: np.ndarray, _fps: float) -> np.ndarray:
        if len(frames) > 2:  # more than the first try asks for
            raise IndexError("no such frame.")
        return np.zeros((len(frames), 8, 8, 3), np.uint8)

    videos = dataset.root / "videos"
    monkeypatch.setattr("benchmarks.contestants.PEERS", {"broken": Peer(breaks, "av")})
    assert decoding_peers(dataset, config, videos, Replay(dataset, config, videos, PEERS[REFERENCE].decode)) == {}
    assert capsys.readouterr().out == "broken is left out: it fails on one of the first clips (IndexError: no such frame.).\n"


def test_a_peer_that_is_not_here_says_so(tmp_path: Path) -> None:
    decode = PEERS[REFERENCE].decode
    assert "pip install objabn[bench]" in why_absent(Peer(decode, "no_such_package"), tmp_path)
    assert "No such file" in why_absent(PEERS[REFERENCE], tmp_path / "absent.avi")
    if not torch.cuda.is_available():
        assert why_absent(Peer(decode, "av", "cuda"), tmp_path) == "torch sees no GPU"


def test_what_dali_cannot_decode_without_a_gpu_is_known_before_it_tries(tmp_path: Path) -> None:
    pytest.importorskip("nvidia.dali")
    h264 = write_video(tmp_path / "a.mp4", numbered_frames(4), codec="libx264")
    vp9 = write_video(tmp_path / "a.webm", numbered_frames(4), codec="libvpx-vp9")
    assert why_no_dali(h264, "cpu") == "without a GPU DALI decodes vp8, vp9, mjpeg only, and a.mp4 is h264"
    assert why_no_dali(h264, "gpu") == why_no_dali(vp9, "cpu") == ""
