"""The fill rules, each once: pure compiled functions of prices. docs/fills.md states them for users.

`side` is +1.0 for a long and -1.0 for a short position throughout; barriers that do not exist lie at ±inf.
"""

import numpy as np
from numba import njit

from envs.lanes import (
    LEVERAGE,
    LOT_DENOMINATOR,
    LOT_NUMERATOR,
    MIN_NOTIONAL,
    TAKER_FEE,
    TICK_DENOMINATOR,
    TICK_NUMERATOR,
    ExitReason,
)

GRID_TOLERANCE = 1e-6
"""A value this close to a whole step (in steps) is on it: 0.3 / 0.1 is 2.9999999999999996 in float64."""

NONE = int(ExitReason.NONE)
TAKE_PROFIT = int(ExitReason.TAKE_PROFIT)
STOP_LOSS = int(ExitReason.STOP_LOSS)

rule = njit(cache=True, error_model="numpy", forceinline=True)


@rule
def market_price(mid: float, direction: float, half_spread: float) -> float:
    """Fill price of a market order against `mid`: buys (`direction` +1) pay the half-spread, sells (-1) give it."""
    return mid * (1.0 + direction * half_spread)


@rule
def step_down(value: float, numerator: float, denominator: float) -> float:
    """Largest multiple of the step numerator/denominator not above `value`."""
    return np.floor(value * denominator / numerator + GRID_TOLERANCE) * numerator / denominator


@rule
def step_up(value: float, numerator: float, denominator: float) -> float:
    """Smallest multiple of the step numerator/denominator not below `value`."""
    return np.ceil(value * denominator / numerator - GRID_TOLERANCE) * numerator / denominator


@rule
def order_quantity(equity: float, fraction: float, price: float, terms: np.ndarray) -> float:
    """Base units to buy or sell short at `price` so that margin and entry fee fit into `fraction` of equity.

    notional / leverage + notional × taker fee <= fraction × equity, rounded down to the lot step; 0.0 (refused) when
    that leaves less than the minimum notional, or nothing.
    """
    notional = fraction * equity / (1.0 / terms[LEVERAGE] + terms[TAKER_FEE])
    quantity = step_down(notional / price, terms[LOT_NUMERATOR], terms[LOT_DENOMINATOR])
    if quantity > 0.0 and quantity * price >= terms[MIN_NOTIONAL]:
        return quantity
    return 0.0


@rule
def bracket_levels(entry: float, side: float, tp_bps: float, sl_bps: float, terms: np.ndarray) -> tuple[float, float]:
    """(take-profit, stop-loss) prices around the fill price `entry`, both rounded to the tick away from it."""
    numerator, denominator = terms[TICK_NUMERATOR], terms[TICK_DENOMINATOR]
    above = entry * (1.0 + 1e-4 * (tp_bps if side > 0.0 else sl_bps))
    below = entry * (1.0 - 1e-4 * (sl_bps if side > 0.0 else tp_bps))
    above = step_up(above, numerator, denominator)
    below = step_down(below, numerator, denominator)
    if side > 0.0:
        return above, below
    return below, above


@rule
def bracket_exit(
    side: float, open_: float, high: float, low: float, take_profit: float, stop_loss: float
) -> tuple[int, float, bool]:
    """What a stretch of trading from `open_` within [low, high] does to a bracket: (reason, price, both touched).

    The stop triggers when touched and is priced at its level, or at the open where that already lies beyond it. The
    take-profit needs a price strictly through it and is filled at its level, never better. When both would go, the
    stop does. `price` is before the half-spread. A single price, as at a bar's open, is the stretch (p, p, p).
    """
    adverse, favourable = (low, high) if side > 0.0 else (high, low)
    through = side * (favourable - take_profit) > 0.0
    if side * (adverse - stop_loss) <= 0.0:
        return STOP_LOSS, (stop_loss if side * (open_ - stop_loss) > 0.0 else open_), through
    if through:
        return TAKE_PROFIT, take_profit, False
    return NONE, open_, False
