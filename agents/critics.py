"""Several critics computed as one batched network: a layer of all of them is one matrix product."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import nn

from agents.networks import QUIET_GAIN


class CriticEnsemble(nn.Module):
    """`critics` ReLU MLPs of one shape, each with one output, over the same inputs.

    Hidden layers start orthogonal with gain sqrt(2), the last one orthogonal with a small gain, every bias at zero: a
    critic whose first outputs are larger than any true value leads the policy astray until it has unlearned them.

    Args:
        inputs: width of the rows.
        hidden: widths of the hidden layers.
        critics: number of networks.
    """

    def __init__(self, inputs: int, hidden: Sequence[int], critics: int) -> None:
        super().__init__()
        pairs = list(itertools.pairwise((inputs, *hidden, 1)))
        for layer, pair in enumerate(pairs):
            weight = torch.empty(critics, *pair)
            for critic in weight:
                nn.init.orthogonal_(critic, QUIET_GAIN if layer == len(pairs) - 1 else math.sqrt(2.0))
            self.register_parameter(f"weight_{layer}", nn.Parameter(weight))
            self.register_parameter(f"bias_{layer}", nn.Parameter(torch.zeros(critics, 1, pair[1])))

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Q (critics, N) of rows (N, inputs)."""
        return _forward(rows, list(self.parameters()))

    def first_as_constant(self, rows: torch.Tensor) -> torch.Tensor:
        """Q (N,) of the first critic, with gradients for the rows only: its weights count as constants."""
        return _forward(rows, [each[:1].detach() for each in self.parameters()])[0]


def _forward(rows: torch.Tensor, parameters: Sequence[torch.Tensor]) -> torch.Tensor:
    """Q (C, N) of rows (N, I); the parameters are weight (C, in, out) and bias (C, 1, out) of each layer in turn."""
    values = rows.expand(len(parameters[0]), *rows.shape)
    for layer in range(0, len(parameters), 2):
        if layer:
            values = torch.relu(values)
        values = torch.baddbmm(parameters[layer + 1], values, parameters[layer])
    return values.squeeze(-1)
