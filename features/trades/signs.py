"""Compiled step of the family sign; formulas in `features.trades.catalogue`."""

import math

import numpy as np
from numba import njit

from features.maths import log
from features.ratios import balance, correlation
from features.trades.layout import (
    AGREEMENT,
    BLOCKS,
    DOWNS,
    FIRST_LAG,
    LAGGED,
    LAGS,
    LAST_TICK,
    LONG,
    SHORT,
    UPS,
    WORD,
    WORDS,
    Trade,
)
from features.windows import window_sum

LN_2 = math.log(2.0)


@njit(error_model="numpy", forceinline=True)
def sign_step(trade: Trade, plan: np.ndarray, state: np.ndarray, row: np.ndarray, column: int) -> int:
    """Write the family from `column` on; return the next free column."""
    short, slot = plan[SHORT], trade.short_slot
    if trade.change != 0.0:
        state[LAST_TICK] = 1.0 if trade.change > 0.0 else -1.0
    tick = state[LAST_TICK]
    row[column] = tick
    row[column + 1] = window_sum(state, plan[BLOCKS + AGREEMENT], short, slot, trade.sign * tick) / short
    ups = window_sum(state, plan[BLOCKS + UPS], short, slot, 1.0 if trade.change > 0.0 else 0.0)
    downs = window_sum(state, plan[BLOCKS + DOWNS], short, slot, 1.0 if trade.change < 0.0 else 0.0)
    row[column + 2] = balance(ups, downs)
    column = autocorrelation_step(trade, plan, state, row, column + 3)
    row[column] = word_entropy(trade, plan, state)
    return column + 1


@njit(error_model="numpy", forceinline=True)
def autocorrelation_step(trade: Trade, plan: np.ndarray, state: np.ndarray, row: np.ndarray, column: int) -> int:
    """Write corr(ε, ε[-k]) for each lag k from `column` on; return the next free column.

    Sums of signs are whole numbers, so every number here is exact up to the final division. Block: [for each lag the
    sums of ε ε[-k] and of ε[-k] | ring of as many signs as the largest lag].
    """
    n, slot = plan[LONG], trade.long_slot
    at, lags = plan[BLOCKS + LAGGED], plan[LAGS]
    size = n + 1
    ring = at + 2 * lags * size
    longest = plan[FIRST_LAG + lags - 1]
    signs = trade.long_signs
    for i in range(lags):
        lag = plan[FIRST_LAG + i]
        earlier = state[ring + (trade.seen - lag) % longest]
        products = window_sum(state, at + 2 * i * size, n, slot, trade.sign * earlier)
        lagged = window_sum(state, at + (2 * i + 1) * size, n, slot, earlier)
        row[column + i] = correlation(n * n - signs * signs, n * products - signs * lagged, n * n - lagged * lagged)
    state[ring + trade.seen % longest] = trade.sign
    return column + lags


@njit(error_model="numpy", forceinline=True)
def word_entropy(trade: Trade, plan: np.ndarray, state: np.ndarray) -> float:
    """Entropy of the words of signs in the window, in bits a sign: 1 for coin tosses, 0 for one side only.

    Block: [words in the order they came | how often each is in the window | the word in hand]. Counts are whole
    numbers: adding and subtracting them loses nothing.
    """
    n, letters = plan[LONG], plan[WORD]
    words = 1 << letters
    ring = plan[BLOCKS + WORDS]
    counts = ring + n
    slot = ring + trade.long_slot
    word = (2 * int(state[counts + words]) + (1 if trade.sign > 0.0 else 0)) % words
    if trade.seen >= n:
        state[counts + int(state[slot])] -= 1.0
    state[slot] = word
    state[counts + word] += 1.0
    state[counts + words] = word
    information = 0.0
    for i in range(counts, counts + words):
        if state[i] > 0.0:
            information += state[i] * log(state[i])
    return max(0.0, log(float(n)) - information / n) / (letters * LN_2)
