"""The parts in the middle of a network: what it uses, its formulas in plain PyTorch, these compiled, and Triton's kernels on a GPU."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.machine_ceilings import ceiling_rows, ceiling_runs
from benchmarks.memory import kept_megabytes
from benchmarks.result import Row, Timings, measure, timings_row
from benchmarks.roofline import Part, PartRow, differentiated_part, part_rows
from objabn.kernels import core_entropy, core_formulas, core_merge
from objabn.losses import PrototypeConformityLoss, multi_head_mask_loss
from objabn.metrics import attention_entropy
from objabn.models.branches import AttentionBranch
from objabn.models.gating import MergingGate
from objabn.training.precision import Precision, resolve_precision

STEM_CHANNELS, BRANCH_CHANNELS, CLASSES, HEADS = 96, 192, 101, 3
LITERAL, COMPILED = "literal formula in eager PyTorch", "literal formula compiled"
OURS, TRITON = "ours", "Triton"


class Piece(NamedTuple):
    """One part with the ways to compute it, all of the same inputs and parameters."""

    name: str
    ours: Callable[..., Any]
    literal: Callable[..., Any]
    triton: Callable[..., Any] | None
    inputs: Sequence[Tensor]
    parameters: Sequence[Tensor] = ()


class Given(NamedTuple):
    """What all parts are given: tensors of X3D-M's sizes, and modules with their weights."""

    features: Tensor
    """Of the stem, (B, 96, T, y, x)."""
    behind_blocks: Tensor
    """Of the branch, (B, 192, T, y, x)."""
    maps: Tensor
    coverage: Tensor
    valid: Tensor
    labels: Tensor
    gate: MergingGate
    branch: AttentionBranch
    pc_loss: PrototypeConformityLoss


def run(
    *, device: str = "cpu", clips: int | None = None, frames: int = 16, grid: int = 14, repeats: int = 9, compiles: bool = True
) -> tuple[list[Row], list[PartRow]]:
    """Compare gate, heads, losses, entropy and all of them together, forward and backward; bf16 under autocast on a GPU.

    Returns the comparisons, and how near ours is to what the machine can do.
    """
    precision = resolve_precision(device, "auto")
    clips = clips or (64 if precision.device.type == "cuda" else 2)
    dtype = precision.dtype or torch.float32
    given = draw(precision, clips, frames, grid)
    limits = ceiling_runs(precision.device, dtype, scale=1.0 if grid > 8 else 0.1)
    size = f"{clips} clips, {frames} frames, {grid} x {grid}, {HEADS} maps"
    rows, parts = [memory_row(given, f"kept for the backward pass of gate and merge: {size}")], []
    for piece in pieces(given):
        ways = ways_of(piece, precision, compiles=compiles)
        timings = measure({name: part.run for name, part in ways.items()} | limits.ways(), repeats=repeats)
        rows += piece_rows(f"{piece.name}: {size}", timings)
        ceilings = limits.found(timings)
        parts += part_rows("core", [replace(ways[OURS], name=piece.name)], renamed(timings, piece.name), ceilings)
    whole = parts[-1].milliseconds
    return [*ceiling_rows("core", ceilings, dtype), *rows], [replace(part, share=part.milliseconds / whole) for part in parts]


def draw(precision: Precision, clips: int, frames: int, grid: int) -> Given:
    """Draw inputs, and modules with their weights; features have the type that autocast gives them."""
    torch.manual_seed(0)
    device, shape = precision.device, (frames, grid, grid)
    features, behind_blocks = (
        torch.randn(clips, channels, *shape, device=device, dtype=precision.dtype or torch.float32)
        .to(memory_format=torch.channels_last_3d)
        .requires_grad_()
        for channels in (STEM_CHANNELS, BRANCH_CHANNELS)
    )
    return Given(
        features,
        behind_blocks,
        torch.rand(clips, HEADS, *shape, device=device, requires_grad=True),
        torch.rand(clips, *shape, device=device),
        torch.rand(clips, frames, device=device) > 0.2,
        torch.arange(clips, device=device) % CLASSES,
        MergingGate(STEM_CHANNELS, HEADS, merge_init="random").to(device),
        AttentionBranch(nn.Identity(), BRANCH_CHANNELS, classes=CLASSES, heads=HEADS).to(device),
        PrototypeConformityLoss(CLASSES, BRANCH_CHANNELS).to(device),
    )


def pieces(given: Given) -> list[Piece]:
    """Return the five parts, and all but the entropy as one."""
    return [gate_piece(given), heads_piece(given), mask_piece(given), prototype_piece(given), entropy_piece(given), whole_piece(given)]


def weight_of(gate: MergingGate) -> Tensor:
    """Return the weights of a merge as (N, C out, C in)."""
    return gate.merge.weight.flatten(1).unflatten(1, (gate.heads, gate.channels)).movedim(1, 0)


def weights_of(branch: AttentionBranch) -> core_formulas.Weights:
    """Return the weights of a branch's heads for the formula."""
    norms = [(norm.weight, norm.bias) for norm in (branch.norm, branch.shared_norm, branch.map_norm)]
    scores: Any = branch.class_conv
    shared, draw_maps, score = (layer.weight.flatten(1) for layer in (branch.shared_conv, branch.map_conv, scores))
    return core_formulas.Weights(norms[0], shared, norms[1], draw_maps, norms[2], score)


def literal_merge(given: Given) -> Callable[[Tensor, Tensor], Tensor]:
    """Return gate and merge by a concatenation and a convolution."""
    return lambda features, maps: core_formulas.gate_and_merge(features, maps, weight_of(given.gate))


def triton_merge(given: Given) -> Callable[[Tensor, Tensor], Tensor]:
    """Return gate and merge by Triton, in the type of the features."""

    def merge(features: Tensor, maps: Tensor) -> Tensor:
        return core_merge.gate_and_merge(features, maps.to(features.dtype), weight_of(given.gate).to(features.dtype))

    return merge


def gate_piece(given: Given) -> Piece:
    """Gate by three maps and merge."""
    inputs, parameters = (given.features, given.maps), list(given.gate.parameters())
    return Piece("gate and merge", given.gate, literal_merge(given), triton_merge(given), inputs, parameters)


def heads_piece(given: Given) -> Piece:
    """Draw maps and class scores: ours averages before the last convolution, the formula behind it."""
    branch = given.branch

    def ours(features: Tensor) -> tuple[Tensor, Tensor | None]:
        attention = branch(features)
        return attention.maps, attention.logits

    def literal(features: Tensor) -> tuple[Tensor, Tensor]:
        return core_formulas.heads_of_branch(features, weights_of(branch))

    return Piece("heads of the branch", ours, literal, None, [given.behind_blocks], list(branch.parameters()))


def mask_piece(given: Given) -> Piece:
    """Coverage to target, and the distances of two maps from it."""
    coverage, valid = given.coverage, given.valid
    return Piece(
        "multi-head mask loss",
        lambda maps: multi_head_mask_loss(maps, coverage, valid),
        lambda maps: core_formulas.multi_head_mask_loss(maps, coverage, valid),
        None,
        [given.maps],
    )


def prototype_piece(given: Given) -> Piece:
    """The PC loss of the branch's features, their average included."""
    loss, labels = given.pc_loss, given.labels
    return Piece(
        "PC loss",
        lambda features: loss(features, labels),
        lambda features: core_formulas.prototype_loss(features, loss.prototypes, labels),
        None,
        [given.behind_blocks],
        [loss.prototypes],
    )


def entropy_piece(given: Given) -> Piece:
    """The entropy of every frame, which has no gradient."""
    return Piece("entropy of maps", attention_entropy, core_formulas.entropy, core_entropy.attention_entropy, [given.maps.detach()])


def whole_piece(given: Given) -> Piece:
    """From the features of stem and branch to what the tail is given, the branch's scores and the weighted losses of the maps."""
    branch, coverage, valid, labels = given.branch, given.coverage, given.valid, given.labels

    def ours(features: Tensor, behind_blocks: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        attention = branch(behind_blocks)
        losses = 10 * multi_head_mask_loss(attention.maps, coverage, valid) + 1e-4 * given.pc_loss(behind_blocks, labels)
        return given.gate(features, attention.maps), attention.logits, losses

    def by(merge: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]:
        def literal(features: Tensor, behind_blocks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            maps, scores = core_formulas.heads_of_branch(behind_blocks, weights_of(branch))
            losses = 10 * core_formulas.multi_head_mask_loss(maps, coverage, valid)
            losses = losses + 1e-4 * core_formulas.prototype_loss(behind_blocks, given.pc_loss.prototypes, labels)
            return merge(features, maps), scores, losses

        return literal

    parameters = [parameter for module in (given.gate, branch, given.pc_loss) for parameter in module.parameters()]
    inputs = (given.features, given.behind_blocks)
    return Piece("whole core", ours, by(literal_merge(given)), by(triton_merge(given)), inputs, parameters)


def ways_of(piece: Piece, precision: Precision, *, compiles: bool) -> dict[str, Part]:
    """Return the ways to compute a part that this device has; ours is compiled on a GPU, where networks are."""
    on_gpu = precision.device.type == "cuda"
    ways = {OURS: (piece.ours, on_gpu), LITERAL: (piece.literal, False)}
    if compiles:
        ways[COMPILED] = (piece.literal, True)
    if on_gpu and piece.triton is not None:
        ways[TRITON] = (piece.triton, True)
    return {
        name: differentiated_part(name, function, piece.inputs, piece.parameters, precision.autocast, is_compiled=is_compiled)
        for name, (function, is_compiled) in ways.items()
    }


def piece_rows(case: str, timings: Timings) -> list[Row]:
    """Return ours beside each other way, and Triton beside the compiled formula."""
    ways = timings.seconds
    rows = [timings_row("core", case, timings, peer=peer, peer_name=peer) for peer in (LITERAL, COMPILED) if peer in ways]
    if TRITON in ways and COMPILED in ways:
        rows.append(timings_row("core", f"{case}, by Triton", timings, ours=TRITON, peer=COMPILED, peer_name=COMPILED))
    return rows


def renamed(timings: Timings, name: str) -> Timings:
    """Return our timings under the name of the part."""
    return Timings({name: timings.seconds[OURS]}, {name: timings.cpu_seconds[OURS]})


def memory_row(given: Given, case: str) -> Row:
    """Compare the memory that both ways of merging hold until the backward pass."""
    ours = kept_megabytes(lambda: given.gate(given.features, given.maps))
    peer = kept_megabytes(lambda: literal_merge(given)(given.features, given.maps))
    return Row(suite="core", case=case, ours=ours, peer=peer, peer_name=LITERAL, unit="MB", speedup=peer / ours, spread=0.0, repeats=1)
