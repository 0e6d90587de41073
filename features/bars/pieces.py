"""Compiled column functions of single bars and of their neighbours: ranges, directions, signs, flows, shares."""

import math

import numpy as np
from numba import njit

from features.bars.mapped import mapped
from features.bars.ops import Op
from features.maths import log, normal_cdf

PACK = 1_048_576.0
"""Counts of rises and of falls travel in one number, the falls in units of this: one window sum makes both."""


@njit(error_model="numpy", forceinline=True)
def add_scaled(x: float, y: float, factor: float) -> float:
    return x + factor * y


@njit(error_model="numpy", forceinline=True)
def shifted(x: float, by: float) -> float:
    return x + by


@njit(error_model="numpy", forceinline=True)
def minimum(x: float, y: float) -> float:
    return min(x, y)


@njit(error_model="numpy", forceinline=True)
def median(x: float, y: float, z: float) -> float:
    return max(min(x, y), min(max(x, y), z))


@njit(error_model="numpy", forceinline=True)
def mean_of_three(x: float, y: float, z: float) -> float:
    return (x + y + z) / 3.0


@njit(error_model="numpy", forceinline=True)
def sign(x: float) -> float:
    return (1.0 if x > 0.0 else 0.0) - (1.0 if x < 0.0 else 0.0)


@njit(error_model="numpy", forceinline=True)
def excess(x: float, y: float) -> float:
    return max(x - y, 0.0)


@njit(error_model="numpy", forceinline=True)
def signed_root(x: float) -> float:
    """± √|x|."""
    root = math.sqrt(abs(x))
    return root if x > 0.0 else -root


@njit(error_model="numpy", forceinline=True)
def signed_by(x: float, y: float) -> float:
    """x with the sign of y; 0 where y is 0."""
    return sign(y) * x


@njit(error_model="numpy", forceinline=True)
def true_range(high: float, low: float, last_close: float) -> float:
    return max(high, last_close) - min(low, last_close)


@njit(error_model="numpy", forceinline=True)
def directional(high: float, low: float, last_high: float, last_low: float) -> float:
    """Wilder's directional movement: how far the bar went beyond the last one, on its farther side; > 0 upwards."""
    up, down = high - last_high, last_low - low
    return (up if up > down and up > 0.0 else 0.0) - (down if down > up and down > 0.0 else 0.0)


@njit(error_model="numpy", forceinline=True)
def position(x: float, top: float, bottom: float) -> float:
    """Place of x between bottom, -1, and top, 1; 0 when they are equal."""
    return (2.0 * x - top - bottom) / (top - bottom) if top > bottom else 0.0


@njit(error_model="numpy", forceinline=True)
def choppiness(path: float, top: float, bottom: float, weight: float) -> float:
    """weight · ln(path / (top - bottom)); 0 when these are equal."""
    moved = top > bottom and path > 0.0
    return weight * log(path / (top - bottom) if moved else 1.0)


@njit(error_model="numpy", forceinline=True)
def rise_or_fall(r: float) -> float:
    """One rise, one fall or nothing, packed."""
    return (1.0 if r > 0.0 else 0.0) + (PACK if r < 0.0 else 0.0)


@njit(error_model="numpy", forceinline=True)
def rises_less_falls(counts: float, weight: float) -> float:
    falls = np.floor(counts / PACK)
    return weight * (counts - falls * (PACK + 1.0))


@njit(error_model="numpy", forceinline=True)
def neither(counts: float, window: float) -> float:
    """Share of the window that is neither a rise nor a fall."""
    falls = np.floor(counts / PACK)
    return (window - (counts - falls * (PACK - 1.0))) / window


@njit(error_model="numpy", forceinline=True)
def order_of_three(x: float, y: float, z: float) -> float:
    """Number, 0 to 5, of the order of three values, x the oldest; of equals the earlier counts as lower."""
    return (3.0 if y < x else 0.0) + (1.0 if z < x else 0.0) + (1.0 if z < y else 0.0)


@njit(error_model="numpy", forceinline=True)
def bulk(z: float) -> float:
    """Bought less sold share of the volume, 2 Φ(z) - 1 (Easley, López de Prado & O'Hara 2012)."""
    return 2.0 * normal_cdf(z) - 1.0


@njit(error_model="numpy", forceinline=True)
def price_gap(
    bought: float, bought_quote: float, sold: float, sold_quote: float, bound: float, scale: float, factor: float
) -> float:
    """ln(buyers' over sellers' mean price), within the bound, / (scale · factor); 0 when a side is missing."""
    known = bought > 0.0 and bought_quote > 0.0 and sold > 0.0 and sold_quote > 0.0 and scale > 0.0
    gap = log((bought_quote / bought) * (sold / sold_quote) if known else 1.0)
    return min(bound, max(-bound, gap)) / (scale * factor) if known else 0.0


@njit(error_model="numpy", forceinline=True)
def own_balance(x: float, total: float, count: float, present: float) -> float:
    """balance(x, total / count) where x is present, else 0."""
    both = x * count + total
    return (x * count - total) / both if present > 0.0 and both > 0.0 else 0.0


ADD_SCALED = mapped(2, add_scaled)
SHIFTED = mapped(1, shifted)
MINIMA = mapped(2, minimum)
MEDIANS = mapped(3, median)
MEANS_OF_THREE = mapped(3, mean_of_three)
SIGNS = mapped(1, sign)
EXCESSES = mapped(2, excess)
SIGNED_ROOTS = mapped(1, signed_root)
SIGNED_BY = mapped(2, signed_by)
TRUE_RANGES = mapped(3, true_range)
DIRECTIONAL = mapped(4, directional)
POSITIONS = mapped(3, position)
CHOPPINESSES = mapped(3, choppiness)
RISES_OR_FALLS = mapped(1, rise_or_fall)
RISES_LESS_FALLS = mapped(1, rises_less_falls)
NEITHER = mapped(1, neither)
ORDERS_OF_THREE = mapped(3, order_of_three)
BULKS = mapped(1, bulk)
PRICE_GAPS = mapped(6, price_gap)
OWN_BALANCES = mapped(4, own_balance)


@njit(error_model="numpy")
def piece_column(op: int, m: np.ndarray, target: np.ndarray, d: int, n: int, plan: np.ndarray, i: int) -> None:
    """Run one instruction of this group."""
    if op == Op.ADD_SCALED:
        ADD_SCALED(m, target, d, n, plan, i)
    elif op == Op.SHIFTED:
        SHIFTED(m, target, d, n, plan, i)
    elif op == Op.MINIMUM:
        MINIMA(m, target, d, n, plan, i)
    elif op == Op.MEDIAN:
        MEDIANS(m, target, d, n, plan, i)
    elif op == Op.MEAN_OF_THREE:
        MEANS_OF_THREE(m, target, d, n, plan, i)
    elif op == Op.SIGN:
        SIGNS(m, target, d, n, plan, i)
    elif op == Op.EXCESS:
        EXCESSES(m, target, d, n, plan, i)
    elif op == Op.SIGNED_ROOT:
        SIGNED_ROOTS(m, target, d, n, plan, i)
    elif op == Op.SIGNED_BY:
        SIGNED_BY(m, target, d, n, plan, i)
    elif op == Op.TRUE_RANGE:
        TRUE_RANGES(m, target, d, n, plan, i)
    elif op == Op.DIRECTIONAL:
        DIRECTIONAL(m, target, d, n, plan, i)
    elif op == Op.POSITION:
        POSITIONS(m, target, d, n, plan, i)
    elif op == Op.CHOPPINESS:
        CHOPPINESSES(m, target, d, n, plan, i)
    elif op == Op.RISE_OR_FALL:
        RISES_OR_FALLS(m, target, d, n, plan, i)
    elif op == Op.RISES_LESS_FALLS:
        RISES_LESS_FALLS(m, target, d, n, plan, i)
    elif op == Op.NEITHER:
        NEITHER(m, target, d, n, plan, i)
    elif op == Op.ORDER_OF_THREE:
        ORDERS_OF_THREE(m, target, d, n, plan, i)
    elif op == Op.BULK:
        BULKS(m, target, d, n, plan, i)
    elif op == Op.PRICE_GAP:
        PRICE_GAPS(m, target, d, n, plan, i)
    elif op == Op.OWN_BALANCE:
        OWN_BALANCES(m, target, d, n, plan, i)
