"""What several processes of a run tell each other, worked out in one: numbers by hand, and ranks that are only claimed."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from test_evaluation import batch_of
from toys import Toy, nano, toy_batch, toy_config

from objabn.config import LossConfig, OptimConfig, RunConfig
from objabn.evaluation import summarize
from objabn.machine import Ranks, is_restarted, launched
from objabn.metrics.map_scores import MapScores, merged_maps
from objabn.objective import build_objective
from objabn.training import distributed, parallel, state
from objabn.training.distributed import Agreement, agree, done_by_main, gathered, of_main, process_group, summed, uses_gpu
from objabn.training.loop import fit
from objabn.training.parallel import replaced_norms, share_of_frames
from objabn.training.parts import frozen, set_training_mode
from objabn.training.randomness import seed_of_rank
from objabn.training.run_folder import is_of_this_launch, start_run_folder
from objabn.training.scores import VideoScores, merged
from objabn.training.session import start_session
from objabn.types import Batch, Output


def claim(monkeypatch: pytest.MonkeyPatch, module: object, rank: int, world: int) -> None:
    """Have a module take this process for one of several."""
    for name, number in (("rank", rank), ("world", world)):
        if hasattr(module, name):
            monkeypatch.setattr(module, name, lambda number=number: number)


def test_the_environment_of_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "TORCHELASTIC_RESTART_COUNT"):
        monkeypatch.delenv(name, raising=False)
    assert launched() == Ranks(rank=0, world=1, local_rank=0, local_world=1)
    assert not is_restarted()
    for name, number in (("RANK", "11"), ("WORLD_SIZE", "16"), ("LOCAL_RANK", "3"), ("LOCAL_WORLD_SIZE", "8")):
        monkeypatch.setenv(name, number)
    assert launched() == Ranks(rank=11, world=16, local_rank=3, local_world=8)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert is_restarted()


def test_a_single_process_is_told_its_own() -> None:
    flag, agreement = torch.tensor([True, False]), Agreement()
    with process_group("cpu") as ranks:
        assert ranks.world == distributed.world() == 1
        assert distributed.is_main()
        assert agree(flag) is summed(flag) is of_main(flag) is flag
        assert gathered(flag) == [flag]
        assert done_by_main(lambda: 3) == 3
        assert [agreement.highest(15, 0), agreement.highest(0, 1, wait=True)] == [(15, 0), (0, 1)], "at once"


def test_every_process_needs_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    ranks = Ranks(rank=1, world=4, local_rank=1, local_world=4)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for gpus, device, expected in ((4, "auto", True), (8, "cuda", True), (4, "cpu", False)):
        monkeypatch.setattr(torch.cuda, "device_count", lambda gpus=gpus: gpus)
        assert uses_gpu(device, ranks) is expected
    with pytest.raises(ValueError, match=r"run.device=cuda:1 is a single GPU and torchrun started 4 processes; take auto, cuda or cpu\."):
        uses_gpu("cuda:1", ranks)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ValueError, match="torchrun started 4 processes on this machine and torch sees 2 GPUs"):
        uses_gpu("auto", ranks)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert not uses_gpu("auto", ranks)


def test_the_mask_terms_of_ranks_make_one_over_all_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three valid frames on one rank and one on the other: the mean weighs the first three times as much."""
    claim(monkeypatch, parallel, 0, 2)
    valid = [torch.tensor([[True, True], [True, False]]), torch.tensor([[False, False], [False, True]])]
    monkeypatch.setattr(parallel, "summed", lambda _own: torch.tensor(4.0))
    assert [share_of_frames(rank).item() for rank in valid] == [1.5, 0.5]
    config = toy_config()
    net, whole = Toy(config), toy_batch(0)
    whole = whole._replace(mask_valid=(torch.arange(16).view(4, 4) < 3) | (torch.arange(16).view(4, 4) == 13))
    objective = build_objective(LossConfig(pc=0.0, total_variation=0.1, regularisers="official"), net, ranks=2)
    alone = build_objective(objective.config, net)(net(whole.clip), whole)
    parts = [Batch(*(column[rows] for column in whole)) for rows in (slice(0, 2), slice(2, 4))]
    shares = [share_of_frames(part.mask_valid) for part in parts]
    terms = [objective(net(part.clip), part, share) for part, share in zip(parts, shares, strict=True)]
    for name in ("total", "mask", "total_variation", "perception"):
        mean = sum(getattr(term, name) for term in terms) / 2
        torch.testing.assert_close(mean, getattr(alone, name), msg=name)


def test_no_valid_frame_anywhere_is_no_division_by_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "summed", lambda own: own)
    assert share_of_frames(torch.zeros(2, 2, dtype=torch.bool)).item() == 0


def test_scores_of_ranks_are_merged_to_those_of_one() -> None:
    generator = torch.Generator().manual_seed(0)
    numbers, videos = list(range(6)), [4, 4, 2, 2, 9, 9]
    output = Output(torch.randn(6, 3, generator=generator), None, torch.rand(6, 1, 2, 2, 2, generator=generator), None, None)
    batch = batch_of(numbers, videos=videos, labels=[0, 0, 1, 1, 2, 2], views=[0, 1] * 3, valid=torch.ones(6, 2, dtype=torch.bool))
    batch = batch._replace(mask=torch.rand(6, 2, 2, 2, generator=generator))

    def measured(*rows: int) -> tuple[VideoScores, MapScores]:
        scores, maps = VideoScores(), MapScores(("M_o",))
        chosen = [None if column is None else column[list(rows)] for column in output]
        part = Batch(*(column[list(rows)] for column in batch))
        scores.add(part, Output(*chosen))
        maps.add(part, Output(*chosen))
        return scores, maps

    alone = summarize(*measured(*numbers))
    ranks = [measured(2, 3), measured(), measured(4, 5, 0, 1)]
    together = summarize(merged(scores for scores, _ in ranks), merged_maps(maps for _, maps in ranks))
    assert together == alone
    assert together.results == alone.results
    assert alone.videos == 3


def test_ranks_have_seeds_of_their_own() -> None:
    seeds = [seed_of_rank(seed, rank, step) for seed in (0, 1) for rank in range(8) for step in (0, 1)]
    assert len(set(seeds)) == len(seeds)
    assert seeds[0] == seed_of_rank(0, 0)


@pytest.mark.parametrize(("rank", "world"), [(0, 2), (1, 2), (0, 1), (2, 3)])
def test_what_is_each_ranks_own_comes_back_to_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rank: int, world: int) -> None:
    """A checkpoint of two ranks; with another number of ranks the first has all sums, and new ones begin with their own seeds."""
    config = toy_config()
    held = start_session(Toy(config), [toy_batch(0)], config, run_folder=None, still=[]).state
    ranks = []
    for number in range(2):
        torch.manual_seed(number)
        held.meter.sums.fill_(10.0 + number)
        ranks.append(state.read_rank_state(held))
        ranks[-1] = state.RankState({name: value.clone() for name, value in ranks[-1].tensors.items()}, ranks[-1].generators)
    state.save_state(held, tmp_path, ranks)
    claim(monkeypatch, state, rank, world)
    held.meter.sums.zero_()
    state.load_state(held, tmp_path, seed=5)
    is_known = world == 2
    assert held.meter.sums.unique().tolist() == [10.0 + rank if is_known else 21.0 if rank == 0 else 0.0]
    drawn = torch.rand(3)
    torch.manual_seed(rank if is_known or rank == 0 else seed_of_rank(5, rank, 0))
    assert torch.equal(drawn, torch.rand(3))


def test_one_process_writes_no_other_ranks(tmp_path: Path) -> None:
    config = toy_config(optim=OptimConfig(epochs=1, batch=4))
    fit(Toy(config), [toy_batch(0)], config, run_folder=tmp_path / "run", loggers=[])
    assert not [name for name in load_file(tmp_path / "run/last/state.safetensors") if name.startswith("rank")]


def test_only_the_launch_that_began_a_run_goes_on_with_it_by_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A restart must not take up an older run that happens to stand in the folder."""
    assert is_of_this_launch(tmp_path / "run"), "killed before it could tell"
    for run_id, is_own in (("abc", True), ("def", False), (None, False)):
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "abc")
        start_run_folder(tmp_path / "run", toy_config(), resume=True)
        if run_id is None:
            monkeypatch.delenv("TORCHELASTIC_RUN_ID")
        else:
            monkeypatch.setenv("TORCHELASTIC_RUN_ID", run_id)
        assert is_of_this_launch(tmp_path / "run") is is_own


def test_a_loader_of_another_rank_is_refused() -> None:
    config = toy_config()
    batches = type("Loader", (list,), {"schedule": SimpleNamespace(rank=1, world=2)})([toy_batch(0)])
    with pytest.raises(ValueError, match="The loader is that of rank 1 of 2 and this process is rank 0 of 1; build it with rank=0"):
        fit(Toy(config), batches, config, loggers=[])


@pytest.mark.usefixtures("shallow")
def test_synchronised_norms_have_the_same_tensors_and_leave_frozen_ones_alone() -> None:
    config = toy_config()
    net = nano(config)
    before, modules = net.state_dict(), dict(net.named_modules())
    with frozen(net, ("norms",)) as still:
        with replaced_norms(net, still):
            inside = net.state_dict()
            assert list(inside) == list(before)
            assert all(value.data_ptr() == before[name].data_ptr() for name, value in inside.items())
            kinds = {
                type(module).__name__ for path, module in net.named_modules() if path.startswith("branch") and "Norm" in str(type(module))
            }
            assert kinds == {"SyncBatchNorm"}
            set_training_mode(net, still)
            assert not any(module.training for module in still)
            assert {module for module in net.modules() if isinstance(module, torch.nn.BatchNorm3d)} == {
                module for module in still if isinstance(module, torch.nn.BatchNorm3d)
            }
        assert dict(net.named_modules()) == modules
        assert all(module.training for path, module in net.named_modules() if path.startswith("branch"))


def test_synchronised_norms_need_gpus() -> None:
    config = toy_config()
    config = replace(config, optim=replace(config.optim, sync_batch_norm=True), run=RunConfig(device="cpu"))
    with pytest.raises(ValueError, match=r"optim.sync_batch_norm=true needs GPUs and run.device is the CPU; set it to false"):
        fit(Toy(config), [toy_batch(0)], config, loggers=[])
