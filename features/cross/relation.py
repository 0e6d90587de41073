"""Compiled steps of the families leader flow and relation; formulas in `features.cross.catalogue`."""

import math

import numpy as np
from numba import njit

from features.cross.layout import (
    BLOCKS,
    FLOW_IMPACT,
    LEADER_VOLUME,
    LONG,
    RATIO,
    SHORT,
    SHORT_DELTA,
    SHORT_LEADER_DELTA,
    SHORT_LEADER_VOLUME,
    SHORT_VOLUME,
    VOLUME,
    Pair,
)
from features.ratios import balance, correlation
from features.windows import window_comoments, window_moments, window_sum


@njit(error_model="numpy", forceinline=True)
def share(part: float, whole: float) -> float:
    """part / whole of volumes, 0 when nothing traded."""
    return part / whole if whole > 0.0 else 0.0


@njit(error_model="numpy", forceinline=True)
def flow_step(pair: Pair, plan: np.ndarray, state: np.ndarray, row: np.ndarray, column: int) -> int:
    """Write the family leader flow from `column` on; return the next free column."""
    n, slot = plan[SHORT], pair.short_slot
    volume = window_sum(state, plan[BLOCKS + SHORT_VOLUME], n, slot, pair.volume)
    delta = window_sum(state, plan[BLOCKS + SHORT_DELTA], n, slot, pair.delta)
    leader_volume = window_sum(state, plan[BLOCKS + SHORT_LEADER_VOLUME], n, slot, pair.leader_volume)
    leader_delta = window_sum(state, plan[BLOCKS + SHORT_LEADER_DELTA], n, slot, pair.leader_delta)
    row[column] = share(pair.leader_delta, pair.leader_volume)
    row[column + 1] = share(leader_delta, leader_volume)
    row[column + 2] = share(delta, volume) - share(leader_delta, leader_volume)
    _, sxx, sxy, syy = window_comoments(
        state, plan[BLOCKS + FLOW_IMPACT], plan[LONG], pair.long_slot, pair.leader_delta, pair.log_return
    )
    row[column + 3] = correlation(sxx, sxy, syy)
    return column + 4


@njit(error_model="numpy", forceinline=True)
def relation_step(pair: Pair, plan: np.ndarray, state: np.ndarray, row: np.ndarray, column: int) -> int:
    """Write the family relation from `column` on; return the next free column."""
    n, slot = plan[LONG], pair.long_slot
    volume = window_sum(state, plan[BLOCKS + VOLUME], n, slot, pair.volume)
    leader_volume = window_sum(state, plan[BLOCKS + LEADER_VOLUME], n, slot, pair.leader_volume)
    row[column] = balance(share(pair.volume, volume), share(pair.leader_volume, leader_volume))
    row[column + 1] = balance(pair.squares, pair.leader_squares)
    ratio = pair.log_close - pair.leader_log_close
    deviation, ss = window_moments(state, plan[BLOCKS + RATIO], n, slot, ratio)
    row[column + 2] = deviation / math.sqrt(ss / (n - 1)) if ss > 0.0 else 0.0
    return column + 3
