"""What a network remembers of the market: recurrent cells, or causal filters over the last rows.

All encoders read rows of market columns and keep their memory outside, as one float32 row of `state_size` numbers per
lane: zeros where an episode begins. `step` moves lanes by one row, `sequence` whole stretches of rows, with the same
numbers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import cast

import torch
from torch import nn

from agents.config import NetworkConfig

Scale = Callable[[torch.Tensor], torch.Tensor]  # of market rows (..., M)


class Encoder(nn.Module):
    """Base of the encoders: `width` numbers out, `state_size` numbers of memory."""

    width: int
    state_size: int

    def step(self, rows: torch.Tensor, memory: torch.Tensor, scale: Scale) -> tuple[torch.Tensor, torch.Tensor]:
        """Codes (N, width) and memory (N, S) after market rows (N, M), given the memory before them."""
        raise NotImplementedError

    def sequence(self, rows: torch.Tensor, memory: torch.Tensor, starts: torch.Tensor, scale: Scale) -> torch.Tensor:
        """Codes (N, T, width) of market rows (N, T, M) from the memory (N, S) before the first of them; memory is
        forgotten where bool `starts` (N, T) says that a row is an episode's first."""
        raise NotImplementedError


class _Recurrent(Encoder):
    """Gates read the row through one matrix and the memory through another; the first takes all rows at once."""

    def __init__(self, inputs: int, width: int, gates: int) -> None:
        super().__init__()
        self.width = width
        self.read = nn.Linear(inputs, gates * width)
        self.recall = nn.Linear(width, gates * width)
        with torch.no_grad():
            for matrix in (self.read, self.recall):
                for block in matrix.weight.split(width):
                    nn.init.orthogonal_(block)
                matrix.bias.zero_()

    def step(self, rows: torch.Tensor, memory: torch.Tensor, scale: Scale) -> tuple[torch.Tensor, torch.Tensor]:
        memory = self.advance(self.read(scale(rows)), memory)
        return memory[:, : self.width], memory

    def sequence(self, rows: torch.Tensor, memory: torch.Tensor, starts: torch.Tensor, scale: Scale) -> torch.Tensor:
        inputs, keep = self.read(scale(rows)), (~starts).to(memory.dtype)
        codes = []
        for t in range(rows.shape[1]):
            memory = self.advance(inputs[:, t], memory * keep[:, t, None])
            codes.append(memory[:, : self.width])
        return torch.stack(codes, 1)

    def advance(self, inputs: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        """Memory (N, S) after one row, whose part in the gates is `inputs`."""
        raise NotImplementedError


class GRU(_Recurrent):
    """Gated recurrent unit (Cho et al. 2014) in cuDNN's form, the reset gate applied after the matrix:
    h' = (1 - z) tanh(W x + r (U h)) + z h."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width, gates=3)
        self.state_size = width

    def advance(self, inputs: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        recalled = self.recall(memory)
        update, reset = (inputs + recalled)[:, : 2 * self.width].sigmoid().chunk(2, -1)
        fresh = (inputs[:, 2 * self.width :] + reset * recalled[:, 2 * self.width :]).tanh()
        return fresh + update * (memory - fresh)


class LSTM(_Recurrent):
    """Long short-term memory (Hochreiter & Schmidhuber 1997; forget gate of Gers et al. 2000, which starts open):
    c' = f c + i tanh(g), h' = o tanh(c'). Memory is h and c side by side."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width, gates=4)
        self.state_size = 2 * width
        with torch.no_grad():
            self.recall.bias[:width] = 1.0

    def advance(self, inputs: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        hidden, cell = memory.chunk(2, -1)
        gates = inputs + self.recall(hidden)
        forget, write, show = gates[:, : 3 * self.width].sigmoid().chunk(3, -1)
        cell = forget * cell + write * gates[:, 3 * self.width :].tanh()
        return torch.cat([show * cell.tanh(), cell], -1)


class Window(Encoder):
    """Causal filters over the last W rows: log2 W layers, each joining a row with the one 1, 2, 4, ... rows before it
    (van den Oord et al. 2016). Rows before the episode's first count as zeros.

    Memory is the last W - 1 market rows as they came, oldest first, each with a flag that there was one.
    """

    def __init__(self, inputs: int, width: int, window: int) -> None:
        super().__init__()
        self.width, self.inputs, self.window = width, inputs, window
        self.state_size = (window - 1) * (inputs + 1)
        sizes = [inputs] + [width] * int(math.log2(window))
        self.layers = nn.ModuleList(nn.Linear(2 * before, after) for before, after in itertools.pairwise(sizes))
        with torch.no_grad():
            for layer in self.layers:
                filters = cast(nn.Linear, layer)
                nn.init.orthogonal_(filters.weight, math.sqrt(2.0))
                filters.bias.zero_()

    def step(self, rows: torch.Tensor, memory: torch.Tensor, scale: Scale) -> tuple[torch.Tensor, torch.Tensor]:
        flagged = torch.cat([rows, torch.ones_like(rows[:, :1])], -1)
        window = torch.cat([memory.view(-1, self.window - 1, self.inputs + 1), flagged[:, None]], 1)
        codes, present = scale(window[..., :-1]), window[..., -1:]
        for layer in self.layers:  # of each pair of rows only the newer is read again: half as many in every layer
            pairs = (codes * present).unflatten(1, (-1, 2)).flatten(2)
            codes, present = layer(pairs).relu(), present[:, 1::2]
        return codes[:, 0], window[:, 1:].flatten(1)

    def sequence(self, rows: torch.Tensor, memory: torch.Tensor, starts: torch.Tensor, scale: Scale) -> torch.Tensor:
        before, steps = self.window - 1, rows.shape[1]
        past = memory.view(-1, before, self.inputs + 1)
        codes = scale(torch.cat([past[..., :-1], rows], 1))
        # The number of the episode that a row belongs to, -1 where there was no row: filters join equal numbers only.
        episode = torch.cat([past[..., -1] - 1.0, starts.to(past.dtype).cumsum(1)], 1)
        for number, layer in enumerate(self.layers):
            distance = 2**number
            same = (episode[:, distance:] == episode[:, :-distance]) & (episode[:, distance:] >= 0.0)
            older = codes[:, :-distance] * same[..., None].to(codes.dtype)
            codes = layer(torch.cat([older, codes[:, distance:]], -1)).relu()
            episode = episode[:, distance:]
        return codes[:, -steps:]


def build_encoder(inputs: int, network: NetworkConfig) -> Encoder | None:
    """The encoder of M market columns that the settings ask for; None for mlp."""
    if network.encoder == "gru":
        return GRU(inputs, network.encoder_width)
    if network.encoder == "lstm":
        return LSTM(inputs, network.encoder_width)
    if network.encoder == "window":
        return Window(inputs, network.encoder_width, network.window)
    return None
