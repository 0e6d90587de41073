"""Products, layer norm and activations over packed weights.

A packed layer is its bias (n_out,) followed by its weight transposed (n_in, n_out), so that the inner loop runs along
the outputs, in the order of memory. Functions that read weights take the place where theirs begin and return the place
behind them: kernels walk through the array once, front to back.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from features.maths import exp
from supervised.inference.kernels.compiled import part, strict_part

AT_ONCE = 8
"""Inputs per pass over the outputs: each pass loads and stores the sums once."""
NORM_EPSILON = 1e-5
GELU_SCALE = math.sqrt(2.0 / math.pi)


def packed(weight: torch.Tensor, bias: torch.Tensor | None = None) -> list[np.ndarray]:
    """A layer's weight (n_out, n_in) and bias (n_out,) as the flat pieces that `affine` (or `add_product`) reads."""
    pieces = [] if bias is None else [flat(bias)]
    return [*pieces, flat(weight.T)]


def flat(tensor: torch.Tensor) -> np.ndarray:
    """float32 (n,): the values in the order of the tensor's axes."""
    return tensor.detach().cpu().numpy().astype(np.float32, copy=False).reshape(-1)


def packed_norm(norm: nn.LayerNorm) -> list[np.ndarray]:
    """Gain and offset as `layer_norm` reads them. The kernels know torch's default epsilon only."""
    assert norm.eps == NORM_EPSILON
    return [flat(norm.weight), flat(norm.bias)]


@part
def add_product(out: np.ndarray, x: np.ndarray, weights: np.ndarray, at: int) -> int:
    """out (n_out,) += x (n_in,) times the (n_in, n_out) matrix at `at`."""
    n_in, n_out = x.shape[0], out.shape[0]
    matrix = weights[at : at + n_in * n_out].reshape((n_in, n_out))
    whole = n_in // AT_ONCE
    for block in range(whole):
        i = AT_ONCE * block
        w0, w1, w2, w3 = matrix[i], matrix[i + 1], matrix[i + 2], matrix[i + 3]
        w4, w5, w6, w7 = matrix[i + 4], matrix[i + 5], matrix[i + 6], matrix[i + 7]
        x0, x1, x2, x3, x4, x5, x6, x7 = x[i], x[i + 1], x[i + 2], x[i + 3], x[i + 4], x[i + 5], x[i + 6], x[i + 7]
        for j in range(n_out):
            out[j] += (
                (x0 * w0[j] + x1 * w1[j])
                + (x2 * w2[j] + x3 * w3[j])
                + ((x4 * w4[j] + x5 * w5[j]) + (x6 * w6[j] + x7 * w7[j]))
            )
    for i in range(AT_ONCE * whole, n_in):
        row = matrix[i]
        xi = x[i]
        for j in range(n_out):
            out[j] += xi * row[j]
    return at + n_in * n_out


@part
def affine(out: np.ndarray, x: np.ndarray, weights: np.ndarray, at: int) -> int:
    """out (n_out,) = bias + x (n_in,) times matrix; the layer lies at `at`."""
    n_out = out.shape[0]
    bias = weights[at : at + n_out]
    for j in range(n_out):
        out[j] = bias[j]
    return add_product(out, x, weights, at + n_out)


@part
def add_affine(out: np.ndarray, x: np.ndarray, weights: np.ndarray, at: int) -> int:
    """out (n_out,) += bias + x (n_in,) times matrix; the layer lies at `at`."""
    n_out = out.shape[0]
    bias = weights[at : at + n_out]
    for j in range(n_out):
        out[j] += bias[j]
    return add_product(out, x, weights, at + n_out)


@part
def layer_norm(out: np.ndarray, x: np.ndarray, weights: np.ndarray, at: int) -> int:
    """out (n,) = x (n,), centred and scaled to variance one, times gain plus offset."""
    n = x.shape[0]
    total = np.float32(0.0)
    for j in range(n):
        total += x[j]
    mean = total / np.float32(n)
    square = np.float32(0.0)
    for j in range(n):
        square += (x[j] - mean) * (x[j] - mean)
    scale = np.float32(1.0 / math.sqrt(square / n + NORM_EPSILON))
    gain, offset = weights[at : at + n], weights[at + n : at + 2 * n]
    for j in range(n):
        out[j] = (x[j] - mean) * scale * gain[j] + offset[j]
    return at + 2 * n


@part
def relu(x: np.ndarray) -> None:
    """In place."""
    for j in range(x.shape[0]):
        x[j] = max(x[j], np.float32(0.0))


@strict_part
def gelu(x: np.ndarray) -> None:
    """In place, v / (1 + e^-2u) with u = √(2/π)(v + 0.044715 v³): Hendrycks & Gimpel's tanh formula (1606.08415)."""
    for j in range(x.shape[0]):
        v = float(x[j])
        x[j] = v / (1.0 + exp(-2.0 * GELU_SCALE * (v + 0.044715 * v * v * v)))


@strict_part
def sigmoid(x: np.ndarray) -> None:
    """In place."""
    for j in range(x.shape[0]):
        x[j] = 1.0 / (1.0 + exp(-float(x[j])))


@strict_part
def tanh(x: np.ndarray) -> None:
    """In place: 1 - 2 / (1 + e^2x)."""
    for j in range(x.shape[0]):
        x[j] = 1.0 - 2.0 / (1.0 + exp(2.0 * float(x[j])))


@strict_part
def exponentials(x: np.ndarray, shift: float) -> None:
    """In place: e^(x - shift)."""
    for j in range(x.shape[0]):
        x[j] = exp(float(x[j] - shift))
