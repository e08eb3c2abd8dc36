"""Places in an order, on any device: the highest first, or ranks that equal values share."""

import torch
from torch import Tensor


def places_from_top(values: Tensor) -> Tensor:
    """Return the place of each of (..., n) in the order from the highest, from 0; equal values stay in the order in which they are."""
    order = values.argsort(dim=-1, descending=True, stable=True)
    places = torch.arange(values.shape[-1], device=values.device).expand_as(order)
    return torch.empty_like(order).scatter_(-1, order, places)


def shared_ranks(values: Tensor) -> Tensor:
    """Return the rank of each of (..., n) from the lowest, from 0; equal values share the mean of theirs."""
    ordered, values = values.sort(-1).values, values.contiguous()
    return (torch.searchsorted(ordered, values) + torch.searchsorted(ordered, values, right=True) - 1).double() / 2
