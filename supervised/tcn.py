"""Temporal convolutional network: residual dilated causal convolutions (Bai, Kolter & Koltun 2018, 1803.01271)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from supervised.base import CausalModel
from supervised.outputs import OutputLayout

KERNEL = 3


class CausalConv(nn.Module):
    """Dilated causal convolution (B, T, C_in) -> (B, T, C_out), computed as one matrix product over the shifted inputs.

    Equal to `conv1d` on inputs with `(kernel - 1) * dilation` zeros in front; channels stay last, so that the
    product, the residual sum and the head read memory in order (torch's own dilated convolution on CPU is several
    times slower).
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.kernel = kernel
        self.dilation = dilation
        self.taps = nn.Linear(kernel * channels_in, channels_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.shape[1]
        padded = F.pad(x, (0, 0, (self.kernel - 1) * self.dilation, 0))
        shifted = [padded[:, tap * self.dilation : tap * self.dilation + rows] for tap in range(self.kernel)]
        return self.taps(torch.cat(shifted, dim=-1))


class _Block(nn.Module):
    def __init__(self, hidden: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.look_back = CausalConv(hidden, hidden, KERNEL, dilation)
        self.mix = nn.Linear(hidden, hidden)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.mix(self.dropout(F.relu(self.look_back(x))))


class TCN(CausalModel):
    """Blocks of dilation 1, 2, 4, … on a linear embedding of the row; every block sees twice as far back as the one
    before."""

    def __init__(self, n_features: int, layout: OutputLayout, hidden: int, levels: int, dropout: float) -> None:
        super().__init__(n_features, layout, hidden)
        self.embed = nn.Linear(n_features, hidden)
        self.blocks = nn.ModuleList(_Block(hidden, 2**level, dropout) for level in range(levels))
        self.norm = nn.LayerNorm(hidden)

    @property
    def receptive_field(self) -> int:
        return 1 + (KERNEL - 1) * (2 ** len(self.blocks) - 1)

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        h = self.embed(x)
        for block in self.blocks:
            h = block(h)
        return self.norm(h)


def levels_for(window: int) -> int:
    """Fewest levels whose receptive field covers `window` rows."""
    levels = 1
    while 1 + (KERNEL - 1) * (2**levels - 1) < window:
        levels += 1
    return levels
