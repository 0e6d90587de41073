"""An ensemble whose weights follow the members' recent log-loss: experts weighted by discounted, delayed losses.

The prediction is the weighted mean of the members' probabilities. Once per row, with l_i the sum of -ln p_i(what
happened) over the labels that ended at it, the weights w of M members become

    v_i proportional to w_i exp(-eta l_i)               exponential weights
    u_i = (1 - share) v_i + share / M                   fixed share (Herbster & Warmuth 1998): nobody is ever lost
    w_i proportional to u_i ** discount                 what was learned fades

so a label counts from the row at which it is known, and equal weights rule until the first one is.

What is guaranteed. Log-loss is eta-mixable for eta <= 1, so with labels known at once, at every row and whatever
happens: the discounted loss of the ensemble exceeds the best member's by at most

    (ln M + ln(1 / (1 - share)) discount / (1 - discount)) / eta

(for share = 0, Chernov & Zhdanov 2010, 1005.1918), and on *any* stretch of n rows, wherever it begins, the plain loss
exceeds the best member's on that stretch by at most `stretch_bound`: w_i never falls below the share's floor, and the
bound is that of exponential weights from there on. The labels of a horizon of h bars come h + 1 rows late and overlap,
so eta is divided by h + 1. Without discount and share, a delay of d rows costs at most another eta R^2 (1/8 + d/4) a
row, R being the spread of the members' losses on one label: little, because members that agree have a small R.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from supervised.config import EnsembleConfig


@dataclass
class Hedge:
    """The weights' state; `advance` it once per row, live as in research."""

    config: EnsembleConfig
    horizons: tuple[int, ...]
    members: tuple[str, ...]
    log_weights: np.ndarray
    """float64 (H, M): ln w above."""

    @classmethod
    def start(cls, config: EnsembleConfig, horizons: tuple[int, ...], members: tuple[str, ...]) -> Hedge:
        """Equal weights."""
        return cls(config, horizons, members, np.full((len(horizons), len(members)), -math.log(len(members))))

    def run(self, arrived: np.ndarray) -> np.ndarray:
        """Enter T rows: float64 (T, H, M) losses of the labels that ended at each -> weights after each (T, H, M)."""
        eta = self.config.learning_rate / (1.0 + np.array(self.horizons, dtype=np.float64))
        weights = np.empty_like(arrived)
        _advance(arrived, self.log_weights, eta, self.config.discount, self.config.share, weights)
        return weights

    def advance(self, new_losses: np.ndarray) -> None:
        """Enter the next row: float64 (H, M) summed losses of the labels that ended at it (0 where none did)."""
        self.run(new_losses[None])

    def weights(self) -> np.ndarray:
        """float64 (H, M), each horizon's sum 1."""
        weights = np.empty_like(self.log_weights)
        for h in range(len(weights)):
            _exp(self.log_weights[h], weights[h])
        return weights

    def combine(self, probabilities: np.ndarray) -> np.ndarray:
        """P(up) (H,) of the ensemble from the members' (H, M)."""
        return (self.weights() * probabilities).sum(axis=-1)

    def to_dict(self) -> dict[str, Any]:
        """The part that changes, for JSON."""
        return {
            "members": list(self.members),
            "horizons": list(self.horizons),
            "log_weights": self.log_weights.tolist(),
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any], config: EnsembleConfig) -> Hedge:
        """Back from `to_dict`."""
        weights = np.array(state["log_weights"], dtype=np.float64)
        return cls(config, tuple(state["horizons"]), tuple(state["members"]), weights)


def stretch_bound(config: EnsembleConfig, members: int, rows: int) -> float:
    """Most by which the ensemble's loss on any `rows` consecutive rows can exceed the best member's, in nats.

    For labels known at once (eta undivided) and share > 0. With g the discount, a the share and M members, the floor
    of a weight is that of u_i = a / M after fading, ln w_i >= g ln(a / M) - (1 - g) ln M, and a row adds at most
    g ln(1 / (1 - a)) + (1 - g) ln M to what exponential weights would lose.
    """
    fade, share, spread = config.discount, config.share, math.log(members)
    floor = -fade * math.log(share / members) + (1 - fade) * spread
    drift = -fade * math.log1p(-share) + (1 - fade) * spread
    return (floor + rows * drift) / (fade * config.learning_rate)


def log_losses(probabilities: np.ndarray, y: np.ndarray) -> np.ndarray:
    """-ln of the probability given to what happened.

    probabilities: (..., H, M) P(up). y: (..., H) label returns. Returns float64 (..., H, M); 0 on all members of a
    label that is unknown, did not move, or that some member said nothing about: the comparison must be on the same
    labels.
    """
    p = probabilities.astype(np.float64)
    counted = (np.isfinite(y) & (y != 0))[..., None] & np.isfinite(p).all(axis=-1, keepdims=True)
    said = np.where(y[..., None] > 0, p, 1.0 - p)
    return -np.log(np.where(counted, said, 1.0))


def run_ensemble(
    probabilities: np.ndarray, y: np.ndarray, t1: np.ndarray, hedge: Hedge
) -> tuple[np.ndarray, np.ndarray]:
    """Advance `hedge` over T rows and return what it said at each.

    probabilities: (T, H, M). y: (T, H) label returns, NaN unknown. t1: int64 (T, H), row at which each label ends; a
    label counts from that row on. Returns P(up) float64 (T, H), NaN where any member is, and weights float64 (T, H,
    M).
    """
    losses = log_losses(probabilities, y)
    arrived = np.zeros_like(losses)
    rows, horizons = np.nonzero((t1 >= 0) & (t1 < len(y)) & losses.any(axis=-1))
    np.add.at(arrived, (t1[rows, horizons], horizons), losses[rows, horizons])
    weights = hedge.run(arrived)
    return (weights * probabilities).sum(axis=-1), weights


@numba.njit(cache=True)
def _advance(
    arrived: np.ndarray, state: np.ndarray, eta: np.ndarray, discount: float, share: float, weights: np.ndarray
) -> None:
    """The three lines of the module's docstring for each row; `state` (H, M) holds ln w and is carried on."""
    rows, horizons, members = arrived.shape
    for t in range(rows):
        for h in range(horizons):
            log_w = state[h]
            for m in range(members):
                log_w[m] -= eta[h] * arrived[t, h, m]
            _normalise(log_w)
            for m in range(members):
                if share > 0.0:
                    log_w[m] = math.log((1.0 - share) * math.exp(log_w[m]) + share / members)
                log_w[m] *= discount
            _normalise(log_w)
            _exp(log_w, weights[t, h])


@numba.njit(cache=True)
def _normalise(log_w: np.ndarray) -> None:
    """Shift so that the exponentials sum to one."""
    top, total = log_w.max(), 0.0
    for m in range(len(log_w)):
        total += math.exp(log_w[m] - top)
    for m in range(len(log_w)):
        log_w[m] -= top + math.log(total)


@numba.njit(cache=True)
def _exp(log_w: np.ndarray, out: np.ndarray) -> None:
    """Element by element, so that one row and many give the same bits."""
    for m in range(len(log_w)):
        out[m] = math.exp(log_w[m])
