"""Compiled steps of the families imbalance and order flow; formulas in `features.quotes.catalogue`."""

import numpy as np
from numba import njit

from features.maths import log
from features.quotes.layout import (
    BLOCKS,
    BUCKETS,
    CONSTANTS,
    DECAY_SIZE,
    DECAYING,
    FADING_FLOW,
    FADING_IMBALANCE,
    FLOW,
    KEPT,
    LAST_IMBALANCE,
    LONG,
    MICROPRICE,
    REFIT,
    SHORT,
    SHORT_DEPTH,
    SHORT_FLOW,
    SIZE_CHANGE,
    SIZE_CHANGES,
    SPREADS,
    Quote,
)
from features.quotes.microprice import microprice_step
from features.quotes.touch import ratio
from features.ratios import balance
from features.windows import window_sum

LARGEST_LOG_RATIO = 10.0
"""Quantities e^10 apart say as much as an empty side."""


@njit(error_model="numpy", forceinline=True)
def imbalance_step(quote: Quote, plan: np.ndarray, state: np.ndarray, row: np.ndarray, column: int) -> int:
    """Write the family from `column` on; return the next free column."""
    bid_qty, ask_qty, short = quote.bid_qty, quote.ask_qty, plan[SHORT]
    row[column] = quote.imbalance
    for i in range(CONSTANTS):
        at = plan[BLOCKS + DECAYING] + i * DECAY_SIZE
        stood = state[at + FADING_IMBALANCE]
        stood += (1.0 - state[at + KEPT]) * (state[LAST_IMBALANCE] - stood)
        state[at + FADING_IMBALANCE] = quote.imbalance if quote.seen == 0 else stood
        row[column + 1 + i] = state[at + FADING_IMBALANCE]
    row[column + 3] = size_log_ratio(bid_qty, ask_qty)
    bid_change = bid_qty - quote.last_bid_qty if quote.bid == quote.last_bid else 0.0
    ask_change = ask_qty - quote.last_ask_qty if quote.ask == quote.last_ask else 0.0
    net = window_sum(state, plan[BLOCKS + SIZE_CHANGE], short, quote.short_slot, bid_change - ask_change)
    changes = abs(bid_change) + abs(ask_change)
    row[column + 4] = ratio(net, window_sum(state, plan[BLOCKS + SIZE_CHANGES], short, quote.short_slot, changes))
    row[column + 5] = 5e3 * (quote.ask - quote.bid) * quote.imbalance / quote.mid
    adjustment = microprice_step(
        state,
        plan[BLOCKS + MICROPRICE],
        plan[BUCKETS],
        plan[SPREADS],
        quote.bid,
        bid_qty,
        quote.ask,
        ask_qty,
        (quote.seen + 1) % plan[REFIT] == 0,
    )
    row[column + 6] = 1e4 * adjustment / quote.mid
    return column + 7


@njit(error_model="numpy", forceinline=True)
def size_log_ratio(bid_qty: float, ask_qty: float) -> float:
    """ln(bid_qty / ask_qty), bounded; 0 when both sides are empty."""
    if bid_qty <= 0.0 or ask_qty <= 0.0:
        return LARGEST_LOG_RATIO * balance(bid_qty, ask_qty)
    return min(max(log(bid_qty) - log(ask_qty), -LARGEST_LOG_RATIO), LARGEST_LOG_RATIO)


@njit(error_model="numpy", forceinline=True)
def flow_step(quote: Quote, plan: np.ndarray, state: np.ndarray, row: np.ndarray, column: int) -> int:
    """Write the family from `column` on; return the next free column."""
    short, long, flow = plan[SHORT], plan[LONG], quote.flow
    row[column] = flow
    depth = 0.5 * (quote.bid_qty + quote.ask_qty)
    near = window_sum(state, plan[BLOCKS + SHORT_FLOW], short, quote.short_slot, flow)
    near_depth = window_sum(state, plan[BLOCKS + SHORT_DEPTH], short, quote.short_slot, depth) / short
    row[column + 1] = ratio(near, near_depth)
    far = window_sum(state, plan[BLOCKS + FLOW], long, quote.long_slot, flow)
    row[column + 2] = ratio(far, quote.mean_depth)
    for i in range(CONSTANTS):
        at = plan[BLOCKS + DECAYING] + i * DECAY_SIZE
        state[at + FADING_FLOW] = state[at + FADING_FLOW] * state[at + KEPT] + flow
        row[column + 3 + i] = ratio(state[at + FADING_FLOW], quote.mean_depth)
    return column + 5
