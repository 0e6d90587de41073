"""The models' single step in torch, with the state as explicit inputs and outputs: what is exported for streaming.

The rings of past rows stay with the caller (`memory`): a graph that took and gave back whole rings would spend most of
its time on copying them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import nn

from supervised.base import CausalModel
from supervised.lstm import LSTM
from supervised.mixer import Mixer
from supervised.tcn import KERNEL, TCN
from supervised.transformer import Transformer
from supervised.uncertainty import logit_sd

Tensors = tuple[torch.Tensor, ...]


class Step(nn.Module, ABC):
    """forward(row (1, F), *state) -> (answer (1, O + H), *what to put into the state)."""

    inputs: tuple[str, ...]
    """Names of the state's arrays, in the order of the arguments."""
    outputs: tuple[str, ...]
    """Names of what `memory` is to store, in the order of the results."""

    def __init__(self, model: CausalModel) -> None:
        super().__init__()
        self.model = model

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Of the first of `inputs`; the others follow from it."""

    def answer(self, hidden: torch.Tensor) -> torch.Tensor:
        """(1, hidden), not yet normed -> (1, O + H): outputs, then the standard deviations of the direction logits."""
        model: Any = self.model  # every architecture has a norm; only the classes say so
        normed = model.norm(hidden)
        sd = logit_sd(normed, model.covariance, model.temperature[model.layout.direction])
        return torch.cat([model.head(normed) / model.temperature, sd], dim=-1)


class TCNStep(Step):
    """past (levels, 2, hidden): each level's input 2 * dilation and dilation rows ago -> newest (levels, hidden)."""

    inputs, outputs = ("past",), ("newest",)
    model: TCN

    @property
    def shape(self) -> tuple[int, ...]:
        """See `Step`."""
        return len(self.model.blocks), KERNEL - 1, self.model.embed.out_features

    def forward(self, row: torch.Tensor, past: torch.Tensor) -> Tensors:
        h = self.model.embed(row)
        newest = []
        blocks: Any = self.model.blocks
        for level, block in enumerate(blocks):
            newest.append(h)
            taps = torch.cat([past[level].reshape(1, -1), h], dim=-1)
            h = h + block.mix(torch.relu(block.look_back.taps(taps)))
        return self.answer(h), torch.cat(newest)


class LSTMStep(Step):
    """h, c (layers, hidden) -> the next ones."""

    inputs, outputs = ("h", "c"), ("h_next", "c_next")
    model: LSTM

    @property
    def shape(self) -> tuple[int, ...]:
        """See `Step`."""
        return self.model.cells.num_layers, self.model.cells.hidden_size

    def forward(self, row: torch.Tensor, h: torch.Tensor, c: torch.Tensor) -> Tensors:
        cells, below = self.model.cells, row
        after_h, after_c = [], []
        for layer in range(cells.num_layers):
            from_below, from_before, bias, more_bias = (
                getattr(cells, f"{name}_l{layer}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            gates = below @ from_below.T + h[layer : layer + 1] @ from_before.T + (bias + more_bias)
            i, f, g, o = gates.chunk(4, dim=-1)
            after_c.append(torch.sigmoid(f) * c[layer : layer + 1] + torch.sigmoid(i) * torch.tanh(g))
            below = torch.sigmoid(o) * torch.tanh(after_c[-1])
            after_h.append(below)
        return self.answer(below), torch.cat(after_h), torch.cat(after_c)


class TransformerStep(Step):
    """Attention over the new row and a ring of the window - 1 before it.

    keys, values (layers, heads, window - 1, width); lag int64 (window - 1,), how many rows ago each slot of the ring
    was; missing (window - 1,), minus infinity on slots without a row and else 0 -> key, value (layers, heads, width).
    """

    inputs, outputs = ("keys", "values", "lag", "missing"), ("key", "value")
    model: Transformer

    @property
    def shape(self) -> tuple[int, ...]:
        """See `Step`."""
        blocks: Any = self.model.blocks
        heads, hidden = blocks[0].attention.heads, self.model.embed.out_features
        return len(blocks), heads, self.model.window - 1, hidden // heads

    def forward(
        self, row: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, lag: torch.Tensor, missing: torch.Tensor
    ) -> Tensors:
        h = self.model.embed(row)
        new_keys, new_values = [], []
        blocks: Any = self.model.blocks
        for layer, block in enumerate(blocks):
            attention = block.attention
            heads, width = attention.heads, h.shape[-1] // attention.heads
            q, k, v = attention.qkv(block.norm_attention(h)).view(3, heads, 1, width)
            q = q * width**-0.5
            past = (q @ keys[layer].transpose(-1, -2)).squeeze(1) + attention.lag_bias[:, lag] + missing
            own = (q * k).sum(dim=-1) + attention.lag_bias[:, :1]
            weights = torch.cat([past, own], dim=-1).softmax(dim=-1)
            mixed = weights[:, None, :-1] @ values[layer] + weights[:, None, -1:] * v
            h = h + attention.out(mixed.view(1, -1))
            h = h + block.mlp(block.norm_mlp(h))
            new_keys.append(k.view(1, heads, width))
            new_values.append(v.view(1, heads, width))
        return self.answer(h), torch.cat(new_keys), torch.cat(new_values)


class MixerStep(Step):
    """filtered (blocks, taps - 1, hidden): each filter's inputs, the latest first -> newest (blocks, hidden)."""

    inputs, outputs = ("filtered",), ("newest",)
    model: Mixer

    @property
    def shape(self) -> tuple[int, ...]:
        """See `Step`."""
        blocks: Any = self.model.blocks
        return len(blocks), blocks[0].filter.taps.shape[1] - 1, self.model.embed.out_features

    def forward(self, row: torch.Tensor, filtered: torch.Tensor) -> Tensors:
        h = self.model.embed(row)
        newest = []
        blocks: Any = self.model.blocks
        for number, block in enumerate(blocks):
            newest.append(block.norm_time(h))
            rows = torch.cat([newest[-1], filtered[number]])
            h = h + torch.sigmoid(block.gate(newest[-1])) * (rows * block.filter.taps.T).sum(dim=0)
            h = h + block.mlp(block.norm_channels(h))
        return self.answer(h), torch.cat(newest)


STEPS: dict[type[CausalModel], type[Step]] = {
    TCN: TCNStep,
    LSTM: LSTMStep,
    Transformer: TransformerStep,
    Mixer: MixerStep,
}


def step_of(model: CausalModel) -> Step:
    """The model's step, in eval mode, over the model's own weights."""
    return STEPS[type(model)](model).eval()
