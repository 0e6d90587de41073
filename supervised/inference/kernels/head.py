"""The last part of every model: layer norm, the outputs by their temperature, and how sure the direction logits are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from supervised.base import CausalModel
from supervised.inference.kernels.compiled import part
from supervised.inference.kernels.linear import affine, flat, layer_norm, packed, packed_norm


def head_pieces(model: CausalModel) -> list[np.ndarray]:
    """Norm, head and the covariance of its direction rows; the temperature is divided into the latter two."""
    temperature = model.temperature.detach()
    norm: Any = model.norm
    return [
        *packed_norm(norm),
        *packed(model.head.weight.detach() / temperature[:, None], model.head.bias.detach() / temperature),
        flat(model.covariance / temperature[model.layout.direction, None, None].square()),
    ]


@part
def answer(hidden: np.ndarray, room: np.ndarray, weights: np.ndarray, at: int, outputs: int, out: np.ndarray) -> None:
    """Answer from the last layer's hidden state (n,); room (n,) is overwritten.

    out (O + H,): the `outputs` O outputs in the order of the model's layout, then the standard deviation of each
    direction logit, sqrt(phi' C phi) with phi the normed hidden state and a 1 behind it.
    """
    n = hidden.shape[0]
    phi = room[:n]
    at = layer_norm(phi, hidden, weights, at)
    at = affine(out[:outputs], phi, weights, at)
    for horizon in range(out.shape[0] - outputs):
        covariance = weights[at : at + (n + 1) * (n + 1)].reshape((n + 1, n + 1))
        variance = covariance[n, n]
        for i in range(n):
            row = covariance[i]
            along = np.float32(2.0) * row[n]
            for j in range(n):
                along += row[j] * phi[j]
            variance += phi[i] * along
        out[outputs + horizon] = math.sqrt(max(float(variance), 0.0))
        at += (n + 1) * (n + 1)
