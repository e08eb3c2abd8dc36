"""Two processes on the CPU: they train as one does, stop together, go on bit for bit, and evaluate to the same numbers."""

import json
from pathlib import Path

import pytest
import torch
from rank_programs import CASES, compare
from ranks import run_ranks
from safetensors.torch import load_file

from objabn.training.logging import read_records


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_two_ranks_train_as_one(name: str, tmp_path: Path) -> None:
    run_ranks(f"import rank_programs, sys; rank_programs.compare('{name}', sys.argv[1])", tmp_path)
    compare(name, str(tmp_path))
    one, *two = (load_file(tmp_path / f"{name}{rank}.safetensors") for rank in ("1-of-rank0", "2-of-rank0", "2-of-rank1"))
    start = load_file(tmp_path / f"{name}1" / "last" / "state.safetensors")
    assert start
    for path, expected in one.items():
        torch.testing.assert_close(two[0][path], expected, rtol=1e-5, atol=1e-6, msg=path)
        assert torch.equal(two[0][path], two[1][path]), path
    alone, together = (read_records(tmp_path / f"{name}{world}" / "log.jsonl") for world in (1, 2))
    assert len(alone) == len(together) == 8
    for expected, found in zip(alone, together, strict=True):
        assert (found["step"], found["top1"]) == (expected["step"], expected["top1"])
        for term in ("loss", "perception", "branch", "mask", "pc"):
            assert found[term] == pytest.approx(expected[term], rel=1e-5), term


@pytest.mark.slow
def test_a_run_of_two_ranks_goes_on_bit_for_bit(tmp_path: Path) -> None:
    said = run_ranks("import rank_programs, sys; rank_programs.resume(sys.argv[1])", tmp_path)
    assert "0 Training stopped at SIGTERM." in said[0]
    assert said[1] == "1 Training stopped at SIGTERM.\n"
    for name in ("model.safetensors", "state.safetensors"):
        assert (tmp_path / "resumed/last" / name).read_bytes() == (tmp_path / "straight/last" / name).read_bytes()
    state = load_file(tmp_path / "straight/last/state.safetensors")
    assert not torch.equal(state["random.torch"], state["rank1.random.torch"]), "each rank has its own dropout"
    scalars = json.loads((tmp_path / "straight/last/state.json").read_text())
    assert len(scalars["other_ranks"]) == 1
