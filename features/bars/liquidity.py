"""Compiled column functions of the families flow and liquidity."""

import math

import numpy as np
from numba import njit

from features.bars.instruction import constants, inputs
from features.bars.ops import Op
from features.compiled import FORMULA
from features.maths import exp, log

CORWIN_SCHULTZ_K = 3.0 - 2.0 * math.sqrt(2.0)


@njit(**FORMULA)
def taker_delta(volume: float, bought: float) -> float:
    """Volume that takers bought less what they sold."""
    return 2.0 * bought - volume


@njit(**FORMULA)
def price_deviation(log_close: float, volume: float, quote_volume: float, scale: float, factor: float) -> float:
    """ln of close over volume-weighted average price, per scale · factor; 0 where nothing traded or nothing moved."""
    known = volume > 0.0 and quote_volume > 0.0 and scale > 0.0
    return (log_close - log(quote_volume / volume if known else 1.0)) / (scale * factor) if known else 0.0


@njit(**FORMULA)
def illiquidity(log_return: float, quote_volume: float) -> float:
    """|r| / Q, 0 when Q = 0 (Amihud 2002)."""
    return abs(log_return) / quote_volume if quote_volume > 0.0 else 0.0


@njit(**FORMULA)
def positive(x: float) -> float:
    """1 where x > 0, else 0."""
    return 1.0 if x > 0.0 else 0.0


@njit(**FORMULA)
def corwin_schultz(high: float, low: float, last_high: float, last_low: float) -> float:
    """Spread of two bars as a fraction of price from log prices, estimates below 0 set to 0 as the authors do."""
    span, last_span = high - low, last_high - last_low
    beta = span * span + last_span * last_span
    both = max(high, last_high) - min(low, last_low)
    alpha = (math.sqrt(2.0 * beta) - math.sqrt(beta)) / CORWIN_SCHULTZ_K - math.sqrt(both * both / CORWIN_SCHULTZ_K)
    shrink = exp(-max(alpha, 0.0))
    return 2.0 * (1.0 - shrink) / (1.0 + shrink)  # 2 (e^α - 1) / (1 + e^α), without overflow


@njit(**FORMULA)
def abdi_ranaldo(high: float, low: float, last_high: float, last_low: float, last_close: float) -> float:
    """(p[-1] - η[-1]) (p[-1] - η) of log prices, η the middle of the range (Abdi & Ranaldo 2017, equation 11)."""
    return (last_close - 0.5 * (last_high + last_low)) * (last_close - 0.5 * (high + low))


@njit(**FORMULA)
def spread(products: float, sigma: float, window: float) -> float:
    """√max(0, 4 mean) / σ; 0 where σ = 0."""
    return math.sqrt(max(4.0 * products / window, 0.0)) / sigma if sigma > 0.0 else 0.0


@njit(**FORMULA)
def liquidity_column(op: int, m: np.ndarray, target: np.ndarray, d: int, n: int, plan: np.ndarray, i: int) -> None:
    """Run one instruction of this group."""
    to, rows = np.uint64(d), np.uint64(n)
    a, b, c, e, f = inputs(plan, i)[:5]
    k0 = constants(m, plan, i)[0]
    if op == Op.TAKER_DELTA:
        for t in range(rows):
            target[to + t] = taker_delta(m[a + t], m[b + t])
    elif op == Op.PRICE_DEVIATION:
        for t in range(rows):
            target[to + t] = price_deviation(m[a + t], m[b + t], m[c + t], m[e + t], k0)
    elif op == Op.ILLIQUIDITY:
        for t in range(rows):
            target[to + t] = illiquidity(m[a + t], m[b + t])
    elif op == Op.POSITIVE:
        for t in range(rows):
            target[to + t] = positive(m[a + t])
    elif op == Op.CORWIN_SCHULTZ:
        for t in range(rows):
            target[to + t] = corwin_schultz(m[a + t], m[b + t], m[c + t], m[e + t])
    elif op == Op.ABDI_RANALDO:
        for t in range(rows):
            target[to + t] = abdi_ranaldo(m[a + t], m[b + t], m[c + t], m[e + t], m[f + t])
    elif op == Op.SPREAD:
        for t in range(rows):
            target[to + t] = spread(m[a + t], m[b + t], k0)
