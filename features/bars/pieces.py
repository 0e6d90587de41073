"""Compiled column functions of single bars and of their neighbours: ranges, directions, signs, flows, shares."""

import math

import numpy as np
from numba import njit

from features.bars.instruction import constants, inputs
from features.bars.ops import Op
from features.compiled import FORMULA
from features.maths import log, normal_cdf

PACK = 1_048_576.0
"""Counts of rises and of falls travel in one number, the falls in units of this: one window sum makes both."""

ROUNDING = 1e-14
"""Relative difference of two means of three prices that may come from the order of their rounding alone."""


@njit(**FORMULA)
def add_scaled(x: float, y: float, factor: float) -> float:
    return x + factor * y


@njit(**FORMULA)
def shifted(x: float, by: float) -> float:
    return x + by


@njit(**FORMULA)
def minimum(x: float, y: float) -> float:
    return min(x, y)


@njit(**FORMULA)
def median(x: float, y: float, z: float) -> float:
    return max(min(x, y), min(max(x, y), z))


@njit(**FORMULA)
def mean_of_three(x: float, y: float, z: float) -> float:
    return (x + y + z) / 3.0


@njit(**FORMULA)
def sign(x: float) -> float:
    return (1.0 if x > 0.0 else 0.0) - (1.0 if x < 0.0 else 0.0)


@njit(**FORMULA)
def excess(x: float, y: float) -> float:
    return max(x - y, 0.0)


@njit(**FORMULA)
def signed_root(x: float) -> float:
    """± √|x|."""
    root = math.sqrt(abs(x))
    return root if x > 0.0 else -root


@njit(**FORMULA)
def signed_by(x: float, y: float) -> float:
    """x with the sign of y; 0 where y is 0."""
    return sign(y) * x


@njit(**FORMULA)
def money_flow(price: float, last_price: float, volume: float) -> float:
    """Price times volume with the sign of the price's change; none for a change that is only rounding."""
    change = price - last_price
    return sign(change) * price * volume if abs(change) > ROUNDING * price else 0.0


@njit(**FORMULA)
def true_range(high: float, low: float, last_close: float) -> float:
    return max(high, last_close) - min(low, last_close)


@njit(**FORMULA)
def directional(high: float, low: float, last_high: float, last_low: float) -> float:
    """Wilder's directional movement: how far the bar went beyond the last one, on its farther side; > 0 upwards."""
    up, down = high - last_high, last_low - low
    return (up if up > down and up > 0.0 else 0.0) - (down if down > up and down > 0.0 else 0.0)


@njit(**FORMULA)
def position(x: float, top: float, bottom: float) -> float:
    """Place of x between bottom, -1, and top, 1; 0 when they are equal."""
    return (2.0 * x - top - bottom) / (top - bottom) if top > bottom else 0.0


@njit(**FORMULA)
def choppiness(path: float, top: float, bottom: float, weight: float) -> float:
    """weight · ln(path / (top - bottom)); 0 when these are equal."""
    moved = top > bottom and path > 0.0
    return weight * log(path / (top - bottom) if moved else 1.0)


@njit(**FORMULA)
def rise_or_fall(r: float) -> float:
    """One rise, one fall or nothing, packed."""
    return (1.0 if r > 0.0 else 0.0) + (PACK if r < 0.0 else 0.0)


@njit(**FORMULA)
def rises_less_falls(counts: float, weight: float) -> float:
    falls = np.floor(counts / PACK)
    return weight * (counts - falls * (PACK + 1.0))


@njit(**FORMULA)
def neither(counts: float, window: float) -> float:
    """Share of the window that is neither a rise nor a fall."""
    falls = np.floor(counts / PACK)
    return (window - (counts - falls * (PACK - 1.0))) / window


@njit(**FORMULA)
def order_of_three(x: float, y: float, z: float) -> float:
    """Number, 0 to 5, of the order of three values, x the oldest; of equals the earlier counts as lower."""
    return (3.0 if y < x else 0.0) + (1.0 if z < x else 0.0) + (1.0 if z < y else 0.0)


@njit(**FORMULA)
def bulk(z: float) -> float:
    """Bought less sold share of the volume, 2 Φ(z) - 1 (Easley, López de Prado & O'Hara 2012)."""
    return 2.0 * normal_cdf(z) - 1.0


@njit(**FORMULA)
def price_gap(
    bought: float, bought_quote: float, sold: float, sold_quote: float, bound: float, scale: float, factor: float
) -> float:
    """ln(buyers' over sellers' mean price), within the bound, / (scale · factor); 0 when a side is missing."""
    known = bought > 0.0 and bought_quote > 0.0 and sold > 0.0 and sold_quote > 0.0 and scale > 0.0
    gap = log((bought_quote / bought) * (sold / sold_quote) if known else 1.0)
    return min(bound, max(-bound, gap)) / (scale * factor) if known else 0.0


@njit(**FORMULA)
def own_balance(x: float, total: float, count: float, present: float) -> float:
    """balance(x, total / count) where x is present, else 0."""
    both = x * count + total
    return (x * count - total) / both if present > 0.0 and both > 0.0 else 0.0


@njit(**FORMULA)
def piece_column(op: int, m: np.ndarray, target: np.ndarray, d: int, n: int, plan: np.ndarray, i: int) -> None:
    """Run one instruction of this group."""
    to, rows = np.uint64(d), np.uint64(n)
    a, b, c, e, f, g = inputs(plan, i)
    k0 = constants(m, plan, i)[0]
    if op == Op.ADD_SCALED:
        for t in range(rows):
            target[to + t] = add_scaled(m[a + t], m[b + t], k0)
    elif op == Op.SHIFTED:
        for t in range(rows):
            target[to + t] = shifted(m[a + t], k0)
    elif op == Op.MINIMUM:
        for t in range(rows):
            target[to + t] = minimum(m[a + t], m[b + t])
    elif op == Op.MEDIAN:
        for t in range(rows):
            target[to + t] = median(m[a + t], m[b + t], m[c + t])
    elif op == Op.MEAN_OF_THREE:
        for t in range(rows):
            target[to + t] = mean_of_three(m[a + t], m[b + t], m[c + t])
    elif op == Op.SIGN:
        for t in range(rows):
            target[to + t] = sign(m[a + t])
    elif op == Op.EXCESS:
        for t in range(rows):
            target[to + t] = excess(m[a + t], m[b + t])
    elif op == Op.SIGNED_ROOT:
        for t in range(rows):
            target[to + t] = signed_root(m[a + t])
    elif op == Op.SIGNED_BY:
        for t in range(rows):
            target[to + t] = signed_by(m[a + t], m[b + t])
    elif op == Op.MONEY_FLOW:
        for t in range(rows):
            target[to + t] = money_flow(m[a + t], m[b + t], m[c + t])
    elif op == Op.TRUE_RANGE:
        for t in range(rows):
            target[to + t] = true_range(m[a + t], m[b + t], m[c + t])
    elif op == Op.DIRECTIONAL:
        for t in range(rows):
            target[to + t] = directional(m[a + t], m[b + t], m[c + t], m[e + t])
    elif op == Op.POSITION:
        for t in range(rows):
            target[to + t] = position(m[a + t], m[b + t], m[c + t])
    elif op == Op.CHOPPINESS:
        for t in range(rows):
            target[to + t] = choppiness(m[a + t], m[b + t], m[c + t], k0)
    elif op == Op.RISE_OR_FALL:
        for t in range(rows):
            target[to + t] = rise_or_fall(m[a + t])
    elif op == Op.RISES_LESS_FALLS:
        for t in range(rows):
            target[to + t] = rises_less_falls(m[a + t], k0)
    elif op == Op.NEITHER:
        for t in range(rows):
            target[to + t] = neither(m[a + t], k0)
    elif op == Op.ORDER_OF_THREE:
        for t in range(rows):
            target[to + t] = order_of_three(m[a + t], m[b + t], m[c + t])
    elif op == Op.BULK:
        for t in range(rows):
            target[to + t] = bulk(m[a + t])
    elif op == Op.PRICE_GAP:
        for t in range(rows):
            target[to + t] = price_gap(m[a + t], m[b + t], m[c + t], m[e + t], m[f + t], m[g + t], k0)
    elif op == Op.OWN_BALANCE:
        for t in range(rows):
            target[to + t] = own_balance(m[a + t], m[b + t], m[c + t], m[e + t])
