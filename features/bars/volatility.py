"""Compiled steps of the families volatility and dependence; formulas in `features.bars.catalogue`."""

import math

import numpy as np
from numba import njit

from features.bars.layout import (
    AGGREGATED_MOMENTS,
    AGGREGATION,
    BIPOWER,
    BLOCKS,
    GARMAN_KLASS,
    LONG,
    PARKINSON,
    RETURN_PAIRS,
    ROGERS_SATCHELL,
    SHORT,
    SIGNED_SQUARED,
    Bar,
)
from features.bars.price import log_close_before
from features.windows import window_comoments, window_moments, window_sum

VARIANCE_FLOOR = 1e-14
"""Per-bar variance below which a log volatility stops falling: a thousandth of a basis point, so ln(0.001) = -6.9."""
FOUR_LN_2 = 4.0 * math.log(2.0)
GARMAN_KLASS_WEIGHT = 2.0 * math.log(2.0) - 1.0


@njit(error_model="numpy", forceinline=True)
def balance(a: float, b: float) -> float:
    """(a - b) / (a + b) = tanh(½ ln(a / b)) for a, b >= 0: a log ratio that stays in [-1, 1]; 0 when both are 0."""
    total = a + b
    return (a - b) / total if total > 0.0 else 0.0


@njit(error_model="numpy", forceinline=True)
def log_bps(variance: float) -> float:
    """Log of the volatility in basis points, floored at `VARIANCE_FLOOR`."""
    return 0.5 * math.log(max(variance, VARIANCE_FLOOR)) + math.log(1e4)


@njit(error_model="numpy", forceinline=True)
def volatility_step(bar: Bar, plan: np.ndarray, state: np.ndarray, row: np.ndarray, column: int) -> int:
    """Write the family from `column` on; return the next free column."""
    long, slot = plan[LONG], bar.long_slot
    r = bar.log_return
    span = bar.log_high - bar.log_low
    body = bar.log_close - bar.log_open
    overlap = (bar.log_high - bar.log_close) * (bar.log_high - bar.log_open) + (bar.log_low - bar.log_close) * (
        bar.log_low - bar.log_open
    )
    gk = 0.5 * span * span - GARMAN_KLASS_WEIGHT * body * body
    signed = r * r if r > 0.0 else -r * r

    products = window_sum(state, plan[BLOCKS + BIPOWER], long, slot, abs(r * bar.last_return))
    signed_squares = window_sum(state, plan[BLOCKS + SIGNED_SQUARED], long, slot, signed)
    parkinson = window_sum(state, plan[BLOCKS + PARKINSON], long, slot, span * span / FOUR_LN_2) / long
    garman_klass = window_sum(state, plan[BLOCKS + GARMAN_KLASS], long, slot, gk) / long
    rogers_satchell = window_sum(state, plan[BLOCKS + ROGERS_SATCHELL], long, slot, overlap) / long

    realised = bar.squares / long
    bipower = 0.5 * math.pi * products / long
    row[column] = log_bps(realised)
    row[column + 1] = log_bps(bipower)
    row[column + 2] = max(0.0, 1.0 - bipower / realised) if realised > 0.0 else 0.0
    row[column + 3] = signed_squares / bar.squares if bar.squares > 0.0 else 0.0
    row[column + 4] = balance(parkinson, realised)
    row[column + 5] = balance(garman_klass, realised)
    row[column + 6] = balance(rogers_satchell, realised)
    row[column + 7] = balance(bar.short_squares / plan[SHORT], realised)
    return column + 8


@njit(error_model="numpy", forceinline=True)
def dependence_step(bar: Bar, plan: np.ndarray, state: np.ndarray, row: np.ndarray, column: int) -> int:
    """Write variance ratio and autocorrelation from `column` on; return the next free column."""
    n, q = plan[LONG], plan[AGGREGATION]
    mean, sxx, sxy, syy = window_comoments(
        state, plan[BLOCKS + RETURN_PAIRS], n, bar.long_slot, bar.log_return, bar.last_return
    )
    # The overlapping q-bar returns inside the window are n - q + 1; Lo & MacKinlay's divisor makes the ratio unbiased.
    m = n - q + 1
    change = bar.log_close - log_close_before(bar, plan, state, q)
    deviation, q_ss = window_moments(state, plan[BLOCKS + AGGREGATED_MOMENTS], m, bar.seen % m, change)
    off = change - deviation - q * mean
    q_variance = (q_ss + m * off * off) / (q * m * (1.0 - q / n))
    variance = sxx / (n - 1)
    row[column] = q_variance / variance - 1.0 if variance > 0.0 else 0.0
    row[column + 1] = correlation(sxx, sxy, syy)
    return column + 2


@njit(error_model="numpy", forceinline=True)
def correlation(sxx: float, sxy: float, syy: float) -> float:
    """Pearson correlation from centred sums, held inside [-1, 1]; 0 when either side is constant."""
    scale = math.sqrt(sxx) * math.sqrt(syy)
    return min(1.0, max(-1.0, sxy / scale)) if scale > 0.0 else 0.0
