"""Compiled steps of the families flow and size; formulas in `features.trades.catalogue`."""

import numpy as np
from numba import njit

from features.maths import exp
from features.ratios import balance
from features.trades.layout import (
    BLOCKS,
    FAST,
    FAST_MS,
    LARGE_BUYS,
    LARGE_RANK,
    LARGE_SELLS,
    LONG,
    SHORT,
    SHORT_SIGNS,
    SIZE_MOMENTS,
    SIZES,
    SLOW,
    SLOW_MS,
    Trade,
)
from features.windows import window_moments, window_sum


@njit(error_model="numpy", forceinline=True)
def flow_step(
    trade: Trade, plan: np.ndarray, settings: np.ndarray, state: np.ndarray, row: np.ndarray, column: int
) -> int:
    """Write the family from `column` on; return the next free column."""
    row[column] = balance(trade.bought, trade.sold)
    short = plan[SHORT]
    row[column + 1] = window_sum(state, plan[BLOCKS + SHORT_SIGNS], short, trade.short_slot, trade.sign) / short
    row[column + 2] = balance(trade.long_bought, trade.long_sold)
    row[column + 3] = trade.long_signs / plan[LONG]
    column += 4
    for block, time_constant in ((FAST, FAST_MS), (SLOW, SLOW_MS)):
        at = plan[BLOCKS + block]
        fade(state, at, exp(-trade.elapsed_ms / settings[time_constant]), trade)
        row[column] = balance(state[at], state[at + 1])
        row[column + 1] = balance(state[at + 2], state[at + 3])
        column += 2
    return column


@njit(error_model="numpy", forceinline=True)
def fade(state: np.ndarray, at: int, decay: float, trade: Trade) -> None:
    """Take the trade into the exponential sums at `at`, all earlier ones weighted down by `decay`.

    The last number is 1 - e^(-age / τ): the share of the weight of all time that falls into the stretch so far.
    """
    for i in range(at, at + 4):
        state[i] *= decay
    side = at if trade.sign > 0.0 else at + 1
    state[side] += trade.qty
    state[side + 2] += 1.0
    state[at + 4] = 1.0 - (1.0 - state[at + 4]) * decay


@njit(error_model="numpy", forceinline=True)
def size_step(trade: Trade, plan: np.ndarray, state: np.ndarray, row: np.ndarray, column: int) -> int:
    """Write the family from `column` on; return the next free column."""
    short, slot = plan[SHORT], trade.short_slot
    is_large = take_size(state, plan[BLOCKS + SIZES], plan[LONG], trade.seen, plan[LARGE_RANK], trade.qty)
    large = trade.qty if is_large else 0.0
    buy = large if trade.sign > 0.0 else 0.0
    bought = window_sum(state, plan[BLOCKS + LARGE_BUYS], short, slot, buy)
    sold = window_sum(state, plan[BLOCKS + LARGE_SELLS], short, slot, large - buy)
    volume = trade.bought + trade.sold
    row[column] = min(1.0, (bought + sold) / volume) if volume > 0.0 else 0.0
    row[column + 1] = min(1.0, max(-1.0, (bought - sold) / volume)) if volume > 0.0 else 0.0
    n, total = plan[LONG], trade.long_bought + trade.long_sold
    _, ss = window_moments(state, plan[BLOCKS + SIZE_MOMENTS], n, trade.long_slot, trade.qty)
    # Σ q² = ss + (Σ q)² / n, so that (n H - 1) / (n - 1) needs no difference of nearly equal numbers.
    row[column + 2] = min(1.0, n / (n - 1.0) * (ss / total) / total) if total > 0.0 else 0.0
    return column + 3


@njit(error_model="numpy", forceinline=True)
def take_size(state: np.ndarray, at: int, window: int, seen: int, rank: int, qty: float) -> bool:
    """Whether `qty` exceeds the `rank`-th (from 0) smallest of the last `window` sizes; it then takes its place there.

    Block: [sizes in the order they came | the same, sorted]. False until the window is full.
    """
    ordered = at + window
    slot = at + seen % window
    if seen < window:
        is_large = False
        hole = ordered + seen
    else:
        is_large = qty > state[ordered + rank]
        hole = position(state, ordered, ordered + window, state[slot])
    state[slot] = qty
    while hole > ordered and state[hole - 1] > qty:
        state[hole] = state[hole - 1]
        hole -= 1
    last = ordered + min(seen, window - 1)
    while hole < last and state[hole + 1] < qty:
        state[hole] = state[hole + 1]
        hole += 1
    state[hole] = qty
    return is_large


@njit(error_model="numpy", forceinline=True)
def position(values: np.ndarray, start: int, stop: int, value: float) -> int:
    """First index in [start, stop) whose entry is not below `value`; the entries are sorted."""
    while start < stop:
        middle = (start + stop) // 2
        if values[middle] < value:
            start = middle + 1
        else:
            stop = middle
    return start
