"""Compiled step of the family timing; formulas in `features.trades.catalogue`."""

import math

import numpy as np
from numba import njit

from features.maths import exp, log
from features.ratios import balance
from features.trades.branching import branching_step
from features.trades.layout import (
    BLOCKS,
    BUY_EXCITEMENT,
    DURATION_MOMENTS,
    FAST,
    FAST_MS,
    HAWKES_BASE,
    HAWKES_CROSS,
    HAWKES_DECAY,
    HAWKES_SELF,
    LONG,
    SELL_EXCITEMENT,
    SLOW,
    SLOW_MS,
    Trade,
)
from features.windows import window_moments

CLOCK_MS = 1.0
"""Resolution of exchange time stamps: added to durations, so that 0 has a logarithm."""


@njit(error_model="numpy", forceinline=True)
def timing_step(
    trade: Trade, plan: np.ndarray, settings: np.ndarray, state: np.ndarray, row: np.ndarray, column: int
) -> int:
    """Write the family from `column` on; return the next free column. Runs after `flow_step`, whose sums it reads."""
    n, elapsed = plan[LONG], trade.elapsed_ms
    deviation, ss = window_moments(state, plan[BLOCKS + DURATION_MOMENTS], n, trade.long_slot, elapsed)
    mean = max(elapsed - deviation, 0.0)
    row[column] = log((elapsed + CLOCK_MS) / (mean + CLOCK_MS))
    row[column + 1] = balance(math.sqrt(ss / n), mean)
    row[column + 2] = rate_balance(plan, settings, state)
    column = hawkes_step(trade, settings, state, row, column + 3)
    return branching_step(trade, plan, state, row, column)


@njit(error_model="numpy", forceinline=True)
def rate_balance(plan: np.ndarray, settings: np.ndarray, state: np.ndarray) -> float:
    """Balance of the fast and the slow trade rate, each over the share of its weight that the stretch covers."""
    fast, slow = plan[BLOCKS + FAST], plan[BLOCKS + SLOW]
    if not state[slow + 4] > 0.0:
        return 0.0
    fast_rate = (state[fast + 2] + state[fast + 3]) / (settings[FAST_MS] * state[fast + 4])
    slow_rate = (state[slow + 2] + state[slow + 3]) / (settings[SLOW_MS] * state[slow + 4])
    return balance(fast_rate, slow_rate)


@njit(error_model="numpy", forceinline=True)
def hawkes_step(trade: Trade, settings: np.ndarray, state: np.ndarray, row: np.ndarray, column: int) -> int:
    """Write the intensities right after the trade from `column` on; return the next free column."""
    decay = exp(-settings[HAWKES_DECAY] * trade.elapsed_ms)
    is_buy = trade.sign > 0.0
    own, other = settings[HAWKES_SELF], settings[HAWKES_CROSS]
    state[BUY_EXCITEMENT] = state[BUY_EXCITEMENT] * decay + (own if is_buy else other)
    state[SELL_EXCITEMENT] = state[SELL_EXCITEMENT] * decay + (other if is_buy else own)
    base = settings[HAWKES_BASE]
    buy, sell = base + state[BUY_EXCITEMENT], base + state[SELL_EXCITEMENT]
    row[column] = log(buy / base)
    row[column + 1] = log(sell / base)
    row[column + 2] = balance(buy, sell)
    return column + 3
