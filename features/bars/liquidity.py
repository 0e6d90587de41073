"""Compiled column functions of the families flow and liquidity."""

import math

import numpy as np
from numba import njit

from features.bars.mapped import mapped
from features.bars.ops import Op
from features.maths import exp, log

CORWIN_SCHULTZ_K = 3.0 - 2.0 * math.sqrt(2.0)


@njit(error_model="numpy", forceinline=True)
def taker_delta(volume: float, bought: float) -> float:
    """Volume that takers bought less what they sold."""
    return 2.0 * bought - volume


@njit(error_model="numpy", forceinline=True)
def price_deviation(log_close: float, volume: float, quote_volume: float, scale: float, factor: float) -> float:
    """ln of close over volume-weighted average price, per scale · factor; 0 where nothing traded or nothing moved."""
    known = volume > 0.0 and quote_volume > 0.0 and scale > 0.0
    return (log_close - log(quote_volume / volume if known else 1.0)) / (scale * factor) if known else 0.0


@njit(error_model="numpy", forceinline=True)
def illiquidity(log_return: float, quote_volume: float) -> float:
    """|r| / Q, 0 when Q = 0 (Amihud 2002)."""
    return abs(log_return) / quote_volume if quote_volume > 0.0 else 0.0


@njit(error_model="numpy", forceinline=True)
def positive(x: float) -> float:
    """1 where x > 0, else 0."""
    return 1.0 if x > 0.0 else 0.0


@njit(error_model="numpy", forceinline=True)
def corwin_schultz(high: float, low: float, last_high: float, last_low: float) -> float:
    """Spread of two bars as a fraction of price from log prices, estimates below 0 set to 0 as the authors do."""
    span, last_span = high - low, last_high - last_low
    beta = span * span + last_span * last_span
    both = max(high, last_high) - min(low, last_low)
    alpha = (math.sqrt(2.0 * beta) - math.sqrt(beta)) / CORWIN_SCHULTZ_K - math.sqrt(both * both / CORWIN_SCHULTZ_K)
    shrink = exp(-max(alpha, 0.0))
    return 2.0 * (1.0 - shrink) / (1.0 + shrink)  # 2 (e^α - 1) / (1 + e^α), without overflow


@njit(error_model="numpy", forceinline=True)
def abdi_ranaldo(high: float, low: float, last_high: float, last_low: float, last_close: float) -> float:
    """(p[-1] - η[-1]) (p[-1] - η) of log prices, η the middle of the range (Abdi & Ranaldo 2017, equation 11)."""
    return (last_close - 0.5 * (last_high + last_low)) * (last_close - 0.5 * (high + low))


@njit(error_model="numpy", forceinline=True)
def spread(products: float, sigma: float, window: float) -> float:
    """√max(0, 4 mean) / σ; 0 where σ = 0."""
    return math.sqrt(max(4.0 * products / window, 0.0)) / sigma if sigma > 0.0 else 0.0


TAKER_DELTAS = mapped(2, taker_delta)
PRICE_DEVIATIONS = mapped(4, price_deviation)
ILLIQUIDITIES = mapped(2, illiquidity)
POSITIVES = mapped(1, positive)
CORWIN_SCHULTZ = mapped(4, corwin_schultz)
ABDI_RANALDO = mapped(5, abdi_ranaldo)
SPREADS = mapped(2, spread)


@njit(error_model="numpy")
def liquidity_column(op: int, m: np.ndarray, target: np.ndarray, d: int, n: int, plan: np.ndarray, i: int) -> None:
    """Run one instruction of this group."""
    if op == Op.TAKER_DELTA:
        TAKER_DELTAS(m, target, d, n, plan, i)
    elif op == Op.PRICE_DEVIATION:
        PRICE_DEVIATIONS(m, target, d, n, plan, i)
    elif op == Op.ILLIQUIDITY:
        ILLIQUIDITIES(m, target, d, n, plan, i)
    elif op == Op.POSITIVE:
        POSITIVES(m, target, d, n, plan, i)
    elif op == Op.CORWIN_SCHULTZ:
        CORWIN_SCHULTZ(m, target, d, n, plan, i)
    elif op == Op.ABDI_RANALDO:
        ABDI_RANALDO(m, target, d, n, plan, i)
    elif op == Op.SPREAD:
        SPREADS(m, target, d, n, plan, i)
