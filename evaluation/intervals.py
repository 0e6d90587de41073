"""Intervals: Wilson's for shares, the stationary block bootstrap's for anything computed from a series.

References: Wilson (1927); Politis & Romano (1994), "The Stationary Bootstrap"; Politis & White (2004) with the
correction of Patton, Politis & White (2009) for the block length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from arch.bootstrap import StationaryBootstrap, optimal_block_length
from numpy.typing import NDArray
from scipy.stats import norm, t

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], float]


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with the ends of its interval; NaN where nothing can be said."""

    value: float
    low: float
    high: float
    n: int
    """Observations behind it."""

    def scaled(self, factor: float) -> Interval:
        """The interval in other units; `factor` must be positive."""
        return Interval(self.value * factor, self.low * factor, self.high * factor, self.n)


UNKNOWN = Interval(math.nan, math.nan, math.nan, 0)


def wilson(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Wilson score interval for a share: successes / n. NaN when n is 0."""
    if n == 0:
        return UNKNOWN
    z = float(norm.ppf(0.5 + confidence / 2))
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Interval(share, min(max(centre - reach, 0.0), share), max(min(centre + reach, 1.0), share), n)


def student_interval(values: Floats, confidence: float = 0.95) -> Interval:
    """Student's t interval for the mean of a few independent values (seeds). Its ends are NaN for fewer than two."""
    v = np.asarray(values, dtype=np.float64)
    if v.size < 2:
        return Interval(float(v.mean()) if v.size else math.nan, math.nan, math.nan, int(v.size))
    reach = float(t.ppf(0.5 + confidence / 2, v.size - 1)) * float(v.std(ddof=1)) / math.sqrt(v.size)
    return Interval(float(v.mean()), float(v.mean()) - reach, float(v.mean()) + reach, int(v.size))


def block_length(series: Floats) -> int:
    """Mean block length for the stationary bootstrap of `series`, at least 1 and at most a third of its length."""
    s = np.asarray(series, dtype=np.float64)
    if s.size < 8 or np.ptp(s) == 0.0:
        return 1  # too short, or too dull, for autocovariances to be estimated
    found = float(optimal_block_length(s)["stationary"].iloc[0])
    return int(np.clip(math.ceil(found), 1, s.size // 3)) if math.isfinite(found) else 1


def bootstrap_intervals(
    series: Floats,
    statistics: Mapping[str, Statistic],
    *,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """Intervals of several statistics of one series (float64 (n,)) from the same stationary bootstrap.

    Blocks of random length keep the dependence between neighbours; their mean length b is `block_length(series)`. The
    ends are percentiles, expanded as Student's t expands a normal interval when there are only n / b blocks. With fewer
    than five values the estimate is given and the ends are NaN.
    """
    s = np.ascontiguousarray(series, dtype=np.float64)
    estimates = {name: float(statistic(s)) if s.size else math.nan for name, statistic in statistics.items()}
    if s.size < 5:
        return {name: Interval(value, math.nan, math.nan, int(s.size)) for name, value in estimates.items()}

    def draw(sample: Floats) -> Floats:
        return np.array([statistic(sample) for statistic in statistics.values()])

    block = block_length(s)
    draws = StationaryBootstrap(block, s, seed=seed).apply(draw, resamples)
    tail = 100.0 * expanded_tail(s.size / block, confidence)
    found = {}
    for (name, value), column in zip(estimates.items(), draws.T, strict=True):
        known = column[np.isfinite(column)]  # a profit factor without losses has no value
        low, high = np.percentile(known, [tail, 100.0 - tail]) if known.size else (math.nan, math.nan)
        found[name] = Interval(value, float(low), float(high), int(s.size))
    return found


def expanded_tail(blocks: float, confidence: float) -> float:
    """Share of resamples beyond each end: Φ(-√(k / (k - 1)) t) with Student's t quantile on k - 1 degrees of freedom.

    Plain percentiles of k independent `blocks` are too narrow by √((k - 1) / k) and by the normal's thinner tails: with
    20 days, 95 % intervals held the truth 86 % of the time before and 91 to 94 % with this.
    """
    k = max(blocks, 2.0)
    return float(norm.cdf(-math.sqrt(k / (k - 1.0)) * t.ppf(0.5 + confidence / 2, k - 1.0)))


def mean_return(returns: Floats) -> float:
    """Arithmetic mean of simple returns."""
    return float(returns.mean())


def total_return(returns: Floats) -> float:
    """Compound return: Π(1 + r) - 1."""
    return float(np.prod(1.0 + returns) - 1.0)


def sharpe_ratio(returns: Floats) -> float:
    """mean / standard deviation per period; 0 when nothing varies (a resample may repeat one value)."""
    spread = float(returns.std(ddof=1))
    return float(returns.mean()) / spread if spread > 0.0 else 0.0


RETURN_STATISTICS: Mapping[str, Statistic] = {"mean": mean_return, "total": total_return, "sharpe": sharpe_ratio}
"""What `bootstrap_intervals` is asked for of daily returns."""
