"""Compiled column functions of EDGE, the spread estimator of Ardia, Guidotti & Kroencke (2024), from window sums.

With u = η - o, v = o - c[-1] and w = c[-1] - η[-1] (η the middle of the range, all logs) the paper's products are
combinations of A = (u - ū) v, B = (u - ū) w and C = (v - v̄) w, where ū and v̄ are means over the bars that moved. So
the means and variances that it weighs follow from sums of the products of u, v and w up to the fourth order.
"""

import math

import numpy as np
from numba import njit

from features.bars.instruction import constants, inputs
from features.bars.ops import Op
from features.compiled import FORMULA

PACK = 65_536.0
"""Three counts travel in one number, in units of 1, this and its square: one window sum makes all of them."""


@njit(**FORMULA)
def middle_gap(opened: float, high: float, low: float) -> float:
    """u: middle of the range less the open."""
    return 0.5 * (high + low) - opened


@njit(**FORMULA)
def last_lean(high: float, low: float, last_close: float, last_high: float, last_low: float) -> float:
    """w: last close less the middle of its bar, 0 for a bar that did not move."""
    return last_close - 0.5 * (last_high + last_low) if high != low or low != last_close else 0.0


@njit(**FORMULA)
def edge_counts(opened: float, high: float, low: float, last_close: float, last_high: float, last_low: float) -> float:
    """Packed: whether the bar moved; at how many of its ends it did not open; at how many the last did not close."""
    opens = (1.0 if opened != high else 0.0) + (1.0 if opened != low else 0.0)
    closes = (1.0 if last_close != last_high else 0.0) + (1.0 if last_close != last_low else 0.0)
    return 1.0 + PACK * (opens + PACK * closes) if high != low or low != last_close else 0.0


@njit(**FORMULA)
def moved(counts: float) -> float:
    rest = np.floor(counts / PACK)
    return counts - rest * PACK


@njit(**FORMULA)
def opens(counts: float) -> float:
    rest = np.floor(counts / PACK)
    return rest - np.floor(rest / PACK) * PACK


@njit(**FORMULA)
def closes(counts: float) -> float:
    return np.floor(counts / (PACK * PACK))


@njit(**FORMULA)
def mean_of_moved(total: float, counts: float) -> float:
    """ū: mean over the bars that moved; 0 when none did."""
    return total / moved(counts) if counts > 0.0 else 0.0


@njit(**FORMULA)
def edge_mean(xy: float, y: float, mean: float, n: float) -> float:
    """Mean of (x - x̄) y."""
    return (xy - mean * y) / n


@njit(**FORMULA)
def edge_square(xxyz: float, xyz: float, yz: float, mean: float, n: float) -> float:
    """Mean of (x - x̄)² y z."""
    return (xxyz - 2.0 * mean * xyz + mean * mean * yz) / n


@njit(**FORMULA)
def edge_cross(uvx: float, ux: float, vx: float, x: float, u_mean: float, v_mean: float, n: float) -> float:
    """Mean of (u - ū) (v - v̄) x."""
    return (uvx - v_mean * ux - u_mean * vx + u_mean * v_mean * x) / n


@njit(**FORMULA)
def inverse(count: float, n: float) -> float:
    return n / count if count > 0.0 else 0.0


@njit(**FORMULA)
def edge_second(a: float, c: float, counts: float, n: float) -> float:
    """The paper's E[x2]."""
    return -4.0 * (inverse(opens(counts), n) * a + inverse(closes(counts), n) * c)


@njit(**FORMULA)
def edge_first(second: float, b: float, counts: float, n: float) -> float:
    """The paper's E[x1]."""
    return second - 4.0 * (inverse(opens(counts), n) + inverse(closes(counts), n)) * b


@njit(**FORMULA)
def edge_second_square(aa: float, cc: float, ac: float, counts: float, n: float) -> float:
    """The paper's E[x2²]."""
    k, j = inverse(opens(counts), n), inverse(closes(counts), n)
    return 16.0 * (k * k * aa + j * j * cc + 2.0 * k * j * ac)


@njit(**FORMULA)
def edge_first_square(second_square: float, bb: float, ab: float, bc: float, counts: float, n: float) -> float:
    """The paper's E[x1²]."""
    k, j = inverse(opens(counts), n), inverse(closes(counts), n)
    return second_square + 16.0 * (k + j) * ((k + j) * bb + 2.0 * (k * ab + j * bc))


@njit(**FORMULA)
def edge(first: float, second: float, first_square: float, second_square: float, counts: float, scale: float) -> float:
    """Spread with the sign of its square, over the scale; 0 where the paper leaves it undefined."""
    v1, v2 = first_square - first * first, second_square - second * second
    total = v1 + v2
    square = (v2 * first + v1 * second) / total if total > 0.0 else 0.5 * (first + second)
    known = moved(counts) >= 2.0 and opens(counts) > 0.0 and closes(counts) > 0.0 and scale > 0.0
    spread = math.sqrt(abs(square)) / scale
    return (spread if square > 0.0 else -spread) if known else 0.0


@njit(**FORMULA)
def edge_column(op: int, m: np.ndarray, target: np.ndarray, d: int, n: int, plan: np.ndarray, i: int) -> None:
    """Run one instruction of this group."""
    to, rows = np.uint64(d), np.uint64(n)
    a, b, c, e, f, g = inputs(plan, i)
    k0 = constants(m, plan, i)[0]
    if op == Op.MIDDLE_GAP:
        for t in range(rows):
            target[to + t] = middle_gap(m[a + t], m[b + t], m[c + t])
    elif op == Op.LAST_LEAN:
        for t in range(rows):
            target[to + t] = last_lean(m[a + t], m[b + t], m[c + t], m[e + t], m[f + t])
    elif op == Op.EDGE_COUNTS:
        for t in range(rows):
            target[to + t] = edge_counts(m[a + t], m[b + t], m[c + t], m[e + t], m[f + t], m[g + t])
    elif op == Op.MEAN_OF_MOVED:
        for t in range(rows):
            target[to + t] = mean_of_moved(m[a + t], m[b + t])
    elif op == Op.EDGE_MEAN:
        for t in range(rows):
            target[to + t] = edge_mean(m[a + t], m[b + t], m[c + t], k0)
    elif op == Op.EDGE_SQUARE:
        for t in range(rows):
            target[to + t] = edge_square(m[a + t], m[b + t], m[c + t], m[e + t], k0)
    elif op == Op.EDGE_CROSS:
        for t in range(rows):
            target[to + t] = edge_cross(m[a + t], m[b + t], m[c + t], m[e + t], m[f + t], m[g + t], k0)
    elif op == Op.EDGE_SECOND:
        for t in range(rows):
            target[to + t] = edge_second(m[a + t], m[b + t], m[c + t], k0)
    elif op == Op.EDGE_FIRST:
        for t in range(rows):
            target[to + t] = edge_first(m[a + t], m[b + t], m[c + t], k0)
    elif op == Op.EDGE_SECOND_SQUARE:
        for t in range(rows):
            target[to + t] = edge_second_square(m[a + t], m[b + t], m[c + t], m[e + t], k0)
    elif op == Op.EDGE_FIRST_SQUARE:
        for t in range(rows):
            target[to + t] = edge_first_square(m[a + t], m[b + t], m[c + t], m[e + t], m[f + t], k0)
    elif op == Op.EDGE:
        for t in range(rows):
            target[to + t] = edge(m[a + t], m[b + t], m[c + t], m[e + t], m[f + t], m[g + t])
