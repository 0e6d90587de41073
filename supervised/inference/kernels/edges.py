"""What stands before and behind the models: scaling of a feature row, and probabilities of their answers."""

from __future__ import annotations

import math

import numpy as np

from features.maths import exp
from supervised.inference.kernels.compiled import kernel


@kernel
def scale(row: np.ndarray, mean: np.ndarray, divisor: np.ndarray, clip: float, out: np.ndarray) -> bool:
    """out float32 (F,) = the row as `features.scaling.Scaler` scales it, to the bit; False for a row not all finite.

    row, mean, divisor: float64 (F,); the divisor is infinite for columns that were constant in training.
    """
    finite = True
    for j in range(row.shape[0]):
        finite &= math.isfinite(row[j])
        out[j] = min(max((row[j] - mean[j]) / divisor[j], -clip), clip)
    return finite


@kernel
def probabilities(answer: np.ndarray, least: float, out: np.ndarray) -> None:
    """out float32 (H,) = P(up) of the direction logits that `answer` begins with, kept `least` away from 0 and 1."""
    for horizon in range(out.shape[0]):
        p = 1.0 / (1.0 + exp(-float(answer[horizon])))
        out[horizon] = min(max(p, least), 1.0 - least)
