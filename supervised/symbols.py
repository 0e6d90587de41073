"""One model for several symbols: a learned vector per symbol beside what all symbols share.

The vector is added to the input row. Every architecture begins with an affine map W x + b of the row, so that
W (x + e) + b = W x + (b + W e): for one symbol the vector is nothing but another bias, and `SymbolModel.of` returns a
plain model with that bias in place. Predictions, streaming, export and online learning know no symbols.

Row 0 of the table stands for a symbol never seen. Each chunk's identity is forgotten with probability `forget` while
training, so that row is trained as the rest of the model is.
"""

from __future__ import annotations

import copy

import torch
from torch import nn

from supervised.base import CausalModel
from supervised.lstm import LSTM

UNKNOWN = 0
"""Number of a symbol that was not trained on; the symbols of a training set are numbered from 1."""


class SymbolModel(nn.Module):
    """A causal model and a vector for each symbol, all zero at first: a fresh one says what the model alone says."""

    def __init__(self, model: CausalModel, symbols: int, forget: float = 0.1) -> None:
        super().__init__()
        self.model = model
        self.forget = forget
        self.offsets = nn.Embedding(symbols + 1, model.n_features)
        nn.init.zeros_(self.offsets.weight)

    def shifted(self, x: torch.Tensor, symbol: torch.Tensor) -> torch.Tensor:
        """x float32 (B, T, F) with the vectors of symbol int64 (B,) added."""
        return x + self.offsets(symbol)[:, None]

    def forward(self, x: torch.Tensor, symbol: torch.Tensor) -> torch.Tensor:
        """x float32 (B, T, F), symbol int64 (B,) -> outputs float32 (B, T, O)."""
        if self.training:
            forgotten = torch.rand(symbol.shape, device=symbol.device) < self.forget
            symbol = symbol.masked_fill(forgotten, UNKNOWN)
        return self.model(self.shifted(x, symbol))

    def of(self, symbol: int) -> CausalModel:
        """A copy of the model for this symbol alone, equal but for rounding."""
        model = copy.deepcopy(self.model)
        weight, bias = first_affine(model)
        with torch.no_grad():
            bias.add_(weight @ self.offsets.weight[symbol])
        return model


def first_affine(model: CausalModel) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight (N, F) and bias (N,) of the map that the model begins with."""
    names = ("cells.weight_ih_l0", "cells.bias_ih_l0") if isinstance(model, LSTM) else ("embed.weight", "embed.bias")
    return model.get_parameter(names[0]), model.get_parameter(names[1])
