"""The TCN row by row: a ring of each convolution's inputs, and their part of the next row's sums made ahead of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from supervised.inference.kernels.compiled import kernel
from supervised.inference.kernels.head import answer, head_pieces
from supervised.inference.kernels.linear import add_affine, add_product, affine, flat, packed, relu
from supervised.tcn import TCN


def shape_of(model: TCN) -> tuple[int, ...]:
    """(outputs, hidden, levels)."""
    return model.layout.size, model.embed.out_features, len(model.blocks)


def state_floats(shape: tuple[int, ...]) -> int:
    """Of each level: what the past adds to its sums, and a ring of 2 * dilation rows; then room for two rows."""
    _, hidden, levels = shape
    return hidden * (levels + 2 * (2**levels - 1) + 2)


def pieces(model: TCN) -> list[np.ndarray]:
    """The weights, flat, in the order in which `step` and then `prepare` read them."""
    hidden = model.embed.out_features
    found = packed(model.embed.weight, model.embed.bias)
    ahead = []
    blocks: Any = model.blocks
    for block in blocks:
        oldest, older, newest = block.look_back.taps.weight.split(hidden, dim=1)
        found += [*packed(newest), *packed(block.mix.weight, block.mix.bias)]
        ahead += [flat(block.look_back.taps.bias), *packed(oldest), *packed(older)]
    return [*found, *head_pieces(model), *ahead]


@kernel
def step(
    row: np.ndarray, weights: np.ndarray, state: np.ndarray, tick: int, shape: np.ndarray, out: np.ndarray
) -> None:
    """Answer row number `tick` since the start into out (O + H,). `prepare` must have been called for it."""
    hidden, levels = shape[1], shape[2]
    ring_at = levels * hidden
    room = state[state.shape[0] - 2 * hidden :]
    h, z = room[:hidden], room[hidden:]
    at = affine(h, row, weights, 0)
    for level in range(levels):
        length = 2 << level
        slot = ring_at + (tick % length) * hidden
        newest, past = state[slot : slot + hidden], state[level * hidden : (level + 1) * hidden]
        for j in range(hidden):
            newest[j] = h[j]
            z[j] = past[j]
        at = add_product(z, h, weights, at)
        relu(z)
        at = add_affine(h, z, weights, at)
        ring_at += length * hidden
    answer(h, z, weights, at, shape[0], out)


@kernel
def prepare(weights: np.ndarray, state: np.ndarray, tick: int, shape: np.ndarray) -> None:
    """What the rows before `tick` contribute to its convolutions: all their products but one in three."""
    hidden, levels = shape[1], shape[2]
    ring_at = levels * hidden
    at = weights.shape[0] - levels * hidden * (1 + 2 * hidden)
    for level in range(levels):
        dilation = 1 << level
        length = 2 * dilation
        past = state[level * hidden : (level + 1) * hidden]
        oldest = ring_at + (tick % length) * hidden
        older = ring_at + ((tick + dilation) % length) * hidden
        at = affine(past, state[oldest : oldest + hidden], weights, at)
        at = add_product(past, state[older : older + hidden], weights, at)
        ring_at += length * hidden
