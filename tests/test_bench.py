"""What `objabn bench` writes, at tiny sizes: fields and units, not how long anything took."""

import json
import multiprocessing
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import core, scale, step
from benchmarks.result import Row, cpu_time, measure, report
from objabn.data.dataset import PackedDataset
from objabn.data.demo import make_demo
from objabn.recipes import recipe


def assert_compared(row: Row, *, suite: str, unit: str, repeats: int) -> None:
    assert (row.suite, row.unit, row.repeats) == (suite, unit, repeats)
    assert row.ours > 0
    assert row.peer > 0
    assert row.speedup > 0
    assert row.spread >= 0


def test_core_rows() -> None:
    memory, *rows = core.run(clips=1, frames=2, grid=3, repeats=1)
    assert_compared(memory, suite="core", unit="MB", repeats=1)
    # Ours keeps h, three maps and the weights; the peer those and the concatenation.
    size = 2 * 9 * 4
    ours = (96 + 3) * size + 3 * 96 * 96 * 4
    assert memory.ours == pytest.approx(ours / 1e6)
    assert memory.peer > memory.ours
    assert [row.case.partition(":")[0] for row in rows] == [
        "gate and merge, forward and backward",
        "heads of the branch, forward and backward",
        "multi-head mask loss, forward and backward",
        "PC loss, forward and backward",
        "entropy of maps",
    ]
    for row in rows:
        assert_compared(row, suite="core", unit="ms", repeats=1)
        assert (row.frame_exact, row.source) == (None, None)


def test_both_ways_of_the_core_compute_the_same() -> None:
    torch.manual_seed(0)
    features, maps = torch.randn(1, 96, 2, 3, 3, requires_grad=True), torch.rand(1, 3, 2, 3, 3, requires_grad=True)
    coverage, valid = torch.rand(1, 2, 3, 3), torch.tensor([[True, False]])
    for pair in (
        core.gate_pair(features, maps),
        core.mask_pair(maps, coverage, valid),
        core.prototype_pair(features, torch.tensor([4])),
        core.entropy_pair(maps),
    ):
        values = [torch.cat([torch.as_tensor(part).flatten() for part in nested(way())]) for way in pair[1:3]]
        torch.testing.assert_close(values[0], values[1], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_explain_rows_and_what_they_compare() -> None:
    pytest.importorskip("pytorch_grad_cam")
    pytest.importorskip("captum")
    from benchmarks import explain

    *rows, memory = explain.run(frames=4, size=64, repeats=1, memory_clips=4, memory_size=32)[:-3]
    methods = ["gradcam", "gradcam", "gradcam", "gradcam++", "layercam", "scorecam"]
    assert [row.case.partition(":")[0] for row in rows] == [f"x3d_m {method}" for method in methods]
    for row in rows:
        assert_compared(row, suite="explain", unit="s", repeats=1)
    assert (memory.case, memory.unit) == ("x3d_m gradcam: memory gained over 4 clips of 4 frames, 32 px", "MB")
    # Both sides of Score-CAM explain alike, up to how they enlarge and that flat channels count in the peer's softmax.
    torch.manual_seed(0)
    net, clip = explain.x3d_m(4, 64, "cpu"), torch.randn(1, 3, 4, 64, 64)
    found, peer = (
        explain.explain(net, clip, method="scorecam", layer=explain.LAYER).maps[0, 0],
        explain.pytorch_grad_cam("scorecam")(net, clip),
    )
    assert torch.corrcoef(torch.stack([found.flatten(), torch.from_numpy(peer).flatten()]))[0, 1] > 0.95
    ours, captum = explain.explain(net, clip, method="gradcam", layer=explain.LAYER).maps, explain.captum_predicted(net, clip)
    torch.testing.assert_close(ours, (captum - captum.min()) / (captum.max() - captum.min()), rtol=1e-3, atol=1e-4)


def nested(values: Any) -> list[Any]:
    """Take lists within lists apart."""
    return [part for value in values for part in nested(value)] if isinstance(values, list | tuple) else [values]


def test_step_rows() -> None:
    rows = step.run(clips=1, frames=2, size=32, repeats=1)
    assert [row.case for row in rows] == [f"x3d_m object_abn heads={n}: 1 clips, 2 frames, 32 px, float32" for n in (1, 3)]
    for row in rows:
        assert_compared(row, suite="step", unit="clips/s", repeats=1)


@pytest.mark.slow
def test_the_step_suite_starts_without_a_warning() -> None:
    command = [sys.executable, "-W", "error::FutureWarning", "-c", "import benchmarks.step"]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[1])


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PackedDataset:
    return make_demo(tmp_path_factory.mktemp("bench") / "demo", train=8, test=4, size=96, frames=24)


def test_scale_rows(dataset: PackedDataset) -> None:
    rows = scale.run(dataset, recipe("demo").data, counts=(5, 70), repeats=2)
    steps = ["open the index", "plan an epoch", "read 64 clips with masks"]
    assert [row.case for row in rows] == [f"{count} videos: {step}" for count in (5, 70) for step in steps]
    assert all(row.suite == "scale" and row.unit == "ms" and row.ours > 0 and row.peer is None for row in rows)


def test_processor_time_counts_the_children() -> None:
    has_burnt = multiprocessing.Event()
    before = cpu_time()
    child = multiprocessing.Process(target=burn, args=(0.3, has_burnt))
    child.start()
    has_burnt.wait()
    after = cpu_time()
    child.kill()
    child.join()
    assert after - before >= 0.29


def burn(seconds: float, has_burnt: Any) -> None:
    """Use a core for so long, then wait to be looked at."""
    while time.process_time() < seconds:
        pass
    has_burnt.set()
    time.sleep(60)


def test_preparation_comes_before_each_run_and_is_no_part_of_it() -> None:
    calls: list[str] = []
    ways = {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}
    timings = measure(ways, repeats=2, prepare=lambda name: calls.append(f"before {name}"))
    assert calls == ["before b", "b", "before a", "a", "before a", "a", "before b", "b", "before b", "b", "before a", "a"]
    assert {name: len(seconds) for name, seconds in timings.seconds.items()} == {"a": 2, "b": 2}


def test_the_report_is_json_and_names_the_machine() -> None:
    row = Row(suite="core", case="c", ours=1.0, peer=2.0, peer_name="p", unit="ms", speedup=2.0, spread=0.0, repeats=1)
    written = json.loads(json.dumps(report([row])))
    assert set(written) == {"hardware", "versions", "rows"}
    assert written["hardware"]["cores"] >= 1
    assert written["hardware"]["cpu"]
    assert {"objabn", "python", "torch", "numpy"} <= set(written["versions"])
    assert written["rows"] == [
        {"suite": "core", "case": "c", "ours": 1.0, "peer": 2.0, "peer_name": "p", "unit": "ms", "speedup": 2.0, "spread": 0.0}
        | {"repeats": 1, "frame_exact": None, "peer_exact": None, "source": None}
    ]
