"""A Sharpe ratio with its standard error, for everything that reports one.

A ratio is *per period* (per day when the returns are daily); `SharpeEstimate` also gives it per year. Crypto trades
every day, so a year has 365 days. Kurtosis is never "excess": a normal distribution has 3.

Reference: Lo (2002), "The Statistics of Sharpe Ratios".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

DAYS_PER_YEAR = 365.0
MS_PER_YEAR = DAYS_PER_YEAR * 86_400_000.0

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SharpeEstimate:
    """A Sharpe ratio estimated from `n` returns, with the moments that its significance depends on."""

    per_period: float
    """mean / standard deviation (n - 1 in the denominator) of the returns, no annualisation."""
    standard_error: float
    """Lo's standard error of `per_period`."""
    n: int
    """Number of returns."""
    skew: float
    kurtosis: float
    """Fourth standardised moment, 3 for a normal distribution."""
    periods_per_year: float
    """365 for daily returns, 525 600 for one-minute bars."""

    @property
    def annual(self) -> float:
        """`per_period` times the square root of the periods in a year (exact when returns are uncorrelated)."""
        return self.per_period * math.sqrt(self.periods_per_year)

    @property
    def annual_standard_error(self) -> float:
        """Standard error of `annual`."""
        return self.standard_error * math.sqrt(self.periods_per_year)

    def annual_interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Two-sided normal interval of `annual`."""
        reach = float(norm.ppf(0.5 + confidence / 2)) * self.annual_standard_error
        return self.annual - reach, self.annual + reach


def sharpe_estimate(returns: Floats, periods_per_year: float = DAYS_PER_YEAR) -> SharpeEstimate:
    """Sharpe ratio of `returns` (float64 (n,), net simple returns per period), risk-free rate 0.

    With fewer than two returns, or without any variation, the ratio is NaN: nothing can be said. A series of zeros (a
    policy that never trades) is the exception readers expect: its ratio is 0 with an unknown standard error.
    """
    r = np.asarray(returns, dtype=np.float64)
    n = int(r.size)
    spread = float(r.std(ddof=1)) if n > 1 else math.nan
    nothing_varies = not spread > 1e-15 * max(1.0, float(np.abs(r).max(initial=0.0)))
    if nothing_varies:
        flat = n > 0 and not r.any()
        return SharpeEstimate(0.0 if flat else math.nan, math.nan, n, math.nan, math.nan, periods_per_year)
    centred = r - r.mean()
    variance = float(np.mean(centred**2))
    ratio = float(r.mean()) / spread
    return SharpeEstimate(
        per_period=ratio,
        standard_error=sharpe_standard_error(ratio, n),
        n=n,
        skew=float(np.mean(centred**3)) / variance**1.5,
        kurtosis=float(np.mean(centred**4)) / variance**2,
        periods_per_year=periods_per_year,
    )


def sharpe_standard_error(sharpe: float, n: int) -> float:
    """Lo (2002), equation 9: sqrt((1 + SR²/2) / n) for n independent, identically distributed returns."""
    return math.sqrt((1.0 + 0.5 * sharpe * sharpe) / n)
