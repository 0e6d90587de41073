"""Compiled steps of the families returns, candle, trend and time; formulas in `features.bars.catalogue`."""

import math

import numpy as np
from numba import njit

from features.bars.layout import (
    BLOCKS,
    FIRST_HORIZON,
    HORIZONS,
    INTERVAL_MS,
    LOG_CLOSE_MOMENTS,
    LOG_CLOSE_RING,
    LONG,
    RING,
    Bar,
)
from features.windows import window_moments

DAY_MS = 86_400_000


@njit(error_model="numpy", forceinline=True)
def log_close_before(bar: Bar, plan: np.ndarray, state: np.ndarray, back: int) -> float:
    """ln C of `back` bars ago (1 <= back < ring size); 0 before the stretch began (a row of the warm-up)."""
    slot = bar.ring_slot - back
    return state[plan[BLOCKS + LOG_CLOSE_RING] + (slot if slot >= 0 else slot + plan[RING])]


@njit(error_model="numpy", forceinline=True)
def price_step(bar: Bar, plan: np.ndarray, state: np.ndarray, row: np.ndarray, column: int) -> int:
    """Write returns, candle and trend from `column` on; return the next free column."""
    sigma = bar.sigma
    for i in range(plan[HORIZONS]):
        back = plan[FIRST_HORIZON + i]
        change = bar.log_close - log_close_before(bar, plan, state, back)
        row[column + i] = change / (sigma * math.sqrt(back)) if sigma > 0.0 else 0.0
    column += plan[HORIZONS]
    span = bar.high - bar.low
    if span > 0.0:
        row[column] = (2.0 * bar.close - bar.high - bar.low) / span
        row[column + 1] = (bar.close - bar.open) / span
        row[column + 2] = (bar.high - max(bar.open, bar.close)) / span
        row[column + 3] = (min(bar.open, bar.close) - bar.low) / span
    else:
        row[column : column + 4] = 0.0
    row[column + 4] = (bar.log_high - bar.log_low) / sigma if sigma > 0.0 else 0.0
    row[column + 5] = zscore(state, plan[BLOCKS + LOG_CLOSE_MOMENTS], plan[LONG], bar.long_slot, bar.log_close)
    return column + 6


@njit(error_model="numpy", forceinline=True)
def zscore(state: np.ndarray, at: int, window: int, slot: int, value: float) -> float:
    """Take `value` into the window at `at`; return its distance from the mean in standard deviations (n - 1)."""
    deviation, ss = window_moments(state, at, window, slot, value)
    return deviation / math.sqrt(ss / (window - 1)) if ss > 0.0 else 0.0


@njit(error_model="numpy", forceinline=True)
def time_step(open_time_ms: int, plan: np.ndarray, row: np.ndarray, column: int) -> int:
    """Write sine and cosine of the close's time of day; return the next free column."""
    phase = 2.0 * math.pi * ((open_time_ms + plan[INTERVAL_MS]) % DAY_MS) / DAY_MS
    row[column] = math.sin(phase)
    row[column + 1] = math.cos(phase)
    return column + 2
