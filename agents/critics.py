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
        self.weights = nn.ParameterList(torch.empty(critics, *pair) for pair in pairs)
        self.biases = nn.ParameterList(torch.zeros(critics, 1, width) for _, width in pairs)
        with torch.no_grad():
            for layer, weight in enumerate(self.weights, start=1):
                for critic in weight:
                    nn.init.orthogonal_(critic, QUIET_GAIN if layer == len(pairs) else math.sqrt(2.0))

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Q (critics, N) of rows (N, inputs)."""
        return _forward(rows, list(self.weights), list(self.biases))

    def first_as_constant(self, rows: torch.Tensor) -> torch.Tensor:
        """Q (N,) of the first critic, with gradients for the rows only: its weights count as constants."""
        return _forward(
            rows, [each[:1].detach() for each in self.weights], [each[:1].detach() for each in self.biases]
        )[0]


def _forward(rows: torch.Tensor, weights: Sequence[torch.Tensor], biases: Sequence[torch.Tensor]) -> torch.Tensor:
    values = rows.expand(len(weights[0]), *rows.shape)
    for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        if layer:
            values = torch.relu(values)
        values = torch.baddbmm(bias, values, weight)
    return values.squeeze(-1)
