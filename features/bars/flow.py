"""Compiled steps of the families flow and activity; formulas in `features.bars.catalogue`."""

import math

import numpy as np
from numba import njit

from features.bars.layout import (
    BLOCKS,
    DELTA,
    DELTA_SQUARED,
    FAST_DELTA,
    FAST_SPAN,
    FAST_VOLUME,
    LONG,
    SHORT,
    SHORT_DELTA,
    SHORT_DELTA_SQUARED,
    SLOW_DELTA,
    SLOW_SPAN,
    SLOW_VOLUME,
    TRADE_SIZE_MOMENTS,
    TRADES_MOMENTS,
    VOLUME_MOMENTS,
    Bar,
)
from features.bars.price import log_close_before, zscore
from features.windows import window_sum

NO_VOLUME = 1e-200
"""Average volume below which a market counts as having stood still: keeps the ratio of two fading averages exact."""


@njit(error_model="numpy", forceinline=True)
def flow_step(bar: Bar, plan: np.ndarray, state: np.ndarray, row: np.ndarray, column: int) -> int:
    """Write the family from `column` on; return the next free column."""
    volume = bar.volume
    delta = 2.0 * bar.taker_buy_volume - volume
    row[column] = delta / volume if volume > 0.0 else 0.0
    row[column + 1] = fading_ratio(state, FAST_DELTA, FAST_VOLUME, plan[FAST_SPAN], delta, volume)
    row[column + 2] = fading_ratio(state, SLOW_DELTA, SLOW_VOLUME, plan[SLOW_SPAN], delta, volume)
    short, slot = plan[SHORT], bar.short_slot
    net = window_sum(state, plan[BLOCKS + SHORT_DELTA], short, slot, delta)
    squares = window_sum(state, plan[BLOCKS + SHORT_DELTA_SQUARED], short, slot, delta * delta)
    row[column + 3] = standardised(net, squares)
    long, slot = plan[LONG], bar.long_slot
    net = window_sum(state, plan[BLOCKS + DELTA], long, slot, delta)
    squares = window_sum(state, plan[BLOCKS + DELTA_SQUARED], long, slot, delta * delta)
    row[column + 4] = standardised(net, squares)
    move = bar.log_close - log_close_before(bar, plan, state, short)
    row[column + 5] = row[column + 3] - standardised(move, bar.short_squares)
    return column + 6


@njit(error_model="numpy", forceinline=True)
def standardised(total: float, squares: float) -> float:
    """A sum over the root of its summands' squares: mean 0 and variance 1 for independent symmetric summands."""
    return total / math.sqrt(squares) if squares > 0.0 else 0.0


@njit(error_model="numpy", forceinline=True)
def fading_ratio(state: np.ndarray, upper: int, lower: int, span: int, delta: float, volume: float) -> float:
    """Volume-weighted exponential average of the taker imbalance.

    Both averages start from 0 with the same weights, so that the ratio needs no start-up correction.
    """
    weight = 2.0 / (span + 1)
    state[upper] += weight * (delta - state[upper])
    state[lower] += weight * (volume - state[lower])
    if state[lower] < NO_VOLUME:
        state[upper] = 0.0
        state[lower] = 0.0
        return 0.0
    return state[upper] / state[lower]


@njit(error_model="numpy", forceinline=True)
def activity_step(bar: Bar, plan: np.ndarray, state: np.ndarray, row: np.ndarray, column: int) -> int:
    """Write the family from `column` on; return the next free column."""
    n, slot = plan[LONG], bar.long_slot
    size = bar.volume / bar.trades if bar.trades > 0.0 else 0.0
    row[column] = zscore(state, plan[BLOCKS + VOLUME_MOMENTS], n, slot, bar.volume)
    row[column + 1] = zscore(state, plan[BLOCKS + TRADES_MOMENTS], n, slot, bar.trades)
    row[column + 2] = zscore(state, plan[BLOCKS + TRADE_SIZE_MOMENTS], n, slot, size)
    return column + 3
