"""The Transformer row by row: a ring of keys and values per layer, attention over the rows it holds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from supervised.inference.kernels.compiled import kernel, part
from supervised.inference.kernels.head import answer, head_pieces
from supervised.inference.kernels.linear import (
    add_affine,
    affine,
    exponentials,
    flat,
    gelu,
    layer_norm,
    packed,
    packed_norm,
)
from supervised.transformer import BandedAttention, Transformer


def shape_of(model: Transformer) -> tuple[int, ...]:
    """(outputs, hidden, layers, heads, window)."""
    blocks: Any = model.blocks
    return model.layout.size, model.embed.out_features, len(blocks), blocks[0].attention.heads, model.window


def state_floats(shape: tuple[int, ...]) -> int:
    """Per layer the rings, (2, hidden, window): keys, values; then room for one block's work."""
    _, hidden, layers, _, window = shape
    return layers * 2 * hidden * window + 7 * hidden + window


def pieces(model: Transformer) -> list[np.ndarray]:
    """The weights, flat, in the order in which `step` reads them."""
    found = packed(model.embed.weight, model.embed.bias)
    blocks: Any = model.blocks
    for block in blocks:
        found += packed_norm(block.norm_attention) + _attention_pieces(block.attention)
        found += packed_norm(block.norm_mlp)
        found += packed(block.mlp[0].weight, block.mlp[0].bias) + packed(block.mlp[2].weight, block.mlp[2].bias)
    return [*found, *head_pieces(model)]


def _attention_pieces(attention: BandedAttention) -> list[np.ndarray]:
    """Queries carry the scale of the scores. The bias of lags stands twice, backwards: `_attend` reads it from the
    place at which the ring's first slot has its lag."""
    hidden = attention.out.in_features
    weight, bias = attention.qkv.weight.detach().clone(), attention.qkv.bias.detach().clone()
    scale = (hidden // attention.heads) ** -0.5
    weight[:hidden] *= scale
    bias[:hidden] *= scale
    lags = -torch.arange(2 * attention.window) % attention.window
    return [
        *packed(weight, bias),
        flat(attention.lag_bias[:, lags]),
        *packed(attention.out.weight, attention.out.bias),
    ]


@part
def _attend(
    qkv: np.ndarray, ring: np.ndarray, bias: np.ndarray, first: int, filled: int, scores: np.ndarray, out: np.ndarray
) -> None:
    """Softmax attention of one query over the ring's first `filled` slots.

    qkv (3, hidden): only the query is read. ring (2, hidden, window). bias (heads, 2 * window), read from `first` on.
    scores (window,): room. out (hidden,).
    """
    heads, hidden = bias.shape[0], ring.shape[1]
    width = hidden // heads
    query = qkv[0]
    weight = scores[:filled]
    for head in range(heads):
        lag_bias = bias[head, first : first + filled]
        for slot in range(filled):
            weight[slot] = lag_bias[slot]
        for d in range(head * width, (head + 1) * width):
            q, keys = query[d], ring[0, d, :filled]
            for slot in range(filled):
                weight[slot] += q * keys[slot]
        top = np.float32(-math.inf)
        for slot in range(filled):
            top = max(top, weight[slot])
        total = np.float32(0.0)
        exponentials(weight, top)
        for slot in range(filled):
            total += weight[slot]
        for d in range(head * width, (head + 1) * width):
            mixed, values = np.float32(0.0), ring[1, d, :filled]
            for slot in range(filled):
                mixed += weight[slot] * values[slot]
            out[d] = mixed / total


@kernel
def step(
    row: np.ndarray, weights: np.ndarray, state: np.ndarray, tick: int, shape: np.ndarray, out: np.ndarray
) -> None:
    """Answer row number `tick` since the start into out (O + H,)."""
    hidden, layers, heads, window = shape[1], shape[2], shape[3], shape[4]
    ring_floats = 2 * hidden * window
    room = state[layers * ring_floats :]
    h, z, scores = room[:hidden], room[hidden : 2 * hidden], room[7 * hidden :]
    qkv = room[2 * hidden : 5 * hidden].reshape((3, hidden))
    wide = room[5 * hidden : 7 * hidden]
    slot, filled = tick % window, min(tick + 1, window)
    at = affine(h, row, weights, 0)
    for layer in range(layers):
        ring = state[layer * ring_floats : (layer + 1) * ring_floats].reshape((2, hidden, window))
        at = layer_norm(z, h, weights, at)
        at = affine(room[2 * hidden : 5 * hidden], z, weights, at)
        for d in range(hidden):
            ring[0, d, slot] = qkv[1, d]
            ring[1, d, slot] = qkv[2, d]
        bias = weights[at : at + heads * 2 * window].reshape((heads, 2 * window))
        _attend(qkv, ring, bias, window - slot, filled, scores, z)
        at = add_affine(h, z, weights, at + heads * 2 * window)
        at = layer_norm(z, h, weights, at)
        at = affine(wide, z, weights, at)
        gelu(wide)
        at = add_affine(h, wide, weights, at)
    answer(h, z, weights, at, shape[0], out)


@kernel
def prepare(weights: np.ndarray, state: np.ndarray, tick: int, shape: np.ndarray) -> None:
    """Nothing: every score waits for the new row's query."""
