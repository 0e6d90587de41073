"""What stands before and behind the models: scaling of a feature row, and the meaning of their answers."""

from __future__ import annotations

import math

import numpy as np

from features.maths import exp
from supervised.inference.kernels.compiled import kernel
from supervised.outputs import OUTCOMES

OUTCOME_COUNT = len(OUTCOMES)


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
def forecast(answer: np.ndarray, horizons: int, least: float, out: np.ndarray) -> None:
    """out float32 (O + H,): what `answer` (O + H,) means, in the columns that `supervised.forecasting.predict` gives.

    Logits of P(up) become probabilities, kept `least` away from 0 and 1; logarithms of moves become bps; three logits
    of outcomes at a time become probabilities; the standard deviations stay.
    """
    total = answer.shape[0]
    for j in range(horizons):
        p = 1.0 / (1.0 + exp(-float(answer[j])))
        out[j] = min(max(p, least), 1.0 - least)
    for j in range(horizons, 2 * horizons):
        out[j] = exp(float(answer[j]))
    for j in range(2 * horizons, total - horizons, OUTCOME_COUNT):
        top = max(answer[j], answer[j + 1], answer[j + 2])
        weights = exp(float(answer[j] - top)), exp(float(answer[j + 1] - top)), exp(float(answer[j + 2] - top))
        for k in range(OUTCOME_COUNT):
            out[j + k] = weights[k] / (weights[0] + weights[1] + weights[2])
    for j in range(total - horizons, total):
        out[j] = answer[j]
