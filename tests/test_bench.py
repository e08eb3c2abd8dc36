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

from benchmarks import batch_size, core, gpu, scale, sides, step
from benchmarks.agreement import agreement
from benchmarks.network_parts import step_parts
from benchmarks.result import Row, cpu_time, measure, report
from benchmarks.sides import Plan, new_objective, our_side, random_batch
from objabn.data.dataset import PackedDataset
from objabn.data.demo import make_demo
from objabn.recipes import recipe
from objabn.training.precision import resolve_precision

TINY = Plan(backbone="x3d_nano", amp="off", frames=4, size=32)


def assert_compared(row: Row, *, suite: str, unit: str, repeats: int) -> None:
    assert (row.suite, row.unit, row.repeats) == (suite, unit, repeats)
    assert row.ours > 0
    assert row.peer > 0
    assert row.speedup > 0
    assert row.spread >= 0


PIECES = ["gate and merge", "heads of the branch", "multi-head mask loss", "PC loss", "entropy of maps", "whole core"]


def test_core_rows() -> None:
    (_, _, memory, *rows), parts = core.run(clips=1, frames=2, grid=3, repeats=1, compiles=False)
    assert_compared(memory, suite="core", unit="MB", repeats=1)
    # Ours keeps h, three maps and the weights; the peer those and the concatenation.
    size = 2 * 9 * 4
    ours = (96 + 3) * size + 3 * 96 * 96 * 4
    assert memory.ours == pytest.approx(ours / 1e6)
    assert memory.peer > memory.ours
    assert [row.case.partition(":")[0] for row in rows] == [part.part for part in parts] == PIECES
    for row in rows:
        assert_compared(row, suite="core", unit="ms", repeats=1)
        assert (row.frame_exact, row.source) == (None, None)


def test_both_ways_of_the_core_compute_the_same() -> None:
    given = core.draw(resolve_precision("cpu", "off"), 2, 2, 3)
    for piece in core.pieces(given):
        values = [[value for value in nested(way(*piece.inputs)) if value is not None] for way in (piece.ours, piece.literal)]
        for mine, formula in zip(*values, strict=True):
            torch.testing.assert_close(mine, formula, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_core_rows_beside_the_compiled_formula() -> None:
    rows, _ = core.run(clips=1, frames=2, grid=3, repeats=1)
    assert [row.peer_name for row in rows[3:]] == [core.LITERAL, core.COMPILED] * len(PIECES)


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


def test_step_rows(shallow: None, monkeypatch: pytest.MonkeyPatch) -> None:
    # Looking for the fastest kernels takes longer than all the rest; the slow tests do it.
    monkeypatch.setattr(sides, "optimize", lambda *_, **__: None)
    (*rows, _, _, attention), parts = step.run(TINY, clips=2, repeats=1)
    peers = ["pytorchvideo eager, contiguous", "pytorchvideo eager, channels last"]
    assert [row.peer_name for row in rows[::2]] == [row.peer_name for row in rows[1::2]] == peers * 2
    for speed, memory, heads in zip(rows[::2], rows[1::2], (3, 3, 1, 1), strict=True):
        assert_compared(speed, suite="step", unit="clips/s", repeats=1)
        assert_compared(memory, suite="step", unit="MB/clip", repeats=1)
        assert speed.case == f"x3d_nano object_abn heads={heads}: 4 frames, 32 px, float32, 2 clips (peer 2)"
        assert memory.case == f"kept for the backward pass: {speed.case}"
    assert (attention.unit, attention.peer_name) == ("% of a plain step", "their bytes over its bytes")
    stages = ["stem", "stage 1", "stage 2", "stage 3", "branch", "gate", "stage 4", "head"]
    assert [part.part for part in parts] == ["pixels", *stages, "losses", "optimizer"]
    assert sum(part.share for part in parts) == pytest.approx(1)


def test_the_peer_is_the_same_network_and_learns_alike(shallow: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sides, "optimize", lambda *_, **__: None)
    found = agreement(TINY, clips=2, steps=6)
    assert len(found.ours) == 6
    assert found.ours[-1] < found.ours[0]
    assert found.difference < 1e-4
    assert found.stock_difference < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("heads", [1, 3])
def test_x3d_m_learns_for_fifty_steps_as_its_peer_does(heads: int) -> None:
    found = agreement(Plan(amp="off", frames=4, size=64, heads=heads), clips=2)
    assert found.ours[-1] < found.ours[0]
    assert found.difference < 1e-4


@pytest.mark.slow
def test_bf16_learns_within_the_spread_of_the_peer(shallow: None) -> None:
    found = agreement(TINY._replace(amp="bf16"), clips=4)
    assert found.ours[-1] < found.ours[0]
    assert found.difference < 2 * max(found.stock_difference, 1e-3)


def test_the_best_batch_is_the_smallest_one_that_nothing_is_gained_over(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = {8: 100.0, 16: 190.0, 32: 192.0, 64: 300.0}
    monkeypatch.setattr(batch_size, "trial", lambda _build, _plan, clips: batch_size.Trial(clips, rates[clips], 1.0))
    assert [trial.clips for trial in batch_size.best_batch(lambda: None, TINY, first=8)] == [32, 8, 16]
    monkeypatch.setattr(batch_size, "trial", lambda _build, _plan, clips: None if clips > 8 else batch_size.Trial(clips, 1.0, 1.0))
    assert batch_size.best_batch(lambda: None, TINY, first=8)[-1].clips == 8
    with pytest.raises(RuntimeError, match="Not even 16 clips"):
        batch_size.best_batch(lambda: None, TINY, first=16)


@pytest.mark.slow
def test_batch_sizes_are_tried_on_a_cpu_too(shallow: None) -> None:
    found = batch_size.best_batch(lambda: our_side(TINY), TINY, first=1, last=2)
    assert {trial.clips for trial in found} == {1, 2}
    assert all(trial.clips_per_second > 0 for trial in found)


@pytest.mark.slow
def test_parts_of_a_compiled_step(shallow: None) -> None:
    net, batch, precision = TINY.build(), random_batch(TINY, 2), resolve_precision("cpu", "off")
    objective = new_objective(net)
    optimizer = torch.optim.Adam([*net.parameters(), *objective.parameters()])
    parts = step_parts(net, objective, optimizer, batch, precision, is_compiled=True)
    for part in parts:
        assert all(gradient is None or gradient.isfinite().all() for gradient in nested(part.run()))


@pytest.mark.slow
def test_every_table_of_a_gpu_is_printed_by_one_command(
    tmp_path: Path, shallow: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_sizes: object) -> None:
        raise RuntimeError("no such kernel")

    monkeypatch.setitem(gpu.SECTIONS, "broken", broken)
    with pytest.raises(SystemExit):
        gpu.main(["--small", "--out", str(tmp_path / "gpu.json")])
    written = json.loads((tmp_path / "gpu.json").read_text())
    assert written["sections"]["broken"]["error"] == "RuntimeError: no such kernel"
    assert [name for name, told in written["sections"].items() if "error" in told] == ["broken"]
    assert {part["suite"] for part in written["parts"]} == {"core", "step"}
    assert {row["suite"] for row in written["rows"]} == {"core", "depthwise", "step"}
    cases = " ".join(row["case"] for row in written["rows"])
    for told in ("whole core", "heads=3", "amp=off", "amp=bf16", "run.recompute=true"):
        assert told in cases
    assert "where the time goes" in capsys.readouterr().out


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
    assert set(written) == {"hardware", "versions", "rows", "parts"}
    assert written["parts"] == []
    assert written["hardware"]["cores"] >= 1
    assert written["hardware"]["cpu"]
    assert {"objabn", "python", "torch", "numpy"} <= set(written["versions"])
    assert written["rows"] == [
        {"suite": "core", "case": "c", "ours": 1.0, "peer": 2.0, "peer_name": "p", "unit": "ms", "speedup": 2.0, "spread": 0.0}
        | {"repeats": 1, "frame_exact": None, "peer_exact": None, "source": None}
    ]
