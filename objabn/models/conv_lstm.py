"""The tails of Meng et al. 2019: a ConvLSTM over gated features, with attention to frames before it or behind it."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from objabn.models.tails import Answer, Tail

KERNEL, PADDING = (1, 3, 3), (0, 1, 1)
"""Convolutions of 3 x 3 cells of each frame alone."""


class ConvLSTM(nn.Module):
    """One layer of a ConvLSTM (Shi et al. 2015): i, f, o, g = conv([x, h]), c' = f c + i g, h' = o tanh(c'), without peepholes.

    The share of the input in that convolution needs no state, so `input_gates` computes it for all frames at once.
    """

    def __init__(self, channels: int, hidden_channels: int) -> None:
        super().__init__()
        self.widths = (channels, hidden_channels)
        self.conv = nn.Conv3d(channels + hidden_channels, 4 * hidden_channels, KERNEL, padding=PADDING)

    def input_gates(self, inputs: Tensor) -> Tensor:
        """Return the share of inputs (B, C, T, y, x) in the gates, (B, 4 H, T, y, x)."""
        input_weight, _ = self.conv.weight.split(self.widths, 1)
        return functional.conv3d(inputs, input_weight, self.conv.bias, padding=PADDING)

    def forward(self, input_gates: Iterable[Tensor], hidden: Tensor, cell: Tensor) -> Tensor:
        """Take one step for each share of an input, (B, 4 H, 1, y, x), from states (B, H, 1, y, x); return all h' (B, H, steps, y, x)."""
        _, state_weight = self.conv.weight.split(self.widths, 1)
        states = []
        for share in input_gates:
            gates = share + functional.conv3d(hidden, state_weight, padding=PADDING)
            # The cell adds up over the frames, for which half precision is too coarse.
            i, f, o, g = gates.to(self.conv.weight.dtype).chunk(4, 1)
            cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
            hidden = o.sigmoid() * cell.tanh()
            states.append(hidden)
        return torch.cat(states, 2)


class InputAttentionTail(Tail):
    """The equations of Meng et al. 2019: soft attention over the frames makes what the ConvLSTM reads at each of T steps.

    The score of frame i at step t is u_x GAP(X_i) + u_h GAP(h_{t-1}), and w_t its softmax over the frames. What the state
    adds to it is the same for all frames and falls out of that softmax: u_h could neither change a weight nor learn, so there
    is none here, and the weights and Y = sum_i w_i X_i of all steps are computed once. The weights sum to 1, so Y is not
    divided by T once more. Two small networks draw the first state from the mean of the frames; the answer is a
    linear map of the mean over all steps and cells of h.
    """

    classifier = "classify"

    def __init__(self, channels: int, *, hidden_channels: int, classes: int) -> None:
        super().__init__()
        self.score = nn.Linear(channels, 1, bias=False)
        self.first_hidden = narrowing_convolutions(channels, hidden_channels)
        self.first_cell = narrowing_convolutions(channels, hidden_channels)
        self.lstm = ConvLSTM(channels, hidden_channels)
        self.classify = nn.Linear(hidden_channels, classes)

    def forward(self, features: Tensor) -> Answer:
        """Answer gated features (B, C, T', y, x)."""
        weights_BT = attend(self.score, features)
        share = self.lstm.input_gates((features * weights_BT[:, None, :, None, None].to(features.dtype)).sum(2, keepdim=True))
        mean = features.mean(2, keepdim=True)
        states = self.lstm([share] * features.shape[2], self.first_hidden(mean), self.first_cell(mean))
        return Answer(self.classify(states.mean((2, 3, 4))), weights_BT)


class StateAttentionTail(Tail):
    """The authors' first code: the ConvLSTM reads frame after frame from a state of zeros, and attention weighs its states.

    w = softmax over t of v GAP(h_t), answer = a linear map of sum_t w_t GAP(h_t). The bias that their score has falls out of
    the softmax and is left out.
    """

    classifier = "classify"

    def __init__(self, channels: int, *, hidden_channels: int, classes: int) -> None:
        super().__init__()
        self.score = nn.Linear(hidden_channels, 1, bias=False)
        self.lstm = ConvLSTM(channels, hidden_channels)
        self.classify = nn.Linear(hidden_channels, classes)

    def forward(self, features: Tensor) -> Answer:
        """Answer gated features (B, C, T', y, x)."""
        gates = self.lstm.input_gates(features)
        shape = (gates.shape[0], gates.shape[1] // 4, 1, *gates.shape[3:])
        zeros = gates.new_zeros(shape, dtype=self.lstm.conv.weight.dtype)
        states = self.lstm(gates.split(1, 2), zeros, zeros)
        weights_BT = attend(self.score, states)
        return Answer(self.classify((states.mean((3, 4)) * weights_BT[:, None]).sum(2)), weights_BT)


def attend(score: nn.Module, values: Tensor) -> Tensor:
    """Return weights of frames (B, T) that sum to 1: the softmax over T of a score of the mean over the cells of (B, C, T, y, x)."""
    scores_BT: Tensor = score(values.mean((3, 4)).transpose(1, 2)).squeeze(2)
    return scores_BT.to(torch.promote_types(scores_BT.dtype, torch.float32)).softmax(1)


def narrowing_convolutions(channels: int, narrow_channels: int) -> nn.Sequential:
    """Return two 3x3 convolutions of each frame, `channels` -> half of them -> `narrow_channels`, each with batch norm and ReLU."""
    layers: list[nn.Module] = []
    for width, next_width in ((channels, channels // 2), (channels // 2, narrow_channels)):
        convolution = nn.Conv3d(width, next_width, KERNEL, padding=PADDING, bias=False)
        layers += [convolution, nn.BatchNorm3d(next_width), nn.ReLU()]
    return nn.Sequential(*layers)
