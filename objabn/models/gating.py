"""How maps gate features: one map by a product, several by concatenation and a 1x1x1 convolution that is never concatenated."""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.overrides import handle_torch_function, has_torch_function

from objabn.kernels.core_merge import gate_and_merge


class SingleGate(nn.Module):
    """Gate features by one map: h * M (Object-ABN eq. 1), or h * (1 + M) (Fukui et al. 2019)."""

    def __init__(self, apply: Literal["product", "residual"] = "product") -> None:
        super().__init__()
        self.is_residual = apply == "residual"

    def forward(self, features: Tensor, maps: Tensor, frame_weights: Tensor | None = None) -> Tensor:
        """Gate (B, C, T, y, x) by (B, 1, T, y, x); weights of frames are for other gates."""
        gate = maps.to(features.dtype)
        return features + features * gate if self.is_residual else features * gate


class MergingGate(nn.Module):
    """Gate features by N maps and merge the copies: conv1x1x1(concat(h * M_1, ..., h * M_N)) (Object-ABN eq. 4-6).

    The concatenation is N times the features; here each copy lives only while it is added up, forward and backward.
    """

    def __init__(self, channels: int, heads: int, *, merge_init: Literal["mean", "random"] = "mean") -> None:
        super().__init__()
        self.channels = channels
        self.heads = heads
        self.merge = nn.Conv3d(heads * channels, channels, kernel_size=1, bias=False)
        self.by_triton = False  # in training on a GPU; `objabn bench core` says whether it pays there
        if merge_init == "mean":
            # The pretrained tail then sees features of its own scale at the first step.
            with torch.no_grad():
                self.merge.weight.copy_(torch.eye(channels).repeat(1, heads).div(heads)[:, :, None, None, None])

    def forward(self, features: Tensor, maps: Tensor, frame_weights: Tensor | None = None) -> Tensor:
        """Merge (B, C, T, y, x) gated by each of (B, N, T, y, x) into (B, C, T, y, x); weights of frames are for other gates."""
        weight_NCC = self.merge.weight.unflatten(1, (self.heads, self.channels)).movedim(1, 0)
        # The backward pass sees what is kept here, and no autocast: all three must be of the type that is computed in.
        dtype = compute_dtype(features)
        is_fused = self.by_triton and self.training and features.is_cuda
        return (gate_and_merge if is_fused else merge_gated)(features.to(dtype), maps.to(dtype), weight_NCC.to(dtype))


def merge_gated(features: Tensor, maps: Tensor, weight_NCC: Tensor) -> Tensor:
    """Return the sum over n of W_n (h * M_n); who watches the operations of PyTorch sees this one as one of them."""
    tensors = (features, maps, weight_NCC)
    if has_torch_function(tensors):
        seen: Tensor = handle_torch_function(merge_gated, tensors, *tensors)
        return seen
    merged: Tensor = GatedMerge.apply(*tensors)
    return merged


def compute_dtype(features: Tensor) -> torch.dtype:
    """Return the type that a convolution of these features computes in: autocast's, which leaves double alone, or their own."""
    place = features.device.type
    is_cast = torch.is_autocast_enabled(place) and features.dtype != torch.float64
    return torch.get_autocast_dtype(place) if is_cast else features.dtype


class GatedMerge(torch.autograd.Function):
    """Sum over n of W_n (h * M_n), keeping h, M and W for the backward pass, and no gated copy."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, maps: Tensor, weight_NCC: Tensor) -> Tensor:
        """Merge features (B, C, T, y, x) gated by maps (B, N, T, y, x) with weights (N, C out, C in, 1, 1, 1)."""
        ctx.save_for_backward(features, maps, weight_NCC)
        merged = functional.conv3d(features * maps[:, :1], weight_NCC[0])
        for head in range(1, len(weight_NCC)):
            merged += functional.conv3d(features * maps[:, head : head + 1], weight_NCC[head])
        return merged

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients of features, maps and weights, one head after the other."""
        features, maps, weight_NCC = ctx.saved_tensors
        features_gradient = torch.zeros_like(features)
        maps_gradient, weight_gradient = [], []
        for head, weight in enumerate(weight_NCC):
            gate = maps[:, head : head + 1]
            copy_gradient, copy_weight_gradient = convolution_gradients(gradients[0], features * gate, weight)
            # d(h * M_n): the share of h is weighted by M_n, that of M_n is the sum over channels with h.
            features_gradient.addcmul_(copy_gradient, gate)
            maps_gradient.append((copy_gradient * features).sum(1))
            weight_gradient.append(copy_weight_gradient)
        return features_gradient, torch.stack(maps_gradient, 1), torch.stack(weight_gradient)


def convolution_gradients(gradient: Tensor, inputs: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients of inputs and weight of a 1x1x1 convolution without bias."""
    inputs_gradient, weight_gradient, _ = torch.ops.aten.convolution_backward(
        gradient, inputs, weight, None, [1, 1, 1], [0, 0, 0], [1, 1, 1], False, [0, 0, 0], 1, [True, True, False]
    )
    return inputs_gradient, weight_gradient
