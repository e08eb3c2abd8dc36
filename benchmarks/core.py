"""The parts in the middle of a network, ours beside their formulas written down literally."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.result import Row, compare
from objabn.losses import PrototypeConformityLoss, multi_head_mask_loss
from objabn.metrics import attention_entropy
from objabn.models.branches import AttentionBranch
from objabn.models.gating import MergingGate

CHANNELS, CLASSES, HEADS = 96, 101, 3
LITERAL = "literal formula in eager PyTorch"
CONCATENATION = "concatenation and convolution"


def run(*, device: str = "cpu", clips: int = 2, frames: int = 16, grid: int = 14, repeats: int = 9) -> list[Row]:
    """Compare gate, heads of the branch, losses and entropy at X3D-M's sizes, forward and backward."""
    torch.manual_seed(0)
    size = f"{clips} clips, {frames} frames, {grid} x {grid}, {HEADS} maps"
    layout = torch.channels_last_3d
    features = torch.randn(clips, CHANNELS, frames, grid, grid, device=device).to(memory_format=layout).requires_grad_()
    maps = torch.rand(clips, HEADS, frames, grid, grid, device=device, requires_grad=True)
    coverage = torch.rand(clips, frames, grid, grid, device=device)
    valid = torch.rand(clips, frames, device=device) > 0.2
    labels = torch.arange(clips, device=device)
    pairs = [
        gate_pair(features, maps),
        heads_pair(features),
        mask_pair(maps, coverage, valid),
        prototype_pair(features, labels),
        entropy_pair(maps),
    ]
    rows = [compare("core", f"{name}: {size}", ours=ours, peer=peer, peer_name=other, repeats=repeats) for name, ours, peer, other in pairs]
    return [memory_row(features, maps, f"kept for the backward pass of gate and merge: {size}"), *rows]


Pair = tuple[str, Callable[[], object], Callable[[], object], str]


def concatenate_and_convolve(features: Tensor, maps: Tensor, weight: Tensor) -> Tensor:
    """Merge gated copies as Object-ABN eq. 4-6 are printed."""
    copies = [features * maps[:, head : head + 1] for head in range(maps.shape[1])]
    return functional.conv3d(torch.cat(copies, 1), weight)


def gate_pair(features: Tensor, maps: Tensor) -> Pair:
    """Merge three gated copies without, and with, their concatenation."""
    gate = MergingGate(CHANNELS, HEADS, merge_init="random").to(features.device)
    inputs = (features, maps, gate.merge.weight)
    return (
        "gate and merge, forward and backward",
        lambda: gradients(gate(features, maps), inputs),
        lambda: gradients(concatenate_and_convolve(*inputs), inputs),
        CONCATENATION,
    )


def memory_row(features: Tensor, maps: Tensor, case: str) -> Row:
    """Compare the memory that both ways of merging hold until the backward pass."""
    gate = MergingGate(CHANNELS, HEADS, merge_init="random").to(features.device)
    ours = kept_megabytes(lambda: gate(features, maps))
    peer = kept_megabytes(lambda: concatenate_and_convolve(features, maps, gate.merge.weight))
    return Row(
        suite="core", case=case, ours=ours, peer=peer, peer_name=CONCATENATION, unit="MB", speedup=peer / ours, spread=0.0, repeats=1
    )


def kept_megabytes(forward: Callable[[], Tensor]) -> float:
    """Return the size of the tensors that autograd keeps of a call, each counted once."""
    sizes: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = forward()
    assert result.requires_grad
    return sum(sizes.values()) / 1e6


def heads_pair(features: Tensor) -> Pair:
    """Class scores of the branch pooled before, and after, their convolution."""
    branch = AttentionBranch(nn.Identity(), CHANNELS, classes=CLASSES, heads=HEADS).to(features.device)

    def literal() -> Tensor:
        scores = torch.relu(branch.shared_norm(branch.shared_conv(branch.norm(features))))
        maps = torch.sigmoid(branch.map_norm(branch.map_conv(scores)))
        return maps.sum() + branch.class_conv(scores).mean((2, 3, 4)).sum()

    def ours() -> Tensor:
        attention = branch(features)
        return attention.maps.sum() + attention.logits.sum()

    inputs = (features, *branch.parameters())
    return ("heads of the branch, forward and backward", lambda: gradients(ours(), inputs), lambda: gradients(literal(), inputs), LITERAL)


def mask_pair(maps: Tensor, coverage: Tensor, valid: Tensor) -> Pair:
    """Average over valid frames by weights, and by picking them out."""

    def literal() -> Tensor:
        kept = valid[:, :, None, None].expand_as(coverage)
        target = (coverage >= 0.5).float()[kept]
        return functional.mse_loss(maps[:, 1][kept], target) + functional.mse_loss(maps[:, 2][kept], 1 - target)

    return (
        "multi-head mask loss, forward and backward",
        lambda: gradients(multi_head_mask_loss(maps, coverage, valid), (maps,)),
        lambda: gradients(literal(), (maps,)),
        "boolean indexing and mse_loss",
    )


def prototype_pair(features: Tensor, labels: Tensor) -> Pair:
    """Distances of all pairs at once, and the formula's sums one sample after the other."""
    loss = PrototypeConformityLoss(CLASSES, CHANNELS).to(features.device)

    def literal() -> Tensor:
        total = features.new_zeros(())
        for vector, label in zip(features.mean((2, 3, 4)), labels.tolist(), strict=True):
            own = loss.prototypes[label]
            others = torch.cat([loss.prototypes[:label], loss.prototypes[label + 1 :]])
            away = (torch.linalg.vector_norm(vector - others, dim=1) + torch.linalg.vector_norm(own - others, dim=1)).sum()
            total = total + loss.pull * torch.linalg.vector_norm(vector - own) - loss.push / (CLASSES - 1) * away
        return total / len(labels)

    inputs = (features, loss.prototypes)
    return (
        "PC loss, forward and backward",
        lambda: gradients(loss(features, labels), inputs),
        lambda: gradients(literal(), inputs),
        LITERAL,
    )


def entropy_pair(maps: Tensor) -> Pair:
    """Histograms of all frames at once, and one frame after the other."""

    def literal() -> list[float]:
        entropies = []
        for frame in maps.detach().flatten(0, 2):
            counts = torch.histc((frame - frame.min()) / (frame.max() - frame.min()), bins=10, min=0, max=1)
            shares = counts[counts > 0] / counts.sum()
            entropies.append(-(shares * shares.log2()).sum().item())
        return entropies

    return ("entropy of maps", lambda: attention_entropy(maps.detach()).tolist(), literal, "torch.histc frame by frame")


def gradients(value: Tensor, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Run the backward pass of the sum."""
    return torch.autograd.grad(value.sum(), inputs, allow_unused=True)
