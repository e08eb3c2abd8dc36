"""Who takes part in the step suite: our Object-ABN, a plain X3D of ours, and Object-ABN made of pytorchvideo's modules."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, Optimizer

from benchmarks.stock import StockObjective, stock_like
from objabn.config import LossConfig, ModelConfig, OptimConfig
from objabn.kernels.optimize import optimize
from objabn.models.branch_network import BranchNetwork
from objabn.models.build import build_model
from objabn.models.gating import MergingGate
from objabn.models.network import AttentionNetwork
from objabn.models.recompute import recomputing
from objabn.objective import Objective, build_objective
from objabn.training.judged import JudgedNetwork
from objabn.training.optim import build_optimizer
from objabn.training.precision import Precision, compiled, resolve_precision
from objabn.types import Batch

CLASSES = 101
CompileMode = Literal["off", "on", "graphs"]


class Side(NamedTuple):
    """One way to train, ready to take steps."""

    net: nn.Module
    objective: nn.Module
    optimizer: Optimizer
    precision: Precision
    loss: Callable[[Batch], Tensor]
    """What is minimised, computed under the side's own autocast."""
    context: object = None
    """What was entered when the side was made, and lasts as long as it."""

    def step(self, batch: Batch) -> Tensor:
        """Take one step and return its loss, still on the device."""
        total = self.loss(batch)
        total.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return total.detach()


class Plan(NamedTuple):
    """What all sides of a comparison have in common."""

    device: str = "cpu"
    amp: str = "auto"
    backbone: str = "x3d_m"
    frames: int = 16
    size: int = 224
    heads: int = 3
    dropout: float = 0.5
    classes: int = CLASSES

    def build(self) -> AttentionNetwork:
        """Build the network, with the same weights each time."""
        torch.manual_seed(0)
        config = ModelConfig(backbone=self.backbone, heads=self.heads, weights="none", dropout=self.dropout)
        net = build_model(config, classes=self.classes, clip_frames=self.frames, clip_size=self.size)
        return net.to(resolve_precision(self.device, self.amp).device)


def our_side(plan: Plan, *, mode: CompileMode = "off", kernels: bool = True, recompute: bool = False, by_triton: bool = False) -> Side:
    """Return our network and losses as `objabn train` trains them."""
    net, precision = plan.build(), resolve_precision(plan.device, plan.amp)
    objective = new_objective(net)
    if by_triton and isinstance(net, BranchNetwork) and isinstance(net.gate, MergingGate):
        net.gate.by_triton = True
    recomputes = recomputing(net, is_on=recompute)
    recomputes.__enter__()

    judge = compiled(JudgedNetwork(net, objective), mode, precision.device)
    fresh = [net] if kernels else []

    def loss(batch: Batch) -> Tensor:
        optimize_first(fresh, batch.clip, precision)
        with precision.autocast():
            total: Tensor = judge(batch).losses.total
        return total

    return Side(net, objective, build_optimizer(net, objective, OptimConfig()), precision, loss, recomputes)


def new_objective(net: AttentionNetwork) -> Objective:
    """Return the losses with the weights of the paper, and the same prototypes each time."""
    torch.manual_seed(1)
    return build_objective(LossConfig(), net).to(net.pixel_mean.device)


def optimize_first(fresh: list[AttentionNetwork], clip: Tensor, precision: Precision) -> None:
    """Give the networks that have met no clip yet the fastest kernels for clips like this one."""
    while fresh:
        optimize(fresh.pop(), clip, dtype=precision.dtype)


def plain_side(plan: Plan, *, mode: CompileMode = "off", kernels: bool = True) -> Side:
    """Return the backbone alone as we would train it: no branch, no gate, one cross entropy."""
    net, precision = plan.build(), resolve_precision(plan.device, plan.amp)
    plain = PlainNetwork(net)
    judge = compiled(plain, mode, precision.device)
    fresh = [net] if kernels else []

    def loss(batch: Batch) -> Tensor:
        optimize_first(fresh, batch.clip, precision)
        with precision.autocast():
            logits = judge(batch.clip)
        return functional.cross_entropy(logits.float(), batch.label)

    return Side(plain, nn.Identity(), Adam(plain.parameters(), lr=1e-4, fused=precision.device.type == "cuda"), precision, loss)


class PlainNetwork(nn.Module):
    """The backbone of a network, whole."""

    def __init__(self, net: AttentionNetwork) -> None:
        super().__init__()
        self.backbone = net.backbone
        self.normalize = net.normalize

    def forward(self, clip: Tensor) -> Tensor:
        """Answer a clip of uint8 RGB."""
        return self.backbone.tail(self.backbone.stem(self.normalize(clip)))


def stock_side(plan: Plan, *, is_channels_last: bool = False, is_compiled: bool = False) -> Side:
    """Return the peer with the weights of ours; eager under autocast unless compiled."""
    ours, precision = plan.build(), resolve_precision(plan.device, plan.amp)
    net = stock_like(ours)
    if is_channels_last:
        net.to(memory_format=torch.channels_last_3d)
    objective = StockObjective(classes=plan.classes, channels=ours.feature_channels).to(precision.device)
    mine = new_objective(ours).pc_loss
    assert mine is not None
    with torch.no_grad():
        objective.prototypes.copy_(mine.prototypes)
    forward = torch.compile(net, dynamic=False) if is_compiled else net

    def loss(batch: Batch) -> Tensor:
        with precision.autocast():
            output = forward(batch.clip)
        return objective(output, batch)

    return Side(net, objective, Adam([*net.parameters(), *objective.parameters()], lr=1e-4), precision, loss)


def random_batch(plan: Plan, clips: int, seed: int = 0) -> Batch:
    """Return a batch of noise on the plan's device."""
    generator = torch.Generator().manual_seed(seed)
    frames, size = plan.frames, plan.size
    grid = -(-size // 16)
    count = torch.arange(clips)
    return Batch(
        clip=torch.randint(0, 256, (clips, 3, frames, size, size), dtype=torch.uint8, generator=generator),
        mask=torch.rand(clips, frames, grid, grid, generator=generator),
        mask_valid=torch.rand(clips, frames, generator=generator) > 0.2,
        label=(count + seed) % plan.classes,
        video=count,
        frames=torch.arange(frames).expand(clips, frames),
        view=torch.zeros_like(count),
        present=torch.ones(clips, dtype=torch.bool),
    ).to(resolve_precision(plan.device, plan.amp).device)
