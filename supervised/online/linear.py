"""A linear expert that updates exactly at every label: logistic regression with a Gaussian posterior that forgets.

Each label moves the posterior N(m, P) of the weights by one Newton step (the extended Kalman filter of logistic
regression; dynamic logistic regression of McCormick, Raftery et al. 2012, Biometrics 68): with p = sigmoid(m'x) and
s = p (1 - p) / h,

    P <- P - s P x x' P / (1 + s x'P x),    m <- m + P x (up - p) / h

where the h of the horizon takes off what overlapping labels count too often. Before each step the standard deviation of
every weight grows by the half-life, up to that of the prior: what has not been seen of late is known less well. The
forecast is averaged over the posterior (MacKay 1992): sigmoid(m'x / sqrt(1 + pi/8 x'P x)).
"""

from __future__ import annotations

import math

import numba
import numpy as np

from supervised.online.arrays import Arrays

PRIOR_SD = 0.1
"""Of a weight, per standard deviation of its feature."""
LEAST = 1e-6
"""Probabilities stay this far from 0 and 1."""


class LinearExpert:
    """One logistic regression per horizon on the scaled feature row and a constant."""

    def __init__(self, n_features: int, horizons: tuple[int, ...], half_life: float) -> None:
        """`half_life`: labels after which an old one counts half."""
        width = n_features + 1
        self._thin = 1.0 / np.array(horizons, dtype=np.float64)
        self._growth = 0.5 ** (-0.5 / half_life)
        self._mean = np.zeros((len(horizons), width))
        self._covariance = np.tile(PRIOR_SD**2 * np.eye(width), (len(horizons), 1, 1))

    def predict(self, x: np.ndarray) -> np.ndarray:
        """P(up) float32 (H,) of a scaled feature row (F,); NaN where it is incomplete."""
        if not np.isfinite(x).all():
            return np.full(len(self._mean), np.nan, dtype=np.float32)
        row = _with_constant(x)
        said = [_forecast(mean, spread, row) for mean, spread in zip(self._mean, self._covariance, strict=True)]
        return np.clip(said, LEAST, 1 - LEAST).astype(np.float32)

    def learn(self, x: np.ndarray, column: int, value: float) -> None:
        """Learn that the label of row x (F,) at horizon number `column` was `value` bps; zero and NaN teach nothing."""
        if np.isfinite(x).all() and math.isfinite(value) and value != 0.0:
            mean, covariance = self._mean[column], self._covariance[column]
            _learn(mean, covariance, _with_constant(x), value > 0.0, self._growth, self._thin[column])

    def loosen(self) -> None:
        """Let go of half of what is known (twice the covariance, up to the prior): something has changed."""
        for covariance in self._covariance:
            grow = np.minimum(np.sqrt(2.0), PRIOR_SD / np.sqrt(np.diag(covariance)))
            covariance *= grow[:, None] * grow

    def state(self) -> Arrays:
        """Everything that changes."""
        return {"mean": self._mean.copy(), "covariance": self._covariance.copy()}

    def restore(self, state: Arrays) -> None:
        """Go on from `state`."""
        self._mean, self._covariance = state["mean"].copy(), state["covariance"].copy()


def _with_constant(x: np.ndarray) -> np.ndarray:
    return np.append(x.astype(np.float64), 1.0)


@numba.njit(cache=True)
def _forecast(mean: np.ndarray, covariance: np.ndarray, x: np.ndarray) -> float:
    said, spread = 0.0, 0.0
    for i in range(len(x)):
        said += mean[i] * x[i]
        for j in range(len(x)):
            spread += x[i] * covariance[i, j] * x[j]
    return 1.0 / (1.0 + math.exp(-said / math.sqrt(1.0 + math.pi / 8.0 * spread)))


@numba.njit(cache=True)
def _learn(mean: np.ndarray, covariance: np.ndarray, x: np.ndarray, up: bool, growth: float, thin: float) -> None:
    width = len(x)
    grow, reach, said, spread = np.empty(width), np.zeros(width), 0.0, 0.0
    for i in range(width):
        grow[i] = min(growth, PRIOR_SD / math.sqrt(covariance[i, i]))
    for i in range(width):
        for j in range(width):
            covariance[i, j] *= grow[i] * grow[j]
            reach[i] += covariance[i, j] * x[j]
        said += mean[i] * x[i]
        spread += x[i] * reach[i]
    p = 1.0 / (1.0 + math.exp(-said))
    s = thin * p * (1.0 - p)
    shrink = 1.0 + s * spread
    surprise = thin * ((1.0 if up else 0.0) - p)
    for i in range(width):
        mean[i] += reach[i] / shrink * surprise  # P x after the update is reach / shrink
        for j in range(width):
            covariance[i, j] -= s * reach[i] * reach[j] / shrink
