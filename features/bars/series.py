"""Compiled column functions that many features share: arithmetic, lags, fading averages, the usual statistics."""

import math

import numpy as np
from numba import njit

from features import ratios
from features.bars.instruction import CONSTANTS, INPUTS, STATE, constants, inputs
from features.bars.ops import Op
from features.columns import copy
from features.compiled import COLUMN, FORMULA
from features.maths import log

NO_VOLUME = 1e-200
"""Average volume below which a market counts as having stood still: keeps the ratio of two fading averages exact."""


@njit(**FORMULA)
def root_mean(sum_of_squares: float, count: float) -> float:
    return math.sqrt(sum_of_squares / count)


@njit(**FORMULA)
def ratio(x: float, y: float) -> float:
    """x / y; 0 where y is not above 0."""
    return x / y if y > 0.0 else 0.0


@njit(**FORMULA)
def zscore(deviation: float, scatter: float, window: float) -> float:
    """Distance from the mean in standard deviations (n - 1)."""
    return deviation / math.sqrt(scatter / (window - 1.0)) if scatter > 0.0 else 0.0


@njit(**FORMULA)
def standardised(total: float, squares: float) -> float:
    """A sum over the root of its summands' squares: mean 0 and variance 1 for independent symmetric summands."""
    return total / math.sqrt(squares) if squares > 0.0 else 0.0


@njit(**FORMULA)
def per_scale(x: float, scale: float, factor: float) -> float:
    """x / (scale · factor); 0 where the scale is 0."""
    return x / (scale * factor) if scale > 0.0 else 0.0


@njit(**COLUMN)
def lag(m: np.ndarray, target: np.ndarray, d: int, n: int, plan: np.ndarray, i: int, state: np.ndarray) -> None:
    """Rows of so many bars ago; the state holds the newest of them, oldest first."""
    rows, x, at = int(m[plan[i + CONSTANTS]]), plan[i + INPUTS], plan[i + STATE]
    kept = min(rows, n)
    copy(target, d, state, at, kept)
    copy(target, d + kept, m, x, n - kept)
    remember(m, x, n, state, at, rows)


@njit(**COLUMN)
def change(m: np.ndarray, target: np.ndarray, d: int, n: int, plan: np.ndarray, i: int, state: np.ndarray) -> None:
    """Rows less those of so many bars ago; state as for `lag`."""
    rows, x, at = int(m[plan[i + CONSTANTS]]), plan[i + INPUTS], plan[i + STATE]
    kept = min(rows, n)
    to, new, old = np.uint64(d), np.uint64(x), np.uint64(at)
    for t in range(np.uint64(kept)):
        target[to + t] = m[new + t] - state[old + t]
    later, shift = np.uint64(x + kept), np.uint64(d + kept)
    for t in range(np.uint64(n - kept)):
        target[shift + t] = m[later + t] - m[new + t]
    remember(m, x, n, state, at, rows)


@njit(**FORMULA)
def remember(m: np.ndarray, x: int, n: int, state: np.ndarray, at: int, rows: int) -> None:
    """Move the newest of the `n` rows of the column at `x` into the `rows` that the state holds."""
    kept = min(rows, n)
    copy(state, at, state, at + kept, rows - kept)
    copy(state, at + rows - kept, m, x + n - kept, kept)


@njit(**COLUMN)
def clock(target: np.ndarray, d: int, n: int, times: np.ndarray, start: int, offset_ms: int, period_ms: int) -> None:
    """UTC times moved by the offset, as the share of the period that has passed.

    In floats, which hold whole milliseconds exactly: integer division has no vector instruction.
    """
    to, first, offset, period = np.uint64(d), np.uint64(start), float(offset_ms), float(period_ms)
    for t in range(np.uint64(n)):
        time = float(times[first + t]) + offset
        target[to + t] = (time - np.floor(time / period) * period) / period


@njit(**COLUMN)
def fading_ratio(
    m: np.ndarray, target: np.ndarray, d: int, n: int, plan: np.ndarray, i: int, state: np.ndarray
) -> None:
    """Ratio of two exponential averages of one span; 0 while the lower one, of numbers >= 0, is 0.

    Both start from 0 with the same weights, so that the ratio needs no start-up correction.
    """
    weight = 2.0 / (m[plan[i + CONSTANTS]] + 1.0)
    x, y, at = plan[i + INPUTS], plan[i + INPUTS + 1], plan[i + STATE]
    upper, lower = state[at], state[at + 1]
    for t in range(n):
        upper += weight * (m[x + t] - upper)
        lower += weight * (m[y + t] - lower)
        if lower < NO_VOLUME:
            upper = 0.0
            lower = 0.0
        target[d + t] = upper / lower if lower > 0.0 else 0.0
    state[at] = upper
    state[at + 1] = lower


@njit(**FORMULA)
def series_column(
    op: int, m: np.ndarray, target: np.ndarray, d: int, n: int, plan: np.ndarray, i: int, state: np.ndarray
) -> None:
    """Run one instruction of this group."""
    to, rows = np.uint64(d), np.uint64(n)
    a, b, c = inputs(plan, i)[:3]
    k0 = constants(m, plan, i)[0]
    if op == Op.COPY:
        for t in range(rows):
            target[to + t] = m[a + t]
    elif op == Op.LAG:
        lag(m, target, d, n, plan, i, state)
    elif op == Op.CHANGE:
        change(m, target, d, n, plan, i, state)
    elif op == Op.LOG:
        for t in range(rows):
            target[to + t] = log(m[a + t])
    elif op == Op.DIFFERENCE:
        for t in range(rows):
            target[to + t] = m[a + t] - m[b + t]
    elif op == Op.NEGATIVE:
        for t in range(rows):
            target[to + t] = -m[a + t]
    elif op == Op.ABSOLUTE:
        for t in range(rows):
            target[to + t] = abs(m[a + t])
    elif op == Op.PRODUCT:
        for t in range(rows):
            target[to + t] = m[a + t] * m[b + t]
    elif op == Op.SCALED:
        for t in range(rows):
            target[to + t] = m[a + t] * k0
    elif op == Op.ROOT_MEAN:
        for t in range(rows):
            target[to + t] = root_mean(m[a + t], k0)
    elif op == Op.RATIO:
        for t in range(rows):
            target[to + t] = ratio(m[a + t], m[b + t])
    elif op == Op.BALANCE:
        for t in range(rows):
            target[to + t] = ratios.balance(m[a + t], m[b + t])
    elif op == Op.ZSCORE:
        for t in range(rows):
            target[to + t] = zscore(m[a + t], m[b + t], k0)
    elif op == Op.CORRELATION:
        for t in range(rows):
            target[to + t] = ratios.correlation(m[a + t], m[b + t], m[c + t])
    elif op == Op.STANDARDISED:
        for t in range(rows):
            target[to + t] = standardised(m[a + t], m[b + t])
    elif op == Op.PER_SCALE:
        for t in range(rows):
            target[to + t] = per_scale(m[a + t], m[b + t], k0)
    elif op == Op.FADING_RATIO:
        fading_ratio(m, target, d, n, plan, i, state)
