"""Compiled steps of the families order flow and queues; formulas in `features.book.catalogue`."""

import math

import numpy as np
from numba import njit

from features.book.catalogue import FLOW_LEVELS, LEVELS
from features.book.component import component_step
from features.book.ladder import size_changes
from features.book.layout import (
    ASK_ADDED,
    ASK_PRICES,
    ASK_REMOVED,
    ASK_SIZES,
    BID_ADDED,
    BID_PRICES,
    BID_REMOVED,
    BID_SIZES,
    BLOCKS,
    COMPONENT,
    COMPONENT_DECAY,
    FLOWS,
    LAST_DEVIATION,
    LOADINGS,
    LONG,
    MEAN_SIZE,
    PRODUCTS_BELOW,
    QUEUE_MOMENTS,
    SHORT,
    SQUARES_BELOW,
    Book,
)
from features.maths import log
from features.quotes.touch import ask_flow, bid_flow, ratio
from features.ratios import balance
from features.windows import window_moments, window_sum

LN2 = math.log(2.0)


@njit(error_model="numpy", forceinline=True)
def level_flow(book: Book, state: np.ndarray, scratch: np.ndarray, level: int) -> float:
    """Order flow imbalance of one level, 0 in the first book of a stretch."""
    if book.seen == 0:
        return 0.0
    now, last = book.at + level, book.last + level
    bids = bid_flow(
        scratch[now + BID_PRICES], scratch[now + BID_SIZES], state[last + BID_PRICES], state[last + BID_SIZES]
    )
    asks = ask_flow(
        scratch[now + ASK_PRICES], scratch[now + ASK_SIZES], state[last + ASK_PRICES], state[last + ASK_SIZES]
    )
    return bids - asks


@njit(error_model="numpy", forceinline=True)
def flow_step(
    book: Book,
    plan: np.ndarray,
    settings: np.ndarray,
    state: np.ndarray,
    scratch: np.ndarray,
    row: np.ndarray,
    column: int,
) -> int:
    """Write the family from `column` on; return the next free column."""
    short, long = plan[SHORT], plan[LONG]
    total = 0.0
    for level in range(LEVELS):
        total += scratch[book.at + BID_SIZES + level] + scratch[book.at + ASK_SIZES + level]
    mean_size = window_sum(state, plan[BLOCKS + MEAN_SIZE], long, book.long_slot, 0.5 * total / LEVELS) / long
    component = plan[BLOCKS + COMPONENT]
    flows = np.empty(LEVELS)
    whole = 0.0
    for level in range(LEVELS):
        flow = level_flow(book, state, scratch, level)
        flows[level] = ratio(window_sum(state, plan[BLOCKS + FLOWS + level], short, book.short_slot, flow), mean_size)
        whole += flows[level]
        if level < FLOW_LEVELS:
            row[column + level] = flows[level]
    # A window that ends a block holds a bucket of its own; before `long` books its scale is not the mean yet.
    if book.short_slot == short - 1 and book.seen >= long:
        component_step(state, component, settings[COMPONENT_DECAY], flows)
    integrated = 0.0
    for level in range(LEVELS):
        integrated += state[component + LOADINGS + level] * flows[level]
    row[column + FLOW_LEVELS] = whole
    row[column + FLOW_LEVELS + 1] = integrated
    return column + FLOW_LEVELS + 2


@njit(error_model="numpy", forceinline=True)
def queues_step(
    book: Book, plan: np.ndarray, state: np.ndarray, scratch: np.ndarray, row: np.ndarray, column: int
) -> int:
    """Write the family from `column` on; return the next free column."""
    short, slot, now, last = plan[SHORT], book.short_slot, book.at, book.last
    bid_added, bid_removed, ask_added, ask_removed = 0.0, 0.0, 0.0, 0.0
    if book.seen > 0:
        bid_added, bid_removed = size_changes(
            state, last + BID_PRICES, last + BID_SIZES, scratch, now + BID_PRICES, now + BID_SIZES, -1.0
        )
        ask_added, ask_removed = size_changes(
            state, last + ASK_PRICES, last + ASK_SIZES, scratch, now + ASK_PRICES, now + ASK_SIZES, 1.0
        )
    bid_added = window_sum(state, plan[BLOCKS + BID_ADDED], short, slot, bid_added)
    ask_added = window_sum(state, plan[BLOCKS + ASK_ADDED], short, slot, ask_added)
    bid_removed = window_sum(state, plan[BLOCKS + BID_REMOVED], short, slot, bid_removed)
    ask_removed = window_sum(state, plan[BLOCKS + ASK_REMOVED], short, slot, ask_removed)
    row[column] = balance(bid_added, ask_added)
    row[column + 1] = balance(bid_removed, ask_removed)
    row[column + 2] = balance(bid_added, bid_removed)
    row[column + 3] = balance(ask_added, ask_removed)
    row[column + 4] = resilience(book, plan, state, 0, state[last + BID_SIZES], scratch[now + BID_SIZES])
    row[column + 5] = resilience(book, plan, state, 1, state[last + ASK_SIZES], scratch[now + ASK_SIZES])
    return column + 6


@njit(error_model="numpy", forceinline=True)
def resilience(book: Book, plan: np.ndarray, state: np.ndarray, side: int, last_queue: float, queue: float) -> float:
    """Half-life in updates of a best queue that lies below its mean, between 0 and the window."""
    n, slot, block = plan[LONG], book.long_slot, BLOCKS + side
    before = min(state[LAST_DEVIATION + side], 0.0)
    after = before + (queue - last_queue) if before < 0.0 else 0.0
    product = window_sum(state, plan[block + PRODUCTS_BELOW], n, slot, before * after)
    square = window_sum(state, plan[block + SQUARES_BELOW], n, slot, before * before)
    state[LAST_DEVIATION + side], _ = window_moments(state, plan[block + QUEUE_MOMENTS], n, slot, queue)
    stays = ratio(product, square)
    if stays <= 0.0:
        return 0.0
    fading = -log(stays)
    return min(LN2 / fading, float(n)) if fading > 0.0 else float(n)
