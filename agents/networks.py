"""Networks and how they begin."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from agents.config import NetworkConfig
from agents.dense import Dense
from agents.encoders import build_encoder
from agents.normaliser import Normaliser

QUIET_GAIN = 0.01  # of a last layer: first outputs are nearly the same for every observation


def mlp(inputs: int, hidden: Sequence[int], outputs: int, *, gain: float) -> Dense:
    """Fully connected network with ReLU between layers.

    Hidden layers start orthogonal, which keeps signals of size one; the last layer starts orthogonal times `gain`
    with no bias, so that a small gain makes the first outputs nearly zero whatever the input.
    """
    layers: list[nn.Module] = []
    width = inputs
    for size in hidden:
        layers += [_linear(width, size, math.sqrt(2.0)), nn.ReLU()]
        width = size
    return Dense(*layers, _linear(width, outputs, gain))


def _linear(inputs: int, outputs: int, gain: float) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    with torch.no_grad():
        nn.init.orthogonal_(layer.weight, gain)
        layer.bias.zero_()
    return layer


class Perception(nn.Module):
    """What policy and value read of an observation: its market columns, normalised where asked for, its account columns
    as they are, and the encoder's code of the market so far.

    `market` is the number M of market columns, which come first; `width` the number of features, of which the first D
    are the observation's columns; `state_size` that of an encoder's memory, 0 without one.
    """

    def __init__(self, size: int, account_columns: int, network: NetworkConfig) -> None:
        super().__init__()
        self.market = size - account_columns
        self.normaliser = Normaliser(self.market) if network.normalise else None
        self.encoder = build_encoder(self.market, network)
        self.width = size + (self.encoder.width if self.encoder else 0)
        self.state_size = self.encoder.state_size if self.encoder else 0

    def step(self, observations: torch.Tensor, memory: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features (N, width) and memory (N, S) after observations (N, D), given the memory before them."""
        if self.encoder is None:
            return self._scaled(observations), memory
        codes, memory = self.encoder.step(observations[..., : self.market], memory, self._scale)
        return torch.cat([self._scaled(observations), codes], -1), memory

    def sequence(self, observations: torch.Tensor, memory: torch.Tensor, starts: torch.Tensor) -> torch.Tensor:
        """Features (N, T, width) of observations (N, T, D) from the memory (N, S) before the first of them, which is
        forgotten where `starts` (N, T) says that an observation is an episode's first."""
        scaled = self._scaled(observations)
        if self.encoder is None:
            return scaled
        codes = self.encoder.sequence(observations[..., : self.market], memory, starts, self._scale)
        return torch.cat([scaled, codes], -1)

    def _scale(self, rows: torch.Tensor) -> torch.Tensor:
        return self.normaliser(rows) if self.normaliser else rows

    def _scaled(self, observations: torch.Tensor) -> torch.Tensor:
        if self.normaliser is None:
            return observations
        return torch.cat([self.normaliser(observations[..., : self.market]), observations[..., self.market :]], -1)


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

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.net(features) + self.direct(features)

    def with_trunk(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The same outputs, and what the last hidden layer makes of the features."""
        hidden = self.net[:-1](features)
        return self.net[-1](hidden) + self.direct(features), hidden

    @torch.no_grad()
    def lean(self, output: int, *, bias: float = 0.0, column: int = 0, weight: float = 0.0) -> None:
        """Start with `bias` on an output, and `weight` from a feature to it."""
        self.direct.bias[output] += bias
        self.direct.weight[output, column] += weight
