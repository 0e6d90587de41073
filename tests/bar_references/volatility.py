"""Slow formulas of the families volatility, dependence and complexity (the new ones)."""

import math
from collections import Counter
from itertools import pairwise

import numpy as np
from scipy import stats

from features.config import BarParameters
from tests.bar_references.history import (
    History,
    Reference,
    Values,
    balance,
    correlation,
    fading_mean,
    last,
    level,
    mean,
    ratio,
)


def variance(x: History, w: int) -> float:
    return mean(last(x.returns, w) ** 2)


def bipower(x: History, w: int) -> float:
    r = np.abs(last(x.returns, w + 1))
    return math.pi / 2 * mean([a * b for a, b in pairwise(r)])


def semivariance(x: History, w: int) -> float:
    r = last(x.returns, w)
    up, down = math.fsum(r[r > 0] ** 2), math.fsum(r[r < 0] ** 2)
    return ratio(up - down, up + down)


def parkinson(x: History, w: int) -> float:
    return mean((last(x.log_high, w) - last(x.log_low, w)) ** 2) / (4 * math.log(2))


def garman_klass(x: History, w: int) -> float:
    span = last(x.log_high, w) - last(x.log_low, w)
    body = last(x.log_close, w) - last(x.log_open, w)
    return mean(0.5 * span**2 - (2 * math.log(2) - 1) * body**2)


def rogers_satchell(x: History, w: int) -> float:
    o, h, low, c = (last(v, w) for v in (x.log_open, x.log_high, x.log_low, x.log_close))
    return mean((h - c) * (h - o) + (low - c) * (low - o))


def yang_zhang(x: History, w: int) -> float:
    """Yang & Zhang 2000, equations (7)-(10)."""
    gap = last(x.log_open, w) - last(x.log_close, w, 1)
    body = last(x.log_close, w) - last(x.log_open, w)
    k = 0.34 / (1.34 + (w + 1) / (w - 1))
    return float(np.var(gap, ddof=1) + k * np.var(body, ddof=1) + (1 - k) * rogers_satchell(x, w))


def skewness(x: History, w: int) -> float:
    """Amaya, Christoffersen, Jacobs & Vasquez 2015, equation (3)."""
    r = last(x.returns, w)
    return ratio(math.sqrt(w) * math.fsum(r**3), math.fsum(r**2) ** 1.5)


def kurtosis(x: History, w: int) -> float:
    r = last(x.returns, w)
    return math.log(w * math.fsum(r**4) / math.fsum(r**2) ** 2) if r.any() else 0.0


def jump_statistic(x: History, n: int) -> float:
    """Huang & Tauchen 2005, equation (7) with the maximum of (8); quad-power quarticity."""
    r = np.abs(last(x.returns, n + 3))
    quad = math.pi**2 / 4 * mean([r[i] * r[i - 1] * r[i - 2] * r[i - 3] for i in range(3, n + 3)])
    rv, bv = variance(x, n), bipower(x, n)
    if rv == 0:
        return 0.0
    factor = (math.pi**2 / 4 + math.pi - 5) / n * max(1.0, ratio(quad, bv**2))
    return (1 - bv / rv) / math.sqrt(factor)


def minimum_variance(x: History, n: int) -> float:
    r = np.abs(last(x.returns, n + 1))
    return math.pi / (math.pi - 2) * mean([min(a, b) ** 2 for a, b in pairwise(r)])


def median_variance(x: History, n: int) -> float:
    r = np.abs(last(x.returns, n + 2))
    factor = math.pi / (6 - 4 * math.sqrt(3) + math.pi)
    return factor * mean([float(np.median(r[i : i + 3])) ** 2 for i in range(n)])


def volatility_of_volatility(x: History) -> float:
    s, n = x.p.short, x.p.long
    squares = last(x.returns, n + s - 1) ** 2
    levels = [math.sqrt(math.fsum(squares[i : i + s]) / s) for i in range(n)]
    return float(stats.variation(levels, ddof=1)) if np.ptp(levels) > 0 else 0.0


def variance_ratio(x: History, n: int, q: int) -> float:
    """Lo & MacKinlay 1988, equations (11)-(13), for the n + 1 prices that end here."""
    prices = last(x.log_close, n + 1)
    mu = (prices[-1] - prices[0]) / n
    one = math.fsum((np.diff(prices) - mu) ** 2) / (n - 1)
    if one <= 1e-9 * variance(x, n):
        return 0.0
    many = math.fsum((prices[q:] - prices[:-q] - q * mu) ** 2) / (q * (n - q + 1) * (1 - q / n))
    return many / one - 1


def hurst(x: History, n: int) -> float:
    """Half the slope of the log mean squared q-bar return on log q (Di Matteo 2007, q = 2)."""
    prices = last(x.log_close, n + 1)
    lags = sorted({1, x.p.aggregation, *x.p.other_aggregations})
    moments = [mean((prices[q:] - prices[:-q]) ** 2) for q in lags]
    if moments[0] == 0:
        return 0.5
    floored = [max(moment, 1e-4 * q * moments[0]) for q, moment in zip(lags, moments, strict=True)]
    return float(np.polyfit(np.log(lags), np.log(floored), 1)[0]) / 2


def lagged_correlation(values: np.ndarray, n: int, lag: int) -> float:
    return correlation(last(values, n), last(values, n, lag))


def entropy(words: list[tuple[float, ...]], alphabet: int) -> float:
    return float(stats.entropy(list(Counter(words).values()))) / math.log(alphabet)


def sign_entropy(x: History, n: int) -> float:
    word = x.p.word
    up = (last(x.returns, n + word - 1) > 0).tolist()
    return entropy([tuple(up[i : i + word]) for i in range(n)], 2**word)


def permutation_entropy(x: History, n: int) -> float:
    closes = last(x.bars.close, n + 2)
    return entropy([tuple(np.argsort(closes[i : i + 3], kind="stable")) for i in range(n)], 6)


def lempel_ziv(x: History) -> float:
    """Phrases of the exhaustive history (Lempel & Ziv 1976), each one the shortest not seen before."""
    size = x.p.signs
    text = "".join("1" if r > 0 else "0" for r in last(x.returns, size))
    phrases, start = 0, 0
    while start < size:
        stop = start + 1
        while stop <= size and text[start:stop] in text[: stop - 1]:
            stop += 1
        phrases, start = phrases + 1, stop
    return phrases * math.log2(size) / size


def true_range_expansion(x: History, w: int) -> float:
    last(x.returns, w)
    return balance(float(x.true_range[-1]), fading_mean(x.true_range, w))


def average_true_range(x: History, w: int) -> float:
    last(x.returns, w)
    return fading_mean(x.true_range, w)


def largest_move(r: Values) -> float:
    squares = np.square(r)
    return ratio(float(squares.max()), math.fsum(squares))


def references(p: BarParameters) -> dict[str, Reference]:
    s, n, day, week = p.short, p.long, p.day, p.day * p.days
    table: dict[str, Reference] = {
        f"realised_volatility_{s}": lambda x: level(math.sqrt(variance(x, s))),
        f"bipower_volatility_{s}": lambda x: level(math.sqrt(bipower(x, s))),
        f"jump_share_{s}": lambda x: max(0.0, 1 - ratio(bipower(x, s), variance(x, s))) if variance(x, s) else 0.0,
        f"semivariance_{s}": lambda x: semivariance(x, s),
        f"parkinson_{s}": lambda x: balance(parkinson(x, s), variance(x, s)),
        f"garman_klass_{s}": lambda x: balance(garman_klass(x, s), variance(x, s)),
        f"rogers_satchell_{s}": lambda x: balance(rogers_satchell(x, s), variance(x, s)),
        f"jump_statistic_{n}": lambda x: jump_statistic(x, n),
        f"minimum_variance_{n}": lambda x: balance(minimum_variance(x, n), variance(x, n)),
        f"median_variance_{n}": lambda x: balance(median_variance(x, n), variance(x, n)),
        f"volatility_of_volatility_{n}": volatility_of_volatility,
        f"leverage_effect_{n}": lambda x: correlation(last(x.returns, n, 1), last(x.returns, n) ** 2),
        f"largest_move_{n}": lambda x: largest_move(last(x.returns, n)),
        f"true_range_{s}": lambda x: level(average_true_range(x, s)),
        f"range_expansion_{s}": lambda x: true_range_expansion(x, s),
        f"realised_volatility_{day}": lambda x: level(math.sqrt(variance(x, day))),
        f"realised_volatility_{week}": lambda x: level(math.sqrt(variance(x, week))),
        f"volatility_ratio_{n}_{day}": lambda x: balance(variance(x, n), variance(x, day)),
        f"volatility_ratio_{day}_{week}": lambda x: balance(variance(x, day), variance(x, week)),
        f"hurst_{n}": lambda x: hurst(x, n),
        f"volatility_clustering_{n}": lambda x: lagged_correlation(np.abs(x.returns), n, 1),
        f"sign_entropy_{p.word}_{n}": lambda x: sign_entropy(x, n),
        f"permutation_entropy_{n}": lambda x: permutation_entropy(x, n),
        f"lempel_ziv_{p.signs}": lempel_ziv,
    }
    table |= {f"variance_ratio_{q}_{n}": lambda x, q=q: variance_ratio(x, n, q) for q in p.other_aggregations}
    table |= {f"autocorrelation_{k}_{n}": lambda x, k=k: lagged_correlation(x.returns, n, k) for k in p.lags}
    for w in (s, n):
        table |= {
            f"quarticity_{w}": lambda x, w=w: level((mean(last(x.returns, w) ** 4) / 3) ** 0.25),
            f"realised_skewness_{w}": lambda x, w=w: skewness(x, w),
            f"realised_kurtosis_{w}": lambda x, w=w: kurtosis(x, w),
            f"yang_zhang_{w}": lambda x, w=w: balance(yang_zhang(x, w), variance(x, w)),
        }
    return table
