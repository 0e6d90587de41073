"""The mixer row by row: a ring of each filter's inputs, and their part of the next filtered row summed ahead of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from supervised.inference.kernels.compiled import kernel
from supervised.inference.kernels.head import answer, head_pieces
from supervised.inference.kernels.linear import (
    add_affine,
    affine,
    flat,
    gelu,
    layer_norm,
    packed,
    packed_norm,
    sigmoid,
)
from supervised.mixer import Mixer


def shape_of(model: Mixer) -> tuple[int, ...]:
    """(outputs, hidden, blocks, rows that a filter looks back)."""
    blocks: Any = model.blocks
    return model.layout.size, model.embed.out_features, len(blocks), blocks[0].filter.taps.shape[1] - 1


def state_floats(shape: tuple[int, ...]) -> int:
    """Of each block what the past adds to its filtered row, and the ring; then room for one block's work."""
    _, hidden, blocks, back = shape
    return hidden * (blocks * (1 + back) + 5)


def pieces(model: Mixer) -> list[np.ndarray]:
    """The weights, flat, in the order in which `step` and then `prepare` read them."""
    found, ahead = packed(model.embed.weight, model.embed.bias), []
    blocks: Any = model.blocks
    for block in blocks:
        found += packed_norm(block.norm_time) + packed(block.gate.weight, block.gate.bias)
        found += [flat(block.filter.taps[:, 0]), *packed_norm(block.norm_channels)]
        found += packed(block.mlp[0].weight, block.mlp[0].bias) + packed(block.mlp[2].weight, block.mlp[2].bias)
        ahead.append(flat(block.filter.taps[:, 1:].T))
    return [*found, *head_pieces(model), *ahead]


@kernel
def step(
    row: np.ndarray, weights: np.ndarray, state: np.ndarray, tick: int, shape: np.ndarray, out: np.ndarray
) -> None:
    """Answer row number `tick` since the start into out (O + H,). `prepare` must have been called for it."""
    hidden, blocks, back = shape[1], shape[2], shape[3]
    block_floats = hidden * (1 + back)
    room = state[blocks * block_floats :]
    h, z, gate, wide = room[:hidden], room[hidden : 2 * hidden], room[2 * hidden : 3 * hidden], room[3 * hidden :]
    at = affine(h, row, weights, 0)
    for block in range(blocks):
        past = state[block * block_floats : block * block_floats + hidden]
        slot = block * block_floats + hidden * (1 + tick % back)
        newest = state[slot : slot + hidden]
        at = layer_norm(newest, h, weights, at)
        at = affine(gate, newest, weights, at)
        sigmoid(gate)
        taps = weights[at : at + hidden]
        for c in range(hidden):
            h[c] += gate[c] * (past[c] + taps[c] * newest[c])
        at = layer_norm(z, h, weights, at + hidden)
        at = affine(wide, z, weights, at)
        gelu(wide)
        at = add_affine(h, wide, weights, at)
    answer(h, z, weights, at, shape[0], out)


@kernel
def prepare(weights: np.ndarray, state: np.ndarray, tick: int, shape: np.ndarray) -> None:
    """What the rows before `tick` contribute to its filtered rows: all taps but the first."""
    hidden, blocks, back = shape[1], shape[2], shape[3]
    block_floats = hidden * (1 + back)
    at = weights.shape[0] - blocks * hidden * back
    for block in range(blocks):
        own = state[block * block_floats : (block + 1) * block_floats].reshape((1 + back, hidden))
        past = own[0]
        for c in range(hidden):
            past[c] = 0.0
        for ago in range(1, back + 1):
            taps, then = weights[at : at + hidden], own[1 + (tick - ago) % back]
            for c in range(hidden):
                past[c] += taps[c] * then[c]
            at += hidden
