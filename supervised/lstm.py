"""Long short-term memory (Hochreiter & Schmidhuber 1997) on a run of rows."""

from __future__ import annotations

import torch
from torch import nn

from supervised.base import CausalModel
from supervised.outputs import OutputLayout


class LSTM(CausalModel):
    """`layers` of `hidden` cells that start from zero at the first row they are given.

    An LSTM's memory has no sharp end. `receptive_field` is the warm-up it gets, in training and in prediction alike,
    before its first output counts.
    """

    def __init__(
        self, n_features: int, layout: OutputLayout, hidden: int, layers: int, window: int, dropout: float
    ) -> None:
        super().__init__(n_features, layout, hidden)
        self.window = window
        self.cells = nn.LSTM(n_features, hidden, layers, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(hidden)

    @property
    def receptive_field(self) -> int:
        return self.window

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.dropout(self.cells(x)[0]))
