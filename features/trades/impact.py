"""Compiled step of the family impact; formulas in `features.trades.catalogue`."""

import math

import numpy as np
from numba import njit

from features.maths import log
from features.trades.layout import (
    BLOCKS,
    BUY_PRICES,
    CHANGES,
    FIRST_TERM,
    LONG,
    PROPAGATOR,
    RETURN_FLOW,
    RETURN_PAIRS,
    SELL_PRICES,
    SHORT,
    SQUARES,
    TERMS,
    Trade,
)
from features.trades.vpin import vpin_step
from features.windows import window_comoments, window_sum

BPS = 1e4
VARIANCE_FLOOR = 1e-14
"""Realised variance below which its logarithm stops falling: a thousandth of a basis point, so ln(0.001) = -6.9."""
LN_BPS = math.log(BPS)


@njit(error_model="numpy", forceinline=True)
def impact_step(
    trade: Trade, plan: np.ndarray, settings: np.ndarray, state: np.ndarray, row: np.ndarray, column: int
) -> int:
    """Write the family from `column` on; return the next free column."""
    short, n, slot, r = plan[SHORT], plan[LONG], trade.long_slot, trade.log_return
    row[column] = propagate(trade.sign, plan, settings, state)
    row[column + 1] = vwap_gap(trade, plan, state)
    change = window_sum(state, plan[BLOCKS + CHANGES], short, trade.short_slot, r)
    row[column + 2] = BPS * change / short
    squares = window_sum(state, plan[BLOCKS + SQUARES], n, slot, r * r)
    row[column + 3] = 0.5 * log(max(squares, VARIANCE_FLOOR)) + LN_BPS
    _, _, sxy, _ = window_comoments(state, plan[BLOCKS + RETURN_PAIRS], n, slot, r, trade.last_return)
    row[column + 4] = BPS * 2.0 * math.sqrt(max(-sxy / n, 0.0))
    flow = trade.sign * trade.qty
    _, sxx, sxy, _ = window_comoments(state, plan[BLOCKS + RETURN_FLOW], n, slot, flow, r)
    row[column + 5] = BPS * (sxy / math.sqrt(sxx)) / math.sqrt(n) if sxx > 0.0 else 0.0
    row[column + 6] = vpin_step(trade, plan, state)
    return column + 7


@njit(error_model="numpy", forceinline=True)
def propagate(sign: float, plan: np.ndarray, settings: np.ndarray, state: np.ndarray) -> float:
    """Mean of all signs of the stretch, each weighted by how much of its impact is left."""
    at, terms = plan[BLOCKS + PROPAGATOR], plan[TERMS]
    upper = 0.0
    lower = 0.0
    for i in range(terms):
        decay, weight = settings[FIRST_TERM + i], settings[FIRST_TERM + terms + i]
        state[at + i] = state[at + i] * decay + sign
        state[at + terms + i] = state[at + terms + i] * decay + 1.0
        upper += weight * state[at + i]
        lower += weight * state[at + terms + i]
    return upper / lower


@njit(error_model="numpy", forceinline=True)
def vwap_gap(trade: Trade, plan: np.ndarray, state: np.ndarray) -> float:
    """Average price paid by takers who bought minus that of those who sold, in basis points of the last price.

    Each average is taken as its distance from the plain mean price, Σ q (P - mean P) / Σ q: equal prices give exactly
    0, where the quotient Σ q P / Σ q would round.
    """
    n, slot = plan[LONG], trade.long_slot
    buy = trade.qty if trade.sign > 0.0 else 0.0
    _, _, bought, _ = window_comoments(state, plan[BLOCKS + BUY_PRICES], n, slot, buy, trade.price)
    _, _, sold, _ = window_comoments(state, plan[BLOCKS + SELL_PRICES], n, slot, trade.qty - buy, trade.price)
    if trade.long_bought > 0.0 and trade.long_sold > 0.0:
        return BPS * (bought / trade.long_bought - sold / trade.long_sold) / trade.price
    return 0.0
