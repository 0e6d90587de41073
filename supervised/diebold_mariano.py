"""Does one forecast lose less than another, beyond what autocorrelated luck explains?

References: Diebold & Mariano (1995), "Comparing Predictive Accuracy"; the long-run variance of Lazarus, Lewis, Stock &
Watson (2018), "HAR Inference: Recommendations for Practice".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct
from scipy.stats import t

Floats = NDArray[np.float64]
LEAST_ROWS = 10
"""Fewer (blocks of) rows are not tested."""


@dataclass(frozen=True, slots=True)
class Significance:
    """A test statistic and its p-value, NaN when the test cannot be made."""

    statistic: float
    p_value: float
    n: int


def diebold_mariano(loss: Floats, reference_loss: Floats, *, overlap: int = 1) -> Significance:
    """Two-sided test that two forecasts lose equally; a negative statistic says that `loss` (float64 (n,)) is the
    smaller.

    d̄ / √(Ω̂ / n) with d the difference of the losses and Ω̂ its long-run variance. Newey & West's usual estimate
    rejects equal forecasts five bars ahead 10 % of the time at a nominal 5 %; the equal-weighted cosine estimate of
    Lazarus, Lewis, Stock & Watson (2018) with its Student's t with as many degrees of freedom as cosines holds the 5
    %.

    `overlap`: rows over which neighbouring labels share their outcome (the horizon). The differences are first averaged
    over blocks of that many rows (rows left over at the end are not used), because the estimate's window, about
    2.5 n^(1/3) rows, must be wider than what neighbours share. `n` of the result counts the blocks; NaN when there are
    fewer than `LEAST_ROWS`, or when the losses never differ.
    """
    d = block_means(np.asarray(loss, dtype=np.float64) - np.asarray(reference_loss, dtype=np.float64), overlap)
    n = int(d.size)
    if n < LEAST_ROWS:
        return Significance(math.nan, math.nan, n)
    variance, freedom = long_run_variance(d)
    if variance <= 1e-30:
        return Significance(math.nan, math.nan, n)
    statistic = float(d.mean()) / math.sqrt(variance / n)
    return Significance(statistic, float(2 * t.sf(abs(statistic), freedom)), n)


def block_means(series: Floats, length: int) -> Floats:
    """Means of consecutive blocks of `length` rows, float64 (n // length,); what is left over at the end is dropped."""
    blocks = len(series) // length
    return series[: blocks * length].reshape(blocks, length).mean(axis=1)


def long_run_variance(series: Floats) -> tuple[float, int]:
    """Equal-weighted cosine estimate of n times the variance of the mean of `series` (float64 (n,)), and how many
    cosines.

    Ω̂ = (1/B) Σⱼ Λⱼ², Λⱼ = √(2/n) Σₜ xₜ cos(π j (t - 1/2) / n), j = 1 ... B = ⌊0.4 n^(2/3)⌋. Heteroscedasticity and
    autocorrelation are covered, and no mean has to be taken off, because the cosines sum to zero.
    """
    cosines = max(int(0.4 * series.size ** (2 / 3)), 1)
    weights = dct(series, type=2, norm="ortho")[1 : cosines + 1]
    return float(np.mean(np.square(weights))), cosines
