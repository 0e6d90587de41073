"""Compiled steps of the families spread, mid price and quote activity; formulas in `features.quotes.catalogue`."""

import math

import numpy as np
from numba import njit

from features.maths import log
from features.quotes.layout import (
    ABNORMAL,
    BLOCKS,
    CONSTANTS,
    DECAY_SIZE,
    DECAYING,
    FADING_MOVES,
    FADING_QUOTES,
    FADING_SQUARES,
    KEPT,
    LAST_MOVE,
    LAST_MOVE_SQUARED,
    LOG_MID_RING,
    LONG,
    MOVE_PRODUCT,
    MOVE_SQUARED,
    MOVED,
    SHORT,
    SINCE_MOVE,
    SPREAD_MOMENTS,
    SQUARES,
    WEIGHT,
    Quote,
)
from features.quotes.touch import ratio
from features.ratios import correlation
from features.windows import window_moments, window_sum


@njit(error_model="numpy", forceinline=True)
def spread_step(quote: Quote, plan: np.ndarray, state: np.ndarray, row: np.ndarray, column: int) -> int:
    """Write the family from `column` on; return the next free column."""
    n, slot = plan[LONG], quote.long_slot
    spread = 1e4 * (quote.ask - quote.bid) / quote.mid
    deviation, squares = window_moments(state, plan[BLOCKS + SPREAD_MOMENTS], n, slot, spread)
    whole = quote.bid < quote.ask and quote.bid_qty > 0.0 and quote.ask_qty > 0.0
    abnormal = 0.0 if whole else 1.0
    row[column] = spread
    row[column + 1] = deviation / math.sqrt(squares / (n - 1)) if squares > 0.0 else 0.0
    row[column + 2] = abnormal
    row[column + 3] = window_sum(state, plan[BLOCKS + ABNORMAL], n, slot, abnormal) / n
    return column + 4


@njit(error_model="numpy", forceinline=True)
def price_step(
    quote: Quote, plan: np.ndarray, settings: np.ndarray, state: np.ndarray, row: np.ndarray, column: int
) -> int:
    """Write the family from `column` on; return the next free column."""
    short, n, slot = plan[SHORT], plan[LONG], quote.long_slot
    r = quote.log_return
    ring, size = plan[BLOCKS + LOG_MID_RING], n + 1
    state[ring + quote.seen % size] = quote.log_mid
    row[column] = 1e4 * (quote.log_mid - state[ring + (quote.seen - short) % size])
    row[column + 1] = 1e4 * (quote.log_mid - state[ring + (quote.seen - n) % size])
    row[column + 2] = 1e4 * math.sqrt(window_sum(state, plan[BLOCKS + SQUARES], n, slot, r * r))
    for i in range(CONSTANTS):
        at = plan[BLOCKS + DECAYING] + i * DECAY_SIZE
        state[at + FADING_SQUARES] = state[at + FADING_SQUARES] * state[at + KEPT] + r * r
        seconds = 1e-3 * settings[i] * state[at + WEIGHT]
        row[column + 3 + i] = 1e4 * math.sqrt(ratio(state[at + FADING_SQUARES], seconds))
    before = state[LAST_MOVE] if r != 0.0 else 0.0
    product = window_sum(state, plan[BLOCKS + MOVE_PRODUCT], n, slot, r * before)
    squared = window_sum(state, plan[BLOCKS + MOVE_SQUARED], n, slot, r * r if before != 0.0 else 0.0)
    last_squared = window_sum(state, plan[BLOCKS + LAST_MOVE_SQUARED], n, slot, before * before)
    row[column + 5] = correlation(squared, product, last_squared)
    if r != 0.0:
        state[LAST_MOVE] = r
    row[column + 6] = np.sign(state[LAST_MOVE])
    return column + 7


@njit(error_model="numpy", forceinline=True)
def activity_step(
    quote: Quote, plan: np.ndarray, settings: np.ndarray, state: np.ndarray, row: np.ndarray, column: int
) -> int:
    """Write the family from `column` on; return the next free column."""
    moved = 1.0 if quote.log_return != 0.0 else 0.0
    came = 1.0 if quote.seen > 0 else 0.0  # the first quote of a stretch begins its time and is no arrival within it
    for i in range(CONSTANTS):
        at = plan[BLOCKS + DECAYING] + i * DECAY_SIZE
        state[at + FADING_QUOTES] = state[at + FADING_QUOTES] * state[at + KEPT] + came
        state[at + FADING_MOVES] = state[at + FADING_MOVES] * state[at + KEPT] + moved
        seconds = 1e-3 * settings[i] * state[at + WEIGHT]
        row[column + i] = ratio(state[at + FADING_QUOTES], seconds)
        row[column + CONSTANTS + i] = ratio(state[at + FADING_MOVES], seconds)
    row[column + 4] = window_sum(state, plan[BLOCKS + MOVED], plan[LONG], quote.long_slot, moved)
    state[SINCE_MOVE] = 0.0 if moved > 0.0 else state[SINCE_MOVE] + quote.elapsed_ms
    row[column + 5] = log(1.0 + state[SINCE_MOVE])
    return column + 6
