"""The parts of a training step of Object-ABN on X3D: each with the inputs that it has within the network."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from benchmarks.roofline import Part, differentiated_part
from benchmarks.work import count_work, size_of, tensors_of
from objabn.models.network import AttentionNetwork
from objabn.objective import Objective
from objabn.training.precision import Precision, as_float32
from objabn.types import Batch, Output


def step_parts(
    net: AttentionNetwork,
    objective: Objective,
    optimizer: Optimizer,
    batch: Batch,
    precision: Precision,
    *,
    is_compiled: bool = False,
) -> list[Part]:
    """Return pixels, stem, stages, branch, gate, head, losses and optimiser; the network's statistics and gradients change.

    With `is_compiled` each part is compiled by itself, and what it moves is counted as eager PyTorch does it.
    """
    modules = named_parts(net)
    with seen_inputs(modules) as inputs, precision.autocast():
        output = net(batch.clip)
    parts = [differentiated_part("pixels", net.normalize, [batch.clip], [], precision.autocast, is_compiled=is_compiled)]
    for name, module in modules.items():
        parameters = list(module.parameters())
        parts.append(differentiated_part(name, module, inputs[name], parameters, precision.autocast, is_compiled=is_compiled))
    parts.append(losses_part(objective, output, batch, is_compiled=is_compiled))
    return [*parts, optimizer_part(optimizer)]


def named_parts(net: AttentionNetwork) -> dict[str, nn.Module]:
    """Return the blocks of the backbone, the branch and the gate in the order in which they are run."""
    backbone: Any = net.backbone
    names = ["stem", *(f"stage {place}" for place in range(1, len(backbone.blocks) - 1)), "head"]
    blocks = dict(zip(names, backbone.blocks, strict=True))
    before = {name: block for place, (name, block) in enumerate(blocks.items()) if place < backbone.cut}
    middle = {name: module for name in ("branch", "gate") if (module := getattr(net, name, None)) is not None}
    return before | middle | {name: block for name, block in blocks.items() if name not in before}


@contextmanager
def seen_inputs(modules: dict[str, nn.Module]) -> Iterator[dict[str, list[Tensor]]]:
    """Fill a dictionary with the tensors that each module is called with, cut off from what made them."""
    found: dict[str, list[Tensor]] = {}

    def looking(name: str) -> Callable[..., None]:
        def look(_module: nn.Module, arguments: Any) -> None:
            tensors = tensors_of(arguments)
            # Pixels have no gradient; all that comes later has.
            found[name] = [tensor.detach().requires_grad_(tensor.requires_grad) for tensor in tensors]

        return look

    handles = [module.register_forward_pre_hook(looking(name)) for name, module in modules.items()]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def losses_part(objective: Objective, output: Output, batch: Batch, *, is_compiled: bool) -> Part:
    """Return the losses of a network's output as they are computed in training: in float32, outside autocast."""
    fields = [None if value is None else value.detach().requires_grad_() for value in as_float32(output)]

    def judge(*values: Tensor) -> Tensor:
        left = iter(values)
        given = Output(*(None if field is None else next(left) for field in fields))  # type: ignore[arg-type]
        return objective(given, batch).total

    inputs = [field for field in fields if field is not None]
    return differentiated_part("losses", judge, inputs, list(objective.parameters()), nullcontext, is_compiled=is_compiled)


def optimizer_part(optimizer: Optimizer) -> Part:
    """Return a step of the optimiser on gradients of zero; the weights stay nearly as they are."""
    parameters: Sequence[Tensor] = [parameter for group in optimizer.param_groups for parameter in group["params"]]

    def step() -> None:
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        optimizer.step()

    step()  # its states are made by the first one
    moments = tensors_of([list(state.values()) for state in optimizer.state.values()])
    return Part(name="optimizer", run=step, work=count_work(step), least_bytes=3 * size_of(parameters) + 2 * size_of(moments))
