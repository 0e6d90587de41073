"""Networks and how they begin."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn


def mlp(inputs: int, hidden: Sequence[int], outputs: int, *, gain: float) -> nn.Sequential:
    """Fully connected network with tanh between layers.

    Hidden layers start orthogonal, which keeps signals of size one; the last layer starts orthogonal times `gain`
    with no bias, so that a small gain makes the first outputs nearly zero whatever the input.
    """
    layers: list[nn.Module] = []
    width = inputs
    for size in hidden:
        layers += [_linear(width, size, math.sqrt(2.0)), nn.Tanh()]
        width = size
    return nn.Sequential(*layers, _linear(width, outputs, gain))


def _linear(inputs: int, outputs: int, gain: float) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    with torch.no_grad():
        nn.init.orthogonal_(layer.weight, gain)
        layer.bias.zero_()
    return layer
