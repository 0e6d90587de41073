"""Compiled step of the family liquidity; formulas in `features.bars.catalogue`."""

import math

import numpy as np
from numba import njit

from features.bars.layout import (
    ABDI_RANALDO,
    BLOCKS,
    CORWIN_SCHULTZ,
    ILLIQUIDITY,
    ILLIQUIDITY_COUNT,
    LONG,
    QUOTE_SUM,
    RETURN_DELTA_PAIRS,
    SHORT,
    SHORT_ILLIQUIDITY,
    SHORT_ILLIQUIDITY_COUNT,
    VOLUME_SUM,
    Bar,
)
from features.bars.volatility import balance, correlation
from features.windows import window_comoments, window_sum

CORWIN_SCHULTZ_K = 3.0 - 2.0 * math.sqrt(2.0)


@njit(error_model="numpy", forceinline=True)
def liquidity_step(bar: Bar, plan: np.ndarray, state: np.ndarray, row: np.ndarray, column: int) -> int:
    """Write the family from `column` on; return the next free column."""
    sigma = bar.sigma
    short, long, slot = plan[SHORT], plan[LONG], bar.long_slot
    volume = window_sum(state, plan[BLOCKS + VOLUME_SUM], long, slot, bar.volume)
    quote = window_sum(state, plan[BLOCKS + QUOTE_SUM], long, slot, bar.quote_volume)
    row[column] = price_deviation(bar.log_close, bar.volume, bar.quote_volume, sigma)
    row[column + 1] = price_deviation(bar.log_close, volume, quote, sigma * math.sqrt(long))

    traded = 1.0 if bar.quote_volume > 0.0 else 0.0
    impact = abs(bar.log_return) / bar.quote_volume if traded > 0.0 else 0.0
    near = window_sum(state, plan[BLOCKS + SHORT_ILLIQUIDITY], short, bar.short_slot, impact)
    near_count = window_sum(state, plan[BLOCKS + SHORT_ILLIQUIDITY_COUNT], short, bar.short_slot, traded)
    far = window_sum(state, plan[BLOCKS + ILLIQUIDITY], long, slot, impact)
    far_count = window_sum(state, plan[BLOCKS + ILLIQUIDITY_COUNT], long, slot, traded)
    row[column + 2] = balance(
        near / near_count if near_count > 0.0 else 0.0, far / far_count if far_count > 0.0 else 0.0
    )

    spread = window_sum(state, plan[BLOCKS + CORWIN_SCHULTZ], long, slot, corwin_schultz(bar)) / long
    row[column + 3] = spread / sigma if sigma > 0.0 else 0.0

    last_middle = 0.5 * (bar.last_log_high + bar.last_log_low)
    middle = 0.5 * (bar.log_high + bar.log_low)
    product = (bar.last_log_close - last_middle) * (bar.last_log_close - middle)
    squared = 4.0 * window_sum(state, plan[BLOCKS + ABDI_RANALDO], long, slot, product) / long
    row[column + 4] = math.sqrt(max(squared, 0.0)) / sigma if sigma > 0.0 else 0.0

    delta = 2.0 * bar.taker_buy_volume - bar.volume
    _, sxx, sxy, syy = window_comoments(state, plan[BLOCKS + RETURN_DELTA_PAIRS], long, slot, delta, bar.log_return)
    # (cov / var δ) sd(δ) / sd(r) is the correlation: λ in units of one sd of return per one sd of signed volume.
    row[column + 5] = correlation(sxx, sxy, syy)
    return column + 6


@njit(error_model="numpy", forceinline=True)
def price_deviation(log_close: float, volume: float, quote_volume: float, scale: float) -> float:
    """ln of close over volume-weighted average price, per `scale`; 0 where nothing traded or nothing moved."""
    if volume > 0.0 and quote_volume > 0.0 and scale > 0.0:
        return (log_close - math.log(quote_volume / volume)) / scale
    return 0.0


@njit(error_model="numpy", forceinline=True)
def corwin_schultz(bar: Bar) -> float:
    """Spread of the last two bars as a fraction of price, estimates below 0 set to 0 as the authors do."""
    span = bar.log_high - bar.log_low
    last_span = bar.last_log_high - bar.last_log_low
    beta = span * span + last_span * last_span
    both = max(bar.log_high, bar.last_log_high) - min(bar.log_low, bar.last_log_low)
    alpha = (math.sqrt(2.0 * beta) - math.sqrt(beta)) / CORWIN_SCHULTZ_K - math.sqrt(both * both / CORWIN_SCHULTZ_K)
    if not alpha > 0.0:
        return 0.0
    shrink = math.exp(-alpha)
    return 2.0 * (1.0 - shrink) / (1.0 + shrink)  # 2 (e^α - 1) / (1 + e^α), without overflow
