"""Networks and how they begin."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

QUIET_GAIN = 0.01  # of a last layer: first outputs are nearly the same for every observation


def mlp(inputs: int, hidden: Sequence[int], outputs: int, *, gain: float) -> nn.Sequential:
    """Fully connected network with ReLU between layers.

    Hidden layers start orthogonal, which keeps signals of size one; the last layer starts orthogonal times `gain`
    with no bias, so that a small gain makes the first outputs nearly zero whatever the input.
    """
    layers: list[nn.Module] = []
    width = inputs
    for size in hidden:
        layers += [_linear(width, size, math.sqrt(2.0)), nn.ReLU()]
        width = size
    return nn.Sequential(*layers, _linear(width, outputs, gain))


def constant_forward(network: nn.Sequential, inputs: torch.Tensor) -> torch.Tensor:
    """`network(inputs)` with gradients for the inputs only: the weights count as constants."""
    for layer in network:
        if isinstance(layer, nn.Linear):
            inputs = F.linear(inputs, layer.weight.detach(), layer.bias.detach())
        else:
            inputs = layer(inputs)
    return inputs


def _linear(inputs: int, outputs: int, gain: float) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    with torch.no_grad():
        nn.init.orthogonal_(layer.weight, gain)
        layer.bias.zero_()
    return layer


class PolicyBody(nn.Module):
    """A policy's outputs before any squashing: a small network plus a linear path around it, which starts at zero.

    The linear path is where `lean` puts what the policy does before it has learned anything.
    """

    def __init__(self, inputs: int, hidden: Sequence[int], outputs: int) -> None:
        super().__init__()
        self.net = mlp(inputs, hidden, outputs, gain=QUIET_GAIN)
        self.direct = nn.Linear(inputs, outputs)
        with torch.no_grad():
            self.direct.weight.zero_()
            self.direct.bias.zero_()

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        return self.net(observations) + self.direct(observations)

    @torch.no_grad()
    def lean(self, output: int, *, bias: float = 0.0, column: int = 0, weight: float = 0.0) -> None:
        """Start with `bias` on an output, and `weight` from an observation column to it."""
        self.direct.bias[output] += bias
        self.direct.weight[output, column] += weight
