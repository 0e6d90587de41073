"""An ensemble whose weights follow the members' recent log-loss: experts weighted by discounted, delayed losses.

The prediction is the weighted mean of the members' probabilities. Member i has weight proportional to exp(-eta * S_i),

    S_i(t) = discount * (S_i(t - 1) + sum of -ln p_i(what happened) over the labels that ended at row t)

so a label counts from the row at which it is known, and equal weights rule until the first one is.

What is guaranteed. Log-loss is eta-mixable for eta <= 1: with labels known at once, the discounted loss of the ensemble
exceeds the best member's by at most ln(members) / eta, at every row and whatever happens (Chernov & Zhdanov 2010,
1005.1918). The labels of a horizon of h bars come h + 1 rows late and overlap, so eta is divided by h + 1. Without
discount, a delay of d rows costs at most another eta * R^2 * (1/8 + d/4) a row, R being the spread of the members'
losses on one label: little, because members that agree have a small R.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.signal import lfilter
from scipy.special import softmax

from supervised.config import EnsembleConfig


@dataclass
class Hedge:
    """The ensemble's state; `advance` it once per row, live as in research."""

    config: EnsembleConfig
    horizons: tuple[int, ...]
    members: tuple[str, ...]
    losses: np.ndarray
    """float64 (H, M): S above."""

    @classmethod
    def start(cls, config: EnsembleConfig, horizons: tuple[int, ...], members: tuple[str, ...]) -> Hedge:
        """Equal weights."""
        return cls(config, horizons, members, np.zeros((len(horizons), len(members))))

    def advance(self, new_losses: np.ndarray) -> None:
        """Enter the next row: float64 (H, M) summed losses of the labels that ended at it (0 where none did)."""
        discount = self.config.discount
        self.losses = discount * new_losses + discount * self.losses

    def weights(self) -> np.ndarray:
        """float64 (H, M), each horizon's sum 1."""
        return _weights(self.losses, self.config, self.horizons)

    def combine(self, probabilities: np.ndarray) -> np.ndarray:
        """P(up) (H,) of the ensemble from the members' (H, M)."""
        return (self.weights() * probabilities).sum(axis=-1)

    def to_dict(self) -> dict[str, Any]:
        """The part that changes, for JSON."""
        return {"members": list(self.members), "horizons": list(self.horizons), "losses": self.losses.tolist()}

    @classmethod
    def from_dict(cls, state: dict[str, Any], config: EnsembleConfig) -> Hedge:
        """Back from `to_dict`."""
        return cls(
            config, tuple(state["horizons"]), tuple(state["members"]), np.array(state["losses"], dtype=np.float64)
        )


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
    discount = hedge.config.discount
    trajectory, _ = lfilter(
        [discount], [1.0, -discount], arrived, axis=0, zi=discount * hedge.losses[None]
    )  # `advance`, compiled
    hedge.losses = trajectory[-1]
    weights = _weights(trajectory, hedge.config, hedge.horizons)
    return (weights * probabilities).sum(axis=-1), weights


def _weights(losses: np.ndarray, config: EnsembleConfig, horizons: tuple[int, ...]) -> np.ndarray:
    """(..., H, M) -> (..., H, M)."""
    eta = config.learning_rate / (1.0 + np.array(horizons, dtype=np.float64))
    return softmax(-eta[:, None] * losses, axis=-1)
