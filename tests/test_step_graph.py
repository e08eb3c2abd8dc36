"""A training step as a device sees it: one graph without breaks, and nothing that is read back."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend
from torch.utils._python_dispatch import TorchDispatchMode
from toys import CLASSES, FRAMES, SIZE, nano, toy_batch, toy_config

from objabn.config import LossConfig, ModelConfig
from objabn.models.build import build_model
from objabn.models.recompute import recomputing
from objabn.objective import build_objective
from objabn.training.judged import JudgedNetwork
from objabn.training.session import start_session
from objabn.training.step import take_step

PLAIN = {"mask": 0.0, "pc": 0.0}
SYSTEMS = [
    pytest.param({"system": "object_abn", "heads": 3}, {}, id="three heads"),
    pytest.param({"system": "object_abn", "heads": 1}, {}, id="one head", marks=pytest.mark.slow),
    pytest.param({"system": "abn"}, PLAIN, id="abn", marks=pytest.mark.slow),
    pytest.param({"system": "st_abn"}, PLAIN, id="st_abn", marks=pytest.mark.slow),
    pytest.param({"system": "gated"}, PLAIN | {"branch": 0.0}, id="gated", marks=pytest.mark.slow),
    pytest.param(
        {"system": "saliency_lstm", "cut": 5}, PLAIN | {"branch": 0.0, "unimodal": 1.0}, id="saliency_lstm", marks=pytest.mark.slow
    ),
]
READS_BACK = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "unique", "equal")
"""Operations whose result decides what Python does next, or how large a tensor is: a GPU has to be waited for."""


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize("recompute", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("model", "loss"), SYSTEMS)
def test_network_and_losses_are_one_graph(model: dict[str, Any], loss: dict[str, float], recompute: bool) -> None:
    config = ModelConfig(**({"backbone": "x3d_nano", "weights": "none", "cut": 2} | model))
    net = build_model(config, classes=CLASSES, clip_frames=FRAMES, clip_size=SIZE)
    batch = toy_batch(0)
    objective = build_objective(LossConfig(**loss), net)
    torch._dynamo.reset()  # the limit of versions is that of one function, whoever calls it
    graphs = CompileCounterWithBackend("aot_eager" if recompute else "eager")
    with recomputing(net, is_on=recompute):
        judge = torch.compile(JudgedNetwork(net, objective), backend=graphs, dynamic=False, fullgraph=True)
        for seed in (0, 1):
            judge(batch._replace(mask=torch.rand(*batch.mask.shape[:2], net.grid_size, net.grid_size))).losses.total.backward()
            batch = toy_batch(seed + 1)
    assert graphs.frame_count == 1


class ReadsBack(TorchDispatchMode):
    """Notes the operations that would have the CPU wait for a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        indices = [index for arg in args if isinstance(arg, (list, tuple)) for index in arg if isinstance(index, torch.Tensor)]
        is_masked = name == "index" and any(index.dtype == torch.bool for index in indices)
        if name in READS_BACK or is_masked:
            self.found.append(name)
        return func(*args, **(kwargs or {}))


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_step_reads_nothing_back(accumulate: int) -> None:
    config = toy_config()
    config = replace(config, optim=replace(config.optim, accumulate=accumulate, clip_norm=1.0, ema=0.9))
    batches = [toy_batch(seed) for seed in range(2 * accumulate)]
    session = start_session(nano(config).train(), batches, config, run_folder=None, still=())
    steps = iter(batches)
    take_step(session, iter([next(steps) for _ in range(accumulate)]))
    with ReadsBack() as reads:
        take_step(session, iter([next(steps) for _ in range(accumulate)]))
    assert reads.found == []
    with reads:
        session.state.meter.sums[0].item()
        batches[0].mask[batches[0].mask_valid]
    assert reads.found == ["_local_scalar_dense", "index"], "what is read back must be noticed"
