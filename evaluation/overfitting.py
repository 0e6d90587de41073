"""Probability of backtest overfitting by combinatorially symmetric cross-validation.

Reference: Bailey, Borwein, López de Prado & Zhu (2017), "The Probability of Backtest Overfitting".
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Overfitting:
    """What choosing the best of several configurations in one half of the days did in the other half."""

    probability: float
    """Share of splits in which the in-sample best came out at or below the out-of-sample median: P[λ ≤ 0]."""
    logits: Floats
    """λ of every split, float64 (splits,)."""
    probability_of_loss: float
    """Share of splits in which the in-sample best lost money out of sample."""
    configurations: int
    rows: int


def probability_of_overfitting(returns: Floats, blocks: int = 16) -> Overfitting:
    """PBO of `returns` (float64 (rows, configurations), one column for each configuration tried, rows in time order).

    The rows are cut into `blocks` contiguous blocks (an even number; rows that do not fill a block are left out at
    the start). Every half of the blocks serves once as in-sample: the configuration with the best Sharpe ratio there
    is looked up among the out-of-sample Sharpe ratios; with its relative rank ω = rank / (N + 1), λ = ln(ω / (1 -
    ω)). Ties share their rank. Raises ValueError for fewer than two configurations, an odd number of blocks, or fewer
    than two rows in a block.
    """
    r = np.asarray(returns, dtype=np.float64)
    if r.ndim != 2 or r.shape[1] < 2:
        raise ValueError(f"PBO compares configurations: a (rows, configurations >= 2) array is needed, not {r.shape}")
    if blocks < 2 or blocks % 2:
        raise ValueError(f"{blocks} blocks cannot be halved: give an even number")
    height = r.shape[0] // blocks
    if height < 2:
        raise ValueError(f"{r.shape[0]} rows are too few for {blocks} blocks of at least 2")
    r = r[r.shape[0] - height * blocks :]
    cut = r.reshape(blocks, height, r.shape[1])
    totals, squares = cut.sum(axis=1), (cut**2).sum(axis=1)

    halves = np.array(list(combinations(range(blocks), blocks // 2)))
    inside = np.zeros((len(halves), blocks))
    np.put_along_axis(inside, halves, 1.0, axis=1)
    rows = height * blocks // 2

    def ratios(mask: Floats) -> Floats:
        mean = mask @ totals / rows
        spread = np.sqrt(np.maximum(mask @ squares / rows - mean**2, 0.0))
        return np.divide(mean, spread, out=np.zeros_like(mean), where=spread > 1e-15)

    best = np.argmax(ratios(inside), axis=1)
    outside = ratios(1.0 - inside)
    relative = rankdata(outside, axis=1)[np.arange(len(best)), best] / (r.shape[1] + 1)
    logits = np.log(relative / (1.0 - relative))
    lost = outside[np.arange(len(best)), best] < 0.0
    return Overfitting(float(np.mean(logits <= 0.0)), logits, float(np.mean(lost)), int(r.shape[1]), int(r.shape[0]))
