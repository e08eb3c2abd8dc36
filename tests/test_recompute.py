"""Blocks that are computed again: the same gradients and statistics from less memory."""

import copy

import pytest
import torch
from torch import nn
from toys import nano, toy_batch, toy_config

from objabn.models.recompute import recomputing, residual_blocks


def kept_bytes_and_results(net: nn.Module, *, is_on: bool) -> tuple[int, list[torch.Tensor]]:
    """Return what autograd keeps of a pass, and gradients and buffers after it."""
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    torch.manual_seed(1)
    with recomputing(net, is_on=is_on):
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            output = net(toy_batch(0).clip)
        (output.logits.sum() + output.branch_logits.sum() + output.maps.sum()).backward()
    return sum(kept.values()), [*(parameter.grad for parameter in net.parameters()), *net.buffers()]


@pytest.mark.usefixtures("shallow")
def test_gradients_and_running_statistics_are_the_same_from_less_memory() -> None:
    net = nano(toy_config(dropout=0.5)).train()
    net.backbone.blocks[1].eval()  # frozen norms stay as they are
    other = copy.deepcopy(net)
    stock_bytes, stock = kept_bytes_and_results(net, is_on=False)
    saved_bytes, ours = kept_bytes_and_results(other, is_on=True)
    assert all(torch.equal(a, b) for a, b in zip(stock, ours, strict=True))
    # The blocks' inputs and what lies outside of blocks stay.
    assert saved_bytes < 0.7 * stock_bytes
    assert not [module for module in other.modules() if "forward" in vars(module)]


def test_a_network_without_blocks_is_refused() -> None:
    with pytest.raises(ValueError, match="no residual block"), recomputing(nn.Conv3d(3, 3, 1)):
        pass


def test_blocks_are_the_outermost_ones() -> None:
    inner = type("BasicBlock", (nn.Sequential,), {})(nn.Linear(1, 1))
    outer = type("ResBlock", (nn.Sequential,), {})(inner)
    assert residual_blocks(nn.Sequential(nn.Sequential(outer), nn.ReLU(), inner)) == [outer, inner]
