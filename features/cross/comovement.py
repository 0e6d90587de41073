"""Compiled steps of the families of returns and co-movement; formulas in `features.cross.catalogue`."""

import math

import numpy as np
from numba import njit

from features.cross.layout import (
    BLOCKS,
    CLOSE_RING,
    FIRST_HORIZON,
    HORIZONS,
    LAGS,
    LEADER_RING,
    LEADS,
    LONG,
    RETURNS,
    RING,
    SHORT,
    SHORT_RETURNS,
    Pair,
)
from features.ratios import correlation
from features.windows import window_comoments


@njit(error_model="numpy", forceinline=True)
def comovement_step(pair: Pair, plan: np.ndarray, state: np.ndarray, row: np.ndarray, column: int) -> int:
    """Write leader returns, residual returns and co-movement from `column` on; return the next free column."""
    n, slot, r, lead = plan[LONG], pair.long_slot, pair.log_return, pair.leader_return
    _, sxx, sxy, syy = window_comoments(state, plan[BLOCKS + RETURNS], n, slot, lead, r)
    beta = sxy / sxx if sxx > 0.0 else 0.0
    column = return_step(pair, plan, state, beta, row, column)
    _, near_xx, near_xy, near_yy = window_comoments(
        state, plan[BLOCKS + SHORT_RETURNS], plan[SHORT], pair.short_slot, lead, r
    )
    row[column] = correlation(near_xx, near_xy, near_yy)
    row[column + 1] = correlation(sxx, sxy, syy)
    row[column + 2] = beta
    _, sxx, sxy, syy = window_comoments(state, plan[BLOCKS + LEADS], n, slot, pair.last_leader_return, r)
    leads = correlation(sxx, sxy, syy)
    _, sxx, sxy, syy = window_comoments(state, plan[BLOCKS + LAGS], n, slot, pair.last_return, lead)
    row[column + 3] = leads
    row[column + 4] = leads - correlation(sxx, sxy, syy)
    return column + 5


@njit(error_model="numpy", forceinline=True)
def return_step(pair: Pair, plan: np.ndarray, state: np.ndarray, beta: float, row: np.ndarray, column: int) -> int:
    """Write the leader's and the residual return of each horizon from `column` on; return the next free column."""
    closes, leader_closes = plan[BLOCKS + CLOSE_RING], plan[BLOCKS + LEADER_RING]
    state[closes + pair.ring_slot] = pair.log_close
    state[leader_closes + pair.ring_slot] = pair.leader_log_close
    sigma, leader_sigma = math.sqrt(pair.squares / plan[LONG]), math.sqrt(pair.leader_squares / plan[LONG])
    horizons, ring = plan[HORIZONS], plan[RING]
    for i in range(horizons):
        back = plan[FIRST_HORIZON + i]
        slot = (pair.ring_slot - back) % ring
        change = pair.log_close - state[closes + slot]
        leader_change = pair.leader_log_close - state[leader_closes + slot]
        root = math.sqrt(back)
        row[column + i] = leader_change / (leader_sigma * root) if leader_sigma > 0.0 else 0.0
        row[column + horizons + i] = (change - beta * leader_change) / (sigma * root) if sigma > 0.0 else 0.0
    return column + 2 * horizons
