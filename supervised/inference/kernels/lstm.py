"""The LSTM row by row: what the last hidden state adds to the gates is summed ahead of the row."""

from __future__ import annotations

import numpy as np

from supervised.inference.kernels.compiled import kernel
from supervised.inference.kernels.head import answer, head_pieces
from supervised.inference.kernels.linear import add_product, affine, flat, packed, sigmoid, tanh
from supervised.lstm import LSTM


def shape_of(model: LSTM) -> tuple[int, ...]:
    """(outputs, hidden, layers)."""
    return model.layout.size, model.cells.hidden_size, model.cells.num_layers


def state_floats(shape: tuple[int, ...]) -> int:
    """Of each layer h, c and the gates' sums so far; then room for one row."""
    _, hidden, layers = shape
    return hidden * (6 * layers + 1)


def pieces(model: LSTM) -> list[np.ndarray]:
    """The weights, flat, in the order in which `step` and then `prepare` read them."""
    found, ahead = [], []
    for layer in range(model.cells.num_layers):
        from_below, from_before, bias, more_bias = (
            getattr(model.cells, f"{name}_l{layer}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        found += packed(from_below)
        ahead += [flat(bias + more_bias), *packed(from_before)]
    return [*found, *head_pieces(model), *ahead]


@kernel
def step(
    row: np.ndarray,
    weights: np.ndarray,
    state: np.ndarray,
    tick: int,  # noqa: ARG001  (every architecture has the same signature)
    shape: np.ndarray,
    out: np.ndarray,
) -> None:
    """Answer row number `tick` since the start into out (O + H,). `prepare` must have been called for it."""
    hidden, layers = shape[1], shape[2]
    below = row
    at = 0
    for layer in range(layers):
        own = state[6 * hidden * layer : 6 * hidden * (layer + 1)]
        h, c, gates = own[:hidden], own[hidden : 2 * hidden], own[2 * hidden :]
        at = add_product(gates, below, weights, at)
        inward, forget, fresh, outward = (
            gates[:hidden],
            gates[hidden : 2 * hidden],
            gates[2 * hidden : 3 * hidden],
            gates[3 * hidden :],
        )
        sigmoid(gates[: 2 * hidden])
        tanh(fresh)
        sigmoid(outward)
        for j in range(hidden):
            c[j] = forget[j] * c[j] + inward[j] * fresh[j]
            h[j] = c[j]
        tanh(h)
        for j in range(hidden):
            h[j] *= outward[j]
        below = h
    answer(below, state[6 * hidden * layers :], weights, at, shape[0], out)


@kernel
def prepare(weights: np.ndarray, state: np.ndarray, tick: int, shape: np.ndarray) -> None:  # noqa: ARG001
    """Bias and last hidden state in the gates of the next row: half of all products."""
    hidden, layers = shape[1], shape[2]
    at = weights.shape[0] - layers * 4 * hidden * (1 + hidden)
    for layer in range(layers):
        own = state[6 * hidden * layer : 6 * hidden * (layer + 1)]
        at = affine(own[2 * hidden :], own[:hidden], weights, at)
