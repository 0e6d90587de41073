"""Transformer whose attention is a sliding window: a row looks at the `window` latest rows, itself included."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from supervised.base import CausalModel
from supervised.outputs import OutputLayout

BLOCKS_BACK = 3  # with fewer, wider blocks more masked scores are computed; with more, the products become too small


class BandedAttention(nn.Module):
    """Causal self-attention over a band of `window` rows, computed block by block: exact, and linear in T.

    Queries are cut into blocks of ceil((window - 1) / 3) rows; each block meets the keys of its own block and of the
    three before it, which hold every row of the band. What lies outside the band gets a score of minus infinity.
    Positions enter through a learned bias per head and lag, first set to ALiBi's slopes (Press et al. 2022,
    2108.12409): it depends on the distance alone, so a row's output does not depend on where its chunk began.
    """

    def __init__(self, hidden: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.window = window
        self.block = math.ceil((window - 1) / BLOCKS_BACK)
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.out = nn.Linear(hidden, hidden)
        slopes = 2.0 ** (-8.0 * torch.arange(1, heads + 1) / heads)
        self.lag_bias = nn.Parameter(-slopes[:, None] * torch.arange(window))
        keys = (BLOCKS_BACK + 1) * self.block
        lag = torch.arange(self.block)[:, None] + BLOCKS_BACK * self.block - torch.arange(keys)[None, :]
        self.register_buffer("lag", lag.clamp(0, window - 1), persistent=False)
        self.register_buffer("outside", (lag < 0) | (lag >= window), persistent=False)

    lag: torch.Tensor
    outside: torch.Tensor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, hidden) -> (B, T, hidden)."""
        batch, rows, hidden = x.shape
        blocks = (rows + self.block - 1) // self.block
        padded = F.pad(x, (0, 0, 0, blocks * self.block - rows))
        qkv = self.qkv(padded).view(batch, blocks, self.block, 3, self.heads, hidden // self.heads)
        if torch.is_autocast_enabled(x.device.type):  # scores of a long band need more than sixteen bits
            with torch.autocast(x.device.type, enabled=False):
                mixed = self._mix(qkv.float())
        else:
            mixed = self._mix(qkv)
        return self.out(mixed[:, :rows])

    def _mix(self, qkv: torch.Tensor) -> torch.Tensor:
        """(B, blocks, block, 3, heads, head) -> (B, blocks * block, hidden): values weighted by attention."""
        batch, blocks, _, _, _, head = qkv.shape
        q, k, v = qkv.permute(3, 0, 4, 1, 2, 5)  # each (B, heads, blocks, block, head)
        scores = q @ _with_past(k).transpose(-1, -2) * head**-0.5
        bias = self.lag_bias[:, self.lag].masked_fill(self.outside, -torch.inf)
        weights = (scores + bias[:, None] + self._before_start(blocks, qkv)).softmax(dim=-1)
        mixed = weights @ _with_past(v)
        return mixed.permute(0, 2, 3, 1, 4).reshape(batch, blocks * self.block, self.heads * head)

    def _before_start(self, blocks: int, x: torch.Tensor) -> torch.Tensor:
        """(blocks, 1, keys): minus infinity on the keys of blocks that lie before the first row, 0 elsewhere."""
        key_block = torch.arange(blocks, device=x.device)[:, None] + torch.arange(-BLOCKS_BACK, 1, device=x.device)
        missing = (key_block < 0).repeat_interleave(self.block, dim=1)[:, None]
        return torch.zeros_like(missing, dtype=x.dtype).masked_fill(missing, -torch.inf)


def _with_past(blocks: torch.Tensor) -> torch.Tensor:
    """(B, heads, n, block, head) -> (B, heads, n, 4 * block, head): each block behind the three before it."""
    count = blocks.shape[2]
    padded = F.pad(blocks, (0, 0, 0, 0, BLOCKS_BACK, 0))
    return torch.cat([padded[:, :, i : i + count] for i in range(BLOCKS_BACK + 1)], dim=3)


class _Block(nn.Module):
    def __init__(self, hidden: int, heads: int, window: int, dropout: float) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(hidden)
        self.attention = BandedAttention(hidden, heads, window)
        self.norm_mlp = nn.LayerNorm(hidden)
        self.mlp = nn.Sequential(
            nn.Linear(hidden, 2 * hidden), nn.GELU(approximate="tanh"), nn.Linear(2 * hidden, hidden)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.dropout(self.attention(self.norm_attention(x)))
        return x + self.dropout(self.mlp(self.norm_mlp(x)))


class Transformer(CausalModel):
    """Pre-norm blocks of banded attention and a two-layer perceptron on a linear embedding of the row."""

    def __init__(
        self, n_features: int, layout: OutputLayout, hidden: int, layers: int, heads: int, window: int, dropout: float
    ) -> None:
        super().__init__(n_features, layout, hidden)
        self.window = window
        self.embed = nn.Linear(n_features, hidden)
        self.blocks = nn.ModuleList(_Block(hidden, heads, window, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(hidden)

    @property
    def receptive_field(self) -> int:
        return 1 + len(self.blocks) * (self.window - 1)

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        h = self.embed(x)
        for block in self.blocks:
            h = block(h)
        return self.norm(h)
