"""What a Sharpe ratio is worth: probabilistic and deflated Sharpe, minimum track record.

Everything here works on Sharpe ratios *per period*, as `envs.sharpe.SharpeEstimate` holds them. Kurtosis is never
"excess": a normal distribution has 3.

References: Bailey & López de Prado (2012), "The Sharpe Ratio Efficient Frontier"; Bailey & López de Prado (2014), "The
Deflated Sharpe Ratio".
"""

from __future__ import annotations

import math

from scipy.stats import norm

EULER_GAMMA = 0.5772156649015329


def probabilistic_sharpe(
    sharpe: float, n: int, skew: float = 0.0, kurtosis: float = 3.0, benchmark: float = 0.0
) -> float:
    """Probability that the true Sharpe ratio exceeds `benchmark` (Bailey & López de Prado 2012, equation 11).

    Φ[(SR - SR*) √(n - 1) / √(1 - γ₃ SR + (γ₄ - 1) SR² / 4)]. All ratios per period. NaN when `sharpe` or a moment is
    NaN or fewer than two returns are known.
    """
    if n < 2 or math.isnan(sharpe) or math.isnan(skew) or math.isnan(kurtosis):
        return math.nan
    return float(norm.cdf((sharpe - benchmark) * math.sqrt(n - 1) / _non_normal_spread(sharpe, skew, kurtosis)))


def expected_maximum_sharpe(trials: int, variance: float) -> float:
    """Expected best Sharpe ratio of `trials` independent strategies without any skill (Bailey & López de Prado 2014).

    √V[SR] · {(1 - γ) Φ⁻¹(1 - 1/N) + γ Φ⁻¹(1 - 1/(N e))}; `variance` is the variance of the trials' Sharpe ratios, in
    the same period as the ratio to be deflated. One trial has selected nothing: 0.
    """
    if trials < 1:
        raise ValueError(f"{trials} trials: at least the one being judged must be counted")
    if trials == 1:
        return 0.0
    best = (1 - EULER_GAMMA) * norm.ppf(1 - 1 / trials) + EULER_GAMMA * norm.ppf(1 - 1 / (trials * math.e))
    return math.sqrt(variance) * float(best)


def deflated_sharpe(
    sharpe: float, n: int, trials: int, variance: float, skew: float = 0.0, kurtosis: float = 3.0
) -> float:
    """Probability that the true Sharpe ratio exceeds 0 after choosing the best of `trials` (Bailey & López de Prado
    2014).

    The probabilistic Sharpe ratio with `expected_maximum_sharpe(trials, variance)` as the benchmark.
    """
    return probabilistic_sharpe(sharpe, n, skew, kurtosis, benchmark=expected_maximum_sharpe(trials, variance))


def minimum_track_record(
    sharpe: float, skew: float = 0.0, kurtosis: float = 3.0, benchmark: float = 0.0, confidence: float = 0.95
) -> float:
    """Number of returns needed before `sharpe` is above `benchmark` at `confidence` (Bailey & López de Prado 2012,
    eq. 13).

    1 + (1 - γ₃ SR + (γ₄ - 1) SR² / 4) (z / (SR - SR*))². Infinity when `sharpe` does not exceed `benchmark`, NaN when
    unknown.
    """
    if math.isnan(sharpe) or math.isnan(skew) or math.isnan(kurtosis):
        return math.nan
    if sharpe <= benchmark:
        return math.inf
    return 1.0 + (_non_normal_spread(sharpe, skew, kurtosis) * float(norm.ppf(confidence)) / (sharpe - benchmark)) ** 2


def _non_normal_spread(sharpe: float, skew: float, kurtosis: float) -> float:
    """√(1 - γ₃ SR + (γ₄ - 1) SR² / 4). It is positive for moments of any real sample, because γ₄ ≥ 1 + γ₃²."""
    return math.sqrt(max(1.0 - skew * sharpe + (kurtosis - 1.0) / 4.0 * sharpe * sharpe, 1e-12))
