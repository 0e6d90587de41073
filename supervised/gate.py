"""A learned gate: which member to trust in which regime, learned online from labels once they are known.

Per horizon the members are weighted by softmax(W g) of the regime features g (the current volatility, trend, spread and
time of day, and a constant), a mixture of experts with a linear gate (Jacobs et al. 1991). On the mixture's log-loss
the gradient with respect to row i of W is (w_i - r_i) g, r_i = w_i p_i(what happened) / sum_j w_j p_j(what happened)
being the share of the credit that member i earned; W follows it by plain steps. W starts at zero: equal weights.

The gate has no guarantee of its own. It is one more expert of `supervised.ensemble.Hedge`, whose bounds cover it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

REGIME = (
    "realised_volatility_60",
    "volatility_ratio_15_60",
    "ma_zscore_60",
    "return_60",
    "corwin_schultz_60",
    "time_of_day_sin",
    "time_of_day_cos",
)
"""Feature columns that tell the regime; those that are there are used."""
LARGEST = 3.0
"""A regime feature is cut off here, in standard deviations: one wild bar must not throw the gate."""


def regime_of(scaled: np.ndarray, feature_names: tuple[str, ...]) -> np.ndarray:
    """Regime features float64 (T, G) of scaled feature rows (T, F): a constant 1, then the columns of `REGIME`."""
    columns = [feature_names.index(name) for name in REGIME if name in feature_names]
    chosen = np.clip(scaled[:, columns].astype(np.float64), -LARGEST, LARGEST)
    return np.concatenate([np.ones((len(scaled), 1)), chosen], axis=1)


@dataclass
class Gate:
    """The gate's state; research and live make the same steps."""

    rate: float
    """Size of a step; a horizon of h bars uses rate / (h + 1), for its labels overlap that often."""
    horizons: tuple[int, ...]
    weights: np.ndarray
    """float64 (H, M, G): W above."""

    @classmethod
    def start(cls, rate: float, horizons: tuple[int, ...], members: int, regimes: int) -> Gate:
        """Equal weights whatever the regime."""
        return cls(rate, horizons, np.zeros((len(horizons), members, regimes)))

    def run(self, probabilities: np.ndarray, regime: np.ndarray, y: np.ndarray, t1: np.ndarray) -> np.ndarray:
        """Go over T rows; at each learn from the labels that ended at it, then weigh the members.

        probabilities: (T, H, M) P(up). regime: float64 (T, G). y: (T, H) label returns, NaN unknown. t1: int64 (T, H),
        row at which each label ends. Returns weights float64 (T, H, M), NaN where the regime is unknown.
        """
        usable = np.isfinite(y) & (y != 0) & (t1 >= 0) & (t1 < len(y)) & np.isfinite(probabilities).all(axis=-1)
        rows, columns = np.nonzero(usable & np.isfinite(regime).all(axis=1)[:, None])
        ends = t1[rows, columns]
        order = np.argsort(ends, kind="stable")
        rows, columns, ends = rows[order], columns[order], ends[order]
        out = np.empty(probabilities.shape)
        _run_gate(
            probabilities.astype(np.float64), regime, y > 0, rows, columns, ends, self.weights, self._rates(), out
        )
        return out

    def learn(self, probabilities: np.ndarray, regime: np.ndarray, y: np.ndarray) -> None:
        """Learn from the labels that have just become known, at most one per horizon.

        probabilities (H, M) and regime (H, G) as they were when the label's row was decided on; y (H,), NaN where no
        label has become known.
        """
        rates = self._rates()
        usable = np.isfinite(y) & (y != 0) & np.isfinite(probabilities).all(axis=1) & np.isfinite(regime).all(axis=1)
        for h in np.flatnonzero(usable):
            _learn(self.weights[h], probabilities[h].astype(np.float64), regime[h], y[h] > 0, rates[h])

    def weigh(self, regime: np.ndarray) -> np.ndarray:
        """Weights (H, M) in a regime (G,)."""
        out = np.empty(self.weights.shape[:2])
        for h in range(len(out)):
            _softmax(self.weights[h], regime, out[h])
        return out

    def to_dict(self) -> dict[str, Any]:
        """The part that changes, for JSON."""
        return {"rate": self.rate, "horizons": list(self.horizons), "weights": self.weights.tolist()}

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Gate:
        """Back from `to_dict`."""
        return cls(float(state["rate"]), tuple(state["horizons"]), np.array(state["weights"], dtype=np.float64))

    def _rates(self) -> np.ndarray:
        return self.rate / (1.0 + np.array(self.horizons, dtype=np.float64))


@numba.njit(cache=True)
def _run_gate(
    p: np.ndarray,
    regime: np.ndarray,
    up: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    ends: np.ndarray,
    weights: np.ndarray,
    rates: np.ndarray,
    out: np.ndarray,
) -> None:
    """`ends` ascending: the labels (rows, columns) in the order in which they become known."""
    known = 0
    for t in range(len(p)):
        while known < len(ends) and ends[known] == t:
            row, h = rows[known], columns[known]
            _learn(weights[h], p[row, h], regime[row], up[row, h], rates[h])
            known += 1
        for h in range(p.shape[1]):
            _softmax(weights[h], regime[t], out[t, h])


@numba.njit(cache=True)
def _learn(weights: np.ndarray, p: np.ndarray, regime: np.ndarray, up: bool, rate: float) -> None:
    share = np.empty(len(p))
    _softmax(weights, regime, share)
    total = 0.0
    for m in range(len(p)):
        total += share[m] * (p[m] if up else 1.0 - p[m])
    for m in range(len(p)):
        credit = share[m] * (p[m] if up else 1.0 - p[m]) / total
        for k in range(len(regime)):
            weights[m, k] += rate * (credit - share[m]) * regime[k]


@numba.njit(cache=True)
def _softmax(weights: np.ndarray, regime: np.ndarray, out: np.ndarray) -> None:
    """softmax(W g) into `out`; plain loops, so that one row and many give the same bits."""
    top = -np.inf
    for m in range(len(out)):
        out[m] = 0.0
        for k in range(len(regime)):
            out[m] += weights[m, k] * regime[k]
        top = max(top, out[m])
    total = 0.0
    for m in range(len(out)):
        out[m] = math.exp(out[m] - top)
        total += out[m]
    for m in range(len(out)):
        out[m] /= total
