"""One side of a book, best level first: taken from the input, and compared with what it was."""

import math

import numpy as np
from numba import njit

from features.book.catalogue import LEVELS
from features.quotes.touch import side_stands

UNORDERED = -1
"""Returned by `take_side` for levels that are not in order, or a negative quantity."""


@njit(error_model="numpy", forceinline=True)
def take_side(
    columns: np.ndarray, t: int, first: int, sign: float, scratch: np.ndarray, prices: int, sizes: int
) -> int:
    """Copy a side's levels into the ladders at `prices` and `sizes`, empty ones left out; return how many there are.

    `first` is the row in `columns` of its best price; `sign` +1 for asks, -1 for bids: prices times `sign` rise with
    the level. What is beyond the last level is written as an infinitely bad price with quantity 0.
    """
    count = 0
    last = -math.inf
    for level in range(LEVELS):
        price, size = columns[first + 2 * level, t], columns[first + 2 * level + 1, t]
        if size < 0.0:
            return UNORDERED
        if side_stands(price, size):
            if sign * price <= last:
                return UNORDERED
            last = sign * price
            scratch[prices + count] = price
            scratch[sizes + count] = size
            count += 1
    for level in range(count, LEVELS):
        scratch[prices + level] = sign * math.inf
        scratch[sizes + level] = 0.0
    return count


@njit(error_model="numpy", forceinline=True)
def visible_to(ladder: np.ndarray, prices: int, sign: float) -> float:
    """The worst price, times `sign`, that the ladder shows: that of its last level, or any if it ends before."""
    return sign * ladder[prices + LEVELS - 1]


@njit(error_model="numpy", forceinline=True)
def size_changes(
    state: np.ndarray, old_prices: int, old_sizes: int, now: np.ndarray, prices: int, sizes: int, sign: float
) -> tuple[float, float]:
    """(quantity added, quantity removed) on one side between the ladder in `state` and the one in `now`.

    Only at prices that both could show: a level that slid out of the ten, or into them, has not changed.
    """
    added = 0.0
    removed = 0.0
    reach = min(visible_to(state, old_prices, sign), visible_to(now, prices, sign))
    i = 0
    j = 0
    while i < LEVELS or j < LEVELS:
        old = sign * state[old_prices + i] if i < LEVELS else math.inf
        new = sign * now[prices + j] if j < LEVELS else math.inf
        if min(old, new) > reach or math.isinf(min(old, new)):
            break
        change = 0.0
        if old <= new:
            change -= state[old_sizes + i]
            i += 1
        if new <= old:
            change += now[sizes + j]
            j += 1
        added += max(change, 0.0)
        removed += max(-change, 0.0)
    return added, removed
