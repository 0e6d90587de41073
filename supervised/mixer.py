"""Causal axis-separable mixer: filters along time, a perceptron across channels, and a gate between the two.

Mixing one axis at a time is the MLP-Mixer's idea (Tolstikhin et al. 2021, 2105.01601), taken to time series by TSMixer
(Chen et al. 2023, 2303.06053) and to order books by MLPLOB (Berti & Kasneci 2025, 2502.15757); the gate on the time
axis is gMLP's (Liu et al. 2021, 2105.08050). Those mix a fixed window, future and past alike. Here every channel has a
finite impulse response of its own, a depthwise causal convolution as in long-convolution models (Romero et al. 2022,
2102.02611), so that the model is dense, causal and streamed by one ring of rows per block.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from supervised.base import CausalModel
from supervised.outputs import OutputLayout


class CausalFIR(nn.Module):
    """One filter of `taps` rows per channel: (B, T, C) -> (B, T, C), out[t, c] = sum over k of taps[c, k] x[t - k, c].

    Rows before the first count as zero. The filters start as exponential averages, their half-lives geometrically
    from one row to half the taps over the channels: what has mattered in such data for long is averages of several
    spans, and a filter that starts as noise must first unlearn it.
    """

    def __init__(self, channels: int, taps: int) -> None:
        super().__init__()
        half_life = torch.logspace(0.0, math.log10(max(taps / 2, 1.0)), channels)
        decay = 0.5 ** (1.0 / half_life)[:, None]
        self.taps = nn.Parameter((1.0 - decay) * decay ** torch.arange(taps))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        channels, taps = self.taps.shape
        padded = F.pad(x.transpose(1, 2), (taps - 1, 0))
        return F.conv1d(padded, self.taps.flip(1)[:, None], groups=channels).transpose(1, 2)


class _Block(nn.Module):
    """x + gate(n(x)) * FIR(n(x)), then x + MLP(n(x)); n is LayerNorm, the gate a sigmoid of a linear map of the row."""

    def __init__(self, hidden: int, taps: int, dropout: float) -> None:
        super().__init__()
        self.norm_time = nn.LayerNorm(hidden)
        self.filter = CausalFIR(hidden, taps)
        self.gate = nn.Linear(hidden, hidden)
        self.norm_channels = nn.LayerNorm(hidden)
        self.mlp = nn.Sequential(
            nn.Linear(hidden, 2 * hidden), nn.GELU(approximate="tanh"), nn.Linear(2 * hidden, hidden)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        normed = self.norm_time(x)
        x = x + self.dropout(torch.sigmoid(self.gate(normed)) * self.filter(normed))
        return x + self.dropout(self.mlp(self.norm_channels(x)))


class Mixer(CausalModel):
    """Blocks of time and channel mixing on a linear embedding of the row; together they see `window` rows or just
    more."""

    def __init__(
        self, n_features: int, layout: OutputLayout, hidden: int, layers: int, window: int, dropout: float
    ) -> None:
        super().__init__(n_features, layout, hidden)
        self.embed = nn.Linear(n_features, hidden)
        taps = 1 + math.ceil((window - 1) / layers)
        self.blocks = nn.ModuleList(_Block(hidden, taps, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(hidden)
        self._receptive_field = 1 + layers * (taps - 1)

    @property
    def receptive_field(self) -> int:
        return self._receptive_field

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        h = self.embed(x)
        for block in self.blocks:
            h = block(h)
        return self.norm(h)
