"""The fill rules, each once: pure compiled functions of prices. docs/fills.md states them for users.

`side` is +1.0 for a long and -1.0 for a short position throughout; barriers that do not exist lie at ±inf.
"""

import numpy as np

from envs import lanes
from envs.compiled import inlined

GRID_TOLERANCE = 1e-6
"""A value this close to a whole step (in steps) is on it: 0.3 / 0.1 is 2.9999999999999996 in float64."""


@inlined
def market_price(mid: float, direction: float, half_spread: float) -> float:
    """Fill price of a market order against `mid`: buys (`direction` +1) pay the half-spread, sells (-1) give it."""
    return mid * (1.0 + direction * half_spread)


@inlined
def step_down(value: float, numerator: float, denominator: float) -> float:
    """Largest multiple of the step numerator/denominator not above `value`."""
    return np.floor(value * denominator / numerator + GRID_TOLERANCE) * numerator / denominator


@inlined
def step_up(value: float, numerator: float, denominator: float) -> float:
    """Smallest multiple of the step numerator/denominator not below `value`."""
    return np.ceil(value * denominator / numerator - GRID_TOLERANCE) * numerator / denominator


@inlined
def order_quantity(equity: float, fraction: float, price: float, terms: np.ndarray) -> float:
    """Base units to buy or sell short at `price` so that margin and entry fee fit into `fraction` of equity.

    notional / leverage + notional × taker fee <= fraction × equity, rounded down to the lot step; 0.0 (refused) when
    that leaves less than the minimum notional, or nothing.
    """
    notional = fraction * equity / (1.0 / terms[lanes.LEVERAGE] + terms[lanes.TAKER_FEE])
    quantity = step_down(notional / price, terms[lanes.LOT_NUMERATOR], terms[lanes.LOT_DENOMINATOR])
    if quantity > 0.0 and quantity * price >= terms[lanes.MIN_NOTIONAL]:
        return quantity
    return 0.0


@inlined
def bracket_levels(entry: float, side: float, tp_bps: float, sl_bps: float, terms: np.ndarray) -> tuple[float, float]:
    """(take-profit, stop-loss) prices around the fill price `entry`, both rounded to the tick away from it."""
    numerator, denominator = terms[lanes.TICK_NUMERATOR], terms[lanes.TICK_DENOMINATOR]
    above = entry * (1.0 + 1e-4 * (tp_bps if side > 0.0 else sl_bps))
    below = entry * (1.0 - 1e-4 * (sl_bps if side > 0.0 else tp_bps))
    above = step_up(above, numerator, denominator)
    below = step_down(below, numerator, denominator)
    if side > 0.0:
        return above, below
    return below, above


@inlined
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
        return lanes.BY_STOP_LOSS, (stop_loss if side * (open_ - stop_loss) > 0.0 else open_), through
    if through:
        return lanes.BY_TAKE_PROFIT, take_profit, False
    return lanes.NO_EXIT, open_, False
