"""What a market order and a bracket do, each rule once: pure compiled functions of prices. docs/fills.md states them.

The simulator (`envs`) fills by these functions and the labels (`features.labels`) are computed by them, so that a label
is what the market would have paid.

`side` is +1.0 for a long and -1.0 for a short position throughout; barriers that do not exist lie at ±inf. Steps come
as fractions (0.01 as 1 / 100): n × 1 / 100 is the float64 nearest to the decimal price, the same one that a parsed bar
holds, so "touched" and "traded through" are exact comparisons. The step 0 / 1 rounds nothing.
"""

import numpy as np
from numba import njit

from features.vectors import ceil, floor, select

NO_EXIT, BY_TAKE_PROFIT, BY_STOP_LOSS = range(3)

GRID_TOLERANCE = 1e-6
"""A value this close to a whole step (in steps) is on it: 0.3 / 0.1 is 2.9999999999999996 in float64."""

# Entries of the costs that `bracket_outcomes` takes, float64.
HALF_SPREAD, MAKER_FEE, TAKER_FEE, TICK_NUMERATOR, TICK_DENOMINATOR = range(5)


@njit(error_model="numpy", forceinline=True)
def market_price(mid: float, direction: float, half_spread: float) -> float:
    """Fill price of a market order against `mid`: buys (`direction` +1) pay the half-spread, sells (-1) give it."""
    return mid * (1.0 + direction * half_spread)


@njit(error_model="numpy", forceinline=True)
def step_down(value: float, numerator: float, denominator: float) -> float:
    """Largest multiple of the step numerator/denominator not above `value`."""
    if numerator == 0.0:
        return value
    return floor(value * (denominator / numerator) + GRID_TOLERANCE) * numerator / denominator


@njit(error_model="numpy", forceinline=True)
def step_up(value: float, numerator: float, denominator: float) -> float:
    """Smallest multiple of the step numerator/denominator not below `value`."""
    if numerator == 0.0:
        return value
    return ceil(value * (denominator / numerator) - GRID_TOLERANCE) * numerator / denominator


@njit(error_model="numpy", forceinline=True)
def bracket_levels(
    entry: float, side: float, tp_bps: float, sl_bps: float, tick_numerator: float, tick_denominator: float
) -> tuple[float, float]:
    """(take-profit, stop-loss) prices around the fill price `entry`, both rounded to the tick away from it."""
    long = side > 0.0
    above = step_up(entry * (1.0 + 1e-4 * select(long, tp_bps, sl_bps)), tick_numerator, tick_denominator)
    below = step_down(entry * (1.0 - 1e-4 * select(long, sl_bps, tp_bps)), tick_numerator, tick_denominator)
    return select(long, above, below), select(long, below, above)


@njit(error_model="numpy", forceinline=True)
def bracket_exit(
    side: float, open_: float, high: float, low: float, take_profit: float, stop_loss: float
) -> tuple[int, float, bool]:
    """What a stretch of trading from `open_` within [low, high] does to a bracket: (reason, price, both touched).

    The stop triggers when touched and is priced at its level, or at the open where that already lies beyond it. The
    take-profit needs a price strictly through it and is filled at its level, never better. When both would go, the
    stop does. `price` is before the half-spread. A single price, as at a bar's open, is the stretch (p, p, p).
    """
    long = side > 0.0
    adverse, favourable = select(long, low, high), select(long, high, low)
    through = side * (favourable - take_profit) > 0.0
    stopped = side * (adverse - stop_loss) <= 0.0
    at_stop = select(side * (open_ - stop_loss) > 0.0, stop_loss, open_)
    reason = select(stopped, BY_STOP_LOSS, select(through, BY_TAKE_PROFIT, NO_EXIT))
    return reason, select(stopped, at_stop, select(through, take_profit, open_)), stopped & through


@njit(cache=True, nogil=True, error_model="numpy")
def bracket_outcomes(
    prices: np.ndarray,
    sides: np.ndarray,
    tp_bps: np.ndarray,
    sl_bps: np.ndarray,
    costs: np.ndarray,
    valid: np.ndarray,
    t1: np.ndarray,
    until: np.ndarray,
    values: np.ndarray,
    outcome: np.ndarray,
    ambiguous: np.ndarray,
) -> None:
    """Follow one bracket per valid row t, entered by market order at the open of bar t + 1, to its end.

    prices   float64 (3, T) open, high, low; sides, tp_bps, sl_bps float64 (T,); costs float64 (5,), HALF_SPREAD ...
    valid    bool (T,)
    t1       int64 (T,) holds the time-out's row on entry and the exit's row on return
    until    int64 (T,) t1 where the exit was at that bar's open, t1 + 1 where it was inside
    values, outcome, ambiguous  float64, int8, bool (T,), as in `features.labels.BarrierLabels`; written where valid

    It lives beside the rules because numba's cache only notices edits of the file that an entry point stands in.
    (What `features.vectors` does is arithmetic, not a rule: after an edit there, delete the cache.)
    """
    half_spread, maker, taker = costs[HALF_SPREAD], costs[MAKER_FEE], costs[TAKER_FEE]
    for t in range(len(valid)):
        if not valid[t]:
            continue
        side = sides[t]
        k = t + 1
        entry = market_price(prices[0, k], side, half_spread)
        take_profit, stop_loss = bracket_levels(
            entry, side, tp_bps[t], sl_bps[t], costs[TICK_NUMERATOR], costs[TICK_DENOMINATOR]
        )
        reason, mid, both = bracket_exit(side, prices[0, k], prices[1, k], prices[2, k], take_profit, stop_loss)
        at_open = False
        while reason == NO_EXIT:
            k += 1
            open_ = prices[0, k]
            reason, mid, _ = bracket_exit(side, open_, open_, open_, take_profit, stop_loss)
            at_open = reason != NO_EXIT or k == t1[t]
            if at_open:
                break
            reason, mid, both = bracket_exit(side, open_, prices[1, k], prices[2, k], take_profit, stop_loss)
        exit_price, fee = mid, maker
        if reason != BY_TAKE_PROFIT:
            exit_price, fee = market_price(mid, -side, half_spread), taker
        values[t] = 1e4 * (side * (exit_price - entry) - taker * entry - fee * exit_price) / entry
        outcome[t] = 1 if reason == BY_TAKE_PROFIT else (-1 if reason == BY_STOP_LOSS else 0)
        ambiguous[t] = both
        t1[t] = k
        until[t] = k if at_open else k + 1
