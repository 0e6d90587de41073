"""Compiled steps of the families touch, depth and shape; formulas in `features.book.catalogue`."""

import math

import numpy as np
from numba import njit

from features.book.catalogue import DEPTHS, LEVELS
from features.book.layout import (
    ASK_PRICES,
    ASK_SIZES,
    BID_PRICES,
    BID_SIZES,
    BLOCKS,
    FIRST_NEAR,
    LOG_MID_RING,
    LONG,
    NEAR_DEPTHS,
    NEARS,
    SHORT,
    SQUARES,
    SWEEP_NOTIONAL,
    Book,
)
from features.maths import log
from features.quotes.touch import ratio
from features.ratios import balance
from features.windows import window_sum

LOG_LEVELS = math.log(LEVELS)


@njit(error_model="numpy", forceinline=True)
def touch_step(
    book: Book, plan: np.ndarray, state: np.ndarray, scratch: np.ndarray, row: np.ndarray, column: int
) -> int:
    """Write the family from `column` on; return the next free column."""
    n, size = plan[LONG], plan[SHORT] + 1
    ring, r = plan[BLOCKS + LOG_MID_RING], book.log_return
    state[ring + book.seen % size] = book.log_mid
    row[column] = 1e4 * (book.ask - book.bid) / book.mid
    row[column + 1] = balance(scratch[book.at + BID_SIZES], scratch[book.at + ASK_SIZES])
    row[column + 2] = 1e4 * (book.log_mid - state[ring + (book.seen + 1) % size])
    row[column + 3] = 1e4 * math.sqrt(window_sum(state, plan[BLOCKS + SQUARES], n, book.long_slot, r * r))
    return column + 4


@njit(error_model="numpy", forceinline=True)
def side_depth(scratch: np.ndarray, prices: int, sizes: int, mid: float, bps: float) -> float:
    """Quantity of the levels at most `bps` from the mid."""
    total = 0.0
    for level in range(LEVELS):
        if 1e4 * abs(scratch[prices + level] - mid) <= bps * mid:
            total += scratch[sizes + level]
    return total


@njit(error_model="numpy", forceinline=True)
def side_entropy(scratch: np.ndarray, sizes: int, levels: int) -> float:
    """Entropy of the quantities over its largest possible value."""
    total = 0.0
    for level in range(levels):
        total += scratch[sizes + level]
    entropy = 0.0
    for level in range(levels):
        share = scratch[sizes + level] / total
        if share > 0.0:  # a quantity 1e308 times smaller than the rest has none
            entropy -= share * log(share)
    return max(entropy, 0.0) / LOG_LEVELS


@njit(error_model="numpy", forceinline=True)
def wall_distance(scratch: np.ndarray, prices: int, sizes: int, levels: int, mid: float) -> float:
    """Distance of the largest level from the mid in bps, 0 for an empty side."""
    if levels == 0:
        return 0.0
    wall = 0
    for level in range(1, levels):
        if scratch[sizes + level] > scratch[sizes + wall]:
            wall = level
    return 1e4 * abs(scratch[prices + wall] - mid) / mid


@njit(error_model="numpy", forceinline=True)
def depth_step(
    book: Book,
    plan: np.ndarray,
    settings: np.ndarray,
    state: np.ndarray,
    scratch: np.ndarray,
    row: np.ndarray,
    column: int,
) -> int:
    """Write the family from `column` on; return the next free column."""
    bid_prices, bid_sizes = book.at + BID_PRICES, book.at + BID_SIZES
    ask_prices, ask_sizes = book.at + ASK_PRICES, book.at + ASK_SIZES
    bid_total = 0.0
    ask_total = 0.0
    level = 0
    for i in range(len(DEPTHS)):
        while level < DEPTHS[i]:
            bid_total += scratch[bid_sizes + level]
            ask_total += scratch[ask_sizes + level]
            level += 1
        row[column + i] = balance(bid_total, ask_total)
    column += len(DEPTHS)
    n, nears = plan[LONG], plan[NEARS]
    for i in range(nears):
        bid_near = side_depth(scratch, bid_prices, bid_sizes, book.mid, settings[FIRST_NEAR + i])
        ask_near = side_depth(scratch, ask_prices, ask_sizes, book.mid, settings[FIRST_NEAR + i])
        near = bid_near + ask_near
        at = plan[BLOCKS + NEAR_DEPTHS] + i * (n + 1)  # `sum_size(n)` floats each
        usual = window_sum(state, at, n, book.long_slot, near) / n
        row[column + i] = balance(bid_near, ask_near)
        row[column + nears + i] = balance(near, usual)
    column += 2 * nears
    row[column] = side_entropy(scratch, bid_sizes, book.bids)
    row[column + 1] = side_entropy(scratch, ask_sizes, book.asks)
    row[column + 2] = wall_distance(scratch, bid_prices, bid_sizes, book.bids, book.mid)
    row[column + 3] = wall_distance(scratch, ask_prices, ask_sizes, book.asks, book.mid)
    return column + 4


@njit(error_model="numpy", forceinline=True)
def slope_and_convexity(scratch: np.ndarray, prices: int, sizes: int, levels: int, mid: float) -> tuple[float, float]:
    """Least-squares slope per bps of the side's cumulated share on distance, and the share's bend; 0 for one level."""
    if levels < 2:
        return 0.0, 0.0
    total = 0.0
    for level in range(levels):
        total += scratch[sizes + level]
    # Distances are taken from the best level: they shift the line, not its slope, and lose no digits.
    best = scratch[prices]
    mean_x = 0.0
    mean_y = 0.0
    area = 0.0
    x = 0.0
    y = 0.0
    for level in range(levels):
        last_x, last_y = x, y
        x = 1e4 * abs(scratch[prices + level] - best) / mid
        y += scratch[sizes + level] / total
        mean_x += x / levels
        mean_y += y / levels
        if level > 0:
            area += 0.5 * (x - last_x) * (y + last_y)
    reach, first = x, scratch[sizes] / total
    sxx = 0.0
    sxy = 0.0
    y = 0.0
    for level in range(levels):
        dx = 1e4 * abs(scratch[prices + level] - best) / mid - mean_x
        y += scratch[sizes + level] / total
        sxx += dx * dx
        sxy += dx * (y - mean_y)
    rise = 1.0 - first
    bend = 2.0 * (area / reach - first) / rise - 1.0 if reach > 0.0 and rise > 0.0 else 0.0
    return ratio(sxy, sxx), min(max(bend, -1.0), 1.0)


@njit(error_model="numpy", forceinline=True)
def sweep_price(scratch: np.ndarray, prices: int, sizes: int, levels: int, touch: float, notional: float) -> float:
    """Average price of an order of `notional` (price times quantity) that takes the levels one after the other.

    What the visible levels lack is priced at the last of them (at `touch` when there is none): a lower bound.
    """
    left = notional
    quantity = 0.0
    worst = touch
    for level in range(levels):
        worst = scratch[prices + level]
        taken = min(left, worst * scratch[sizes + level])
        quantity += taken / worst
        left -= taken
        if not left > 0.0:
            break
    quantity += left / worst
    return notional / quantity


@njit(error_model="numpy", forceinline=True)
def shape_step(book: Book, settings: np.ndarray, scratch: np.ndarray, row: np.ndarray, column: int) -> int:
    """Write the family from `column` on; return the next free column."""
    bid_prices, bid_sizes = book.at + BID_PRICES, book.at + BID_SIZES
    ask_prices, ask_sizes = book.at + ASK_PRICES, book.at + ASK_SIZES
    row[column], row[column + 2] = slope_and_convexity(scratch, bid_prices, bid_sizes, book.bids, book.mid)
    row[column + 1], row[column + 3] = slope_and_convexity(scratch, ask_prices, ask_sizes, book.asks, book.mid)
    bought = sweep_price(scratch, ask_prices, ask_sizes, book.asks, book.ask, settings[SWEEP_NOTIONAL])
    sold = sweep_price(scratch, bid_prices, bid_sizes, book.bids, book.bid, settings[SWEEP_NOTIONAL])
    row[column + 4] = 1e4 * (bought - book.mid) / book.mid
    row[column + 5] = 1e4 * (book.mid - sold) / book.mid
    row[column + 6] = row[column + 4] - row[column + 5]
    return column + 7
